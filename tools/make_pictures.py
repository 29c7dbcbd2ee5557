"""Make the picture of the front page and the README's picture of the book.

Usage: python tools/make_pictures.py          (after `make book`: the README's picture shows the site)
"""

import sys
from io import BytesIO
from pathlib import Path

from browser import find_browser, launch_options
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from detr_tutorial.data import photos
from detr_tutorial.plots._style import HEAD_MARKERS, LEVEL_COLORS, REFERENCE_COLOR
from detr_tutorial.running_example import PHOTOGRAPHS, running_example

ROOT = Path(__file__).resolve().parents[1]
STATIC = ROOT / "book" / "_static"
SITE = ROOT / "_build" / "html"


def draw_front(query_at: tuple[float, float] = (0.55, 0.33), image_index: int = 0) -> None:
    """Draw the running example's sampling points of one query on its photograph."""
    example = running_example("sampling")
    assert example.batch is not None
    assert example.flattened is not None
    assert example.sampling is not None
    assert example.reference_points is not None
    photo = example.images[image_index]
    height, width = photo.shape[1:]
    canvas_height, canvas_width = example.batch.pixels.shape[2:]
    shapes = example.flattened.spatial_shapes
    rows, columns = shapes[1]
    column = round(query_at[0] * width / canvas_width * columns - 0.5)
    row = round(query_at[1] * height / canvas_height * rows - 0.5)
    query = shapes[0][0] * shapes[0][1] + row * columns + column
    locations = example.sampling.locations[image_index, query].detach()
    weights = example.sampling.weights[image_index, query].detach()
    center = example.reference_points[image_index, query, 1]

    figure = Figure(figsize=(width / 50, height / 50), dpi=150)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    sharp = photos.load(PHOTOGRAPHS[image_index][0]).permute(1, 2, 0)  # the running example has it smaller
    axes.imshow(sharp.numpy(), extent=(0, width, height, 0), interpolation="antialiased")
    heads, levels, points, _ = locations.shape
    for level in reversed(range(levels)):
        for head in range(heads):
            axes.scatter(
                locations[head, level, :, 0] * canvas_width,
                locations[head, level, :, 1] * canvas_height,
                s=(weights[head, level] * levels * points * 60).tolist(),
                color=LEVEL_COLORS[level],
                marker=HEAD_MARKERS[head],
                edgecolor="white",
                linewidth=0.8,
            )
    x, y = center[0] * canvas_width, center[1] * canvas_height
    for color, line in (("#10251d", 5.5), (REFERENCE_COLOR, 2.8)):
        axes.plot([x - 7, x + 7], [y, y], color=color, linewidth=line)
        axes.plot([x, x], [y - 7, y + 7], color=color, linewidth=line)
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    Image.open(buffer).convert("RGB").save(STATIC / "front.webp", quality=82, method=6)


def photograph_site(page_path: str, anchor: str) -> None:
    """Take the README's picture: a chapter of the built site, in few colors to keep the file small."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**launch_options(find_browser()))
        page = browser.new_page(
            viewport={"width": 1440, "height": 960}, color_scheme="light", reduced_motion="reduce"
        )
        page.goto((SITE / page_path).as_uri())
        page.evaluate("(id) => document.getElementById(id).scrollIntoView()", anchor)
        page.wait_for_timeout(1500)
        picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
        browser.close()
    picture.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(STATIC / "readme.png", optimize=True)


def main() -> int:
    draw_front()
    if not (SITE / "index.html").exists():
        print("There is no site yet. Build it with: make book", file=sys.stderr)
        return 1
    photograph_site("notebooks/12_grid_sample_attention.html", "poke-at-it")
    for name in ("front.webp", "readme.png"):
        print(f"{name}: {(STATIC / name).stat().st_size / 1000:.0f} KB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
