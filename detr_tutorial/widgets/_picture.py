"""The explorer's picture without scripts: SVG for the page, matplotlib for print."""

from html import escape
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from detr_tutorial.plots._style import (
    HEAD_MARKERS,
    LEVEL_COLORS,
    REFERENCE_COLOR,
    BookFigure,
    draw_reference_point,
    styled,
)
from detr_tutorial.widgets import _scene
from detr_tutorial.widgets._scene import ALL

SIDE, RIM, INSET = 400.0, 24.0, 8.0  # as in js/src/explorer/photo.js
AVERAGE_AREA = 70.0  # of a marker whose weight is the average one
SMALLEST_AREA = 5.0
Pair = tuple[float | int, float | int]


class _Drawn(NamedTuple):
    head: int
    level: int
    location: NDArray  # (x, y) in [0, 1] over the padded batch
    area: float
    reads: bool  # at least one of the four neighbors is a cell of the photograph


def _drawn_points(inputs: _scene.Inputs, record: _scene.QueryRecord, head: int, level: int) -> list[_Drawn]:
    heads, levels, points = record.weights.shape
    areas = np.maximum(record.weights * levels * points * AVERAGE_AREA, SMALLEST_AREA)
    drawn = []
    for m, index, k in np.ndindex(heads, levels, points):
        (height, width), (rows, columns) = inputs.flattened.spatial_shapes[index], inputs.valid_sizes[index]
        x, y = record.locations[m, index, k] * (width, height) - 0.5
        reads = bool(-1 < x < columns and -1 < y < rows)
        if head in (ALL, m) and level in (ALL, index):
            drawn.append(_Drawn(m, index, record.locations[m, index, k], float(areas[m, index, k]), reads))
    return drawn


def level_color(level: int) -> str:
    """The color of a level, finest first."""
    return LEVEL_COLORS[level % len(LEVEL_COLORS)]


def explorer_svg(inputs: _scene.Inputs, query: int, head: int, level: int, photo: str) -> str:
    """Draw the photograph with the points of one query as SVG, in the place and size of the live picture."""
    record = _scene.query_record(inputs, query)
    shapes = inputs.flattened.spatial_shapes
    canvas_height, canvas_width = _scene.canvas_size(inputs.image, inputs.valid_sizes[0], shapes[0])
    unit = SIDE / max(canvas_height, canvas_width)
    width, height = canvas_width * unit, canvas_height * unit
    photo_height, photo_width = (side * unit for side in inputs.image.shape[1:])

    def place(location: NDArray) -> tuple[float, float]:
        x = min(max(location[0] * width, INSET - RIM), width + RIM - INSET)
        y = min(max(location[1] * height, INSET - RIM), height + RIM - INSET)
        return x, y

    circles = ""
    for point in _drawn_points(inputs, record, head, level):
        x, y = place(point.location)
        radius = np.sqrt(point.area / np.pi)
        fill, edge = level_color(point.level), "#fff"
        if not point.reads:
            fill, edge = edge, fill
        circles += f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{fill}" stroke="{edge}"/>'
    x, y = place(record.references[0])
    cross = f"M{x - 11:.1f} {y:.1f}h22M{x:.1f} {y - 11:.1f}v22"
    aspect = (height + 2 * RIM) / (width + 2 * RIM)
    box = " ".join(f"{side:.6g}" for side in (-RIM, -RIM, width + 2 * RIM, height + 2 * RIM))
    label = escape("Photograph with a query, a green cross, and its sampling points, colored by level")
    return (
        f'<div class="dw spe" style="--spe-aspect:{aspect:.4f};--spe-level-rows:{(len(shapes) + 1) // 2}">'
        '<div class="dw-body spe-body"><div class="spe-choices"></div>'
        '<div class="spe-main"><div class="spe-stage">'
        f'<svg class="spe-photo" role="img" aria-label="{label}" '
        f'viewBox="{box}">'
        f'<rect class="dw-hatch-ground" width="{width:.6g}" height="{height:.6g}"/>'
        f'<image href="{photo}" width="{photo_width:.6g}" height="{photo_height:.6g}" '
        'preserveAspectRatio="none"/>'
        f"{circles}"
        f'<path d="{cross}" stroke="#10151a" stroke-width="6"/>'
        f'<path d="{cross}" stroke="{REFERENCE_COLOR}" stroke-width="3"/></svg></div>'
        '<p class="dw-muted">A query (green cross) and its sampling points, one color a level. '
        "The picture can be moved by hand where scripts are on.</p></div></div></div>"
    )


@styled
def explorer_figure(inputs: _scene.Inputs, query: int, head: int, level: int) -> Figure:
    """Draw photograph and levels with the points of one query."""
    record = _scene.query_record(inputs, query)
    points = _drawn_points(inputs, record, head, level)
    shapes = inputs.flattened.spatial_shapes
    canvas_height, canvas_width = _scene.canvas_size(inputs.image, inputs.valid_sizes[0], shapes[0])
    strength = np.linalg.norm(_scene.head_values(inputs), axis=-1)  # S M
    strength = np.linalg.norm(strength, axis=-1) if head < 0 else strength[:, head]

    columns = (len(shapes) + 1) // 2
    figure = BookFigure(figsize=(9, 4.6), layout="constrained")
    figure.image_format = "jpeg"
    grid = figure.add_gridspec(2, 2 + columns)
    photo = figure.add_subplot(grid[:, :2])
    height, width = inputs.image.shape[1:]
    photo.imshow(inputs.image.detach().cpu().permute(1, 2, 0).numpy(), extent=(0, width, height, 0))
    _draw_points(photo, points, record.references[0], (canvas_width, canvas_height), 1.0)
    _frame(photo, (canvas_width, canvas_height), (width, height))
    photo.set_title("photograph, padded to the batch")

    start = 0
    for index, (rows, cells) in enumerate(shapes):
        axes = figure.add_subplot(grid[index // columns, 2 + index % columns])
        heat = strength[start : start + rows * cells].reshape(rows, cells)
        start += rows * cells
        axes.imshow(heat, cmap="Greys", extent=(0, cells, rows, 0), vmin=0, vmax=strength.max() * 1.3)
        own = [point for point in points if point.level == index]
        _draw_points(axes, own, record.references[index], (cells, rows), 0.35)
        valid_rows, valid_cells = inputs.valid_sizes[index]
        _frame(axes, (cells, rows), (valid_cells, valid_rows))
        axes.set_title(f"level {index}: {rows} × {cells}", fontsize=9)
    return figure


def _draw_points(axes: Axes, points: list[_Drawn], reference: NDArray, size: Pair, shrink: float) -> None:
    for point in points:
        axes.scatter(
            *(point.location * size),
            s=point.area * shrink,
            marker=HEAD_MARKERS[point.head % len(HEAD_MARKERS)],
            color=level_color(point.level) if point.reads else "white",
            edgecolors="white" if point.reads else level_color(point.level),
            linewidths=0.5 if point.reads else 1.0,
        )
    x, y = reference * size
    draw_reference_point(axes, x, y, size=14 * shrink**0.5)


def _frame(axes: Axes, size: Pair, valid: Pair) -> None:
    """Show a rim around the padded map, and hatch the padding."""
    (width, height), (valid_width, valid_height) = size, valid
    style = {"facecolor": "#f6f8fa", "edgecolor": "#a0a8b0", "hatch": "////", "linewidth": 0, "zorder": 0}
    axes.add_patch(Rectangle((valid_width, 0), width - valid_width, height, **style))
    axes.add_patch(Rectangle((0, valid_height), valid_width, height - valid_height, **style))
    axes.add_patch(Rectangle((0, 0), width, height, fill=False, edgecolor="#57606a", linewidth=0.8))
    axes.set_xlim(-0.06 * width, 1.06 * width)
    axes.set_ylim(1.06 * height, -0.06 * height)
    axes.set_aspect((height / size[1]) / (width / size[0]))
    axes.set_axis_off()
