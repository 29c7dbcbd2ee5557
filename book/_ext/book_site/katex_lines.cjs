// Renders one formula per line: reads {"id", "tex", "display"} as JSON, answers {"id", "html"} or {"id", "error"}.
const readline = require("node:readline");
const katex = require(process.argv[2]);

// A line break in display mode is fine: the formula is wrapped in an aligned environment or means it.
const strict = (code) => (code === "newLineInDisplayMode" ? "ignore" : "error");

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, tex, display } = JSON.parse(line);
  let answer;
  try {
    answer = { id, html: katex.renderToString(tex, { displayMode: display, throwOnError: true, strict, trust: false }) };
  } catch (error) {
    answer = { id, error: String(error.message) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
});
