// Bundle every widget into detr_tutorial/widgets/static/; with --check, fail when the committed files differ.
import { readFile, mkdir, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const target = join(here, "..", "detr_tutorial", "widgets", "static");
// the folder in src/ and the name of the bundle: one line a widget
const widgets = [
  ["explorer", "sampling_points_explorer"],
  ["padding", "padding_explorer"],
  ["position", "position_explorer"],
  ["cost", "cost_explorer"],
  ["matching", "matching_explorer"],
  ["boxloss", "box_loss_explorer"],
  ["bilinear", "bilinear_explorer"],
  ["deformconv", "deformable_conv_explorer"],
  ["tokens", "token_explorer"],
  ["refinement", "refinement_explorer"],
  ["trained", "trained_points_explorer"],
];
const entryPoints = widgets.flatMap(([folder, out]) =>
  ["index.js", "style.css"].map((file) => ({ in: join(here, "src", folder, file), out })),
);

const result = await build({
  entryPoints,
  outdir: target,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
  banner: {
    js: "/*! detr-tutorial widgets, MIT. Contains d3-selection, d3-drag and d3-shape, Copyright Mike Bostock, ISC. */",
  },
  logLevel: "warning",
  write: false,
});

let stale = 0;
await mkdir(target, { recursive: true });
for (const { path, contents } of result.outputFiles) {
  const name = relative(join(here, ".."), path);
  if (process.argv.includes("--check")) {
    const committed = await readFile(path).catch(() => null);
    if (committed === null || !committed.equals(contents)) {
      console.error(`${name} is stale: run npm run build in js/ and commit the result`);
      stale += 1;
    }
  } else {
    await writeFile(path, contents);
  }
  console.log(`${name}  ${(contents.length / 1000).toFixed(1)} KB`);
}
process.exitCode = stale ? 1 : 0;
