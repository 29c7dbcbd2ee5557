// Theme switch, chapter menu on narrow screens, widgets, copy buttons, focus for what scrolls, the place on the page.
const root = document.documentElement;

// Theme: follows the system until the reader chooses.
const themeButton = document.querySelector(".theme-button");
const stored = () => {
  try {
    return localStorage.getItem("theme");
  } catch {
    return null;
  }
};
const showTheme = (theme) => {
  root.dataset.theme = theme;
  themeButton.setAttribute("aria-pressed", String(theme === "dark"));
};
showTheme(root.dataset.theme);
themeButton.addEventListener("click", () => {
  const theme = root.dataset.theme === "dark" ? "light" : "dark";
  showTheme(theme);
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // private mode: the choice lasts for this page
  }
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => {
  if (!stored()) showTheme(event.matches ? "dark" : "light");
});

// Chapter menu.
const menuButton = document.querySelector(".menu-button");
const chapters = document.querySelector(".chapters");
const openMenu = (open) => {
  document.body.classList.toggle("menu-open", open);
  menuButton.setAttribute("aria-expanded", String(open));
};
menuButton.addEventListener("click", () => {
  const open = menuButton.getAttribute("aria-expanded") !== "true";
  openMenu(open);
  if (open) chapters.querySelector("a").focus();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && document.body.classList.contains("menu-open")) {
    openMenu(false);
    menuButton.focus();
  }
});
document.querySelector("main").addEventListener("click", () => openMenu(false));
const current = chapters.querySelector('[aria-current="page"]');
if (current && chapters.scrollHeight > chapters.clientHeight) {
  chapters.scrollTop = current.offsetTop - chapters.clientHeight / 3;
}

// Widgets: their script comes shortly before they come into view. A copy of the picture that stood in a widget's
// place is kept for paper.
const asleep = new Set(document.querySelectorAll(".detr-widget[data-script]"));
const wake = (widget) => {
  const source = widget.dataset.script;
  for (const other of asleep) {
    if (other.dataset.script !== source) continue;
    const picture = other.querySelector("[data-detr-widget-body]").cloneNode(true);
    picture.removeAttribute("data-detr-widget-body");
    picture.className = "widget-picture";
    other.append(picture);
    near.unobserve(other);
    asleep.delete(other);
  }
  const script = document.createElement("script");
  script.src = source;
  document.head.append(script);
};
const near = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) if (isIntersecting && asleep.has(target)) wake(target);
  },
  { rootMargin: "800px 0px" }
);
for (const widget of asleep) near.observe(widget);

// Copy buttons on code that a reader may want to run.
const copyText = async (text) => {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
};
for (const code of document.querySelectorAll(".page div.highlight")) {
  if (code.closest(".cell_output")) continue;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.setAttribute("aria-label", "Copy this code");
  button.addEventListener("click", async () => {
    try {
      await copyText(code.querySelector("pre").textContent.trimEnd());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not copied";
    }
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  code.append(button);
}

// Wide tables scroll by themselves, not the page.
for (const table of document.querySelectorAll(".page table")) {
  if (table.closest(".table-scroll, .cell_output")) continue;
  const wrapper = document.createElement("div");
  wrapper.className = "table-scroll";
  table.replaceWith(wrapper);
  wrapper.append(table);
}

// What scrolls sideways can be scrolled from the keyboard.
const scrollers = document.querySelectorAll(
  ".page pre, .page .table-scroll, .page .math-block, .chapters, .on-page, .page .output.text_html"
);
const markScrollers = () => {
  for (const element of scrollers) {
    const scrolls =
      element.scrollWidth > element.clientWidth + 1 || element.scrollHeight > element.clientHeight + 1;
    if (scrolls) element.tabIndex = 0;
    else element.removeAttribute("tabindex");
  }
};
markScrollers();
addEventListener("resize", markScrollers);
addEventListener("load", markScrollers);
for (const details of document.querySelectorAll("details")) details.addEventListener("toggle", markScrollers);

// The section in view, in the contents of the page.
const links = new Map();
for (const link of document.querySelectorAll(".on-page a[href^='#']")) {
  const id = decodeURIComponent(link.hash.slice(1));
  if (id) links.set(id, link);
}
const sections = [...links.keys()].map((id) => document.getElementById(id)).filter(Boolean);
if (sections.length) {
  const observer = new IntersectionObserver(
    () => {
      const line = innerHeight / 4;
      const here = sections.filter((section) => section.getBoundingClientRect().top <= line).pop();
      for (const [id, link] of links) {
        if (here && id === here.id) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
    },
    { rootMargin: "0px 0px -70% 0px", threshold: [0, 0.25, 0.5, 1] }
  );
  for (const section of sections) observer.observe(section);
}

// A link to something inside a fold, or to a cell that is folded, opens the fold.
const reveal = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let fold = target && target.closest("details"); fold; fold = fold.parentElement.closest("details")) {
    fold.open = true;
  }
  const within = target && target.matches(".cell") && target.querySelector(":scope > details");
  if (within) within.open = true;
};
reveal();
addEventListener("hashchange", reveal);

// Paper is white, and shows what the folds hold.
let afterwards = () => {};
addEventListener("beforeprint", () => {
  const theme = root.dataset.theme;
  const closed = document.querySelectorAll("details:not([open])");
  root.dataset.theme = "light";
  for (const fold of closed) fold.open = true;
  afterwards = () => {
    root.dataset.theme = theme;
    for (const fold of closed) fold.open = false;
  };
});
addEventListener("afterprint", () => afterwards());
