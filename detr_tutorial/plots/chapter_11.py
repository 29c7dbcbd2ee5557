"""The figures of notebooks/11_sampling_offsets.ipynb: units, normalizers, the star, boxes, weights."""

from collections.abc import Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from torch import Tensor

from detr_tutorial.plots._style import (
    GRID_COLOR,
    INK,
    LEVEL_COLORS,
    RIGHT_COLOR,
    WRONG_COLOR,
    draw_cells,
    draw_picture,
    draw_points,
    draw_reference_point,
    head_handles,
    level_handles,
    new_figure,
    reference_handle,
    styled,
)

SpatialShapes = Sequence[tuple[int, int]]
MUTED = "#666666"


def _to_pixels(points: Tensor, size: tuple[int, int]) -> Tensor:
    height, width = size
    return points * points.new_tensor([width, height]) - 0.5


@styled
def one_offset_on_every_level(
    reference: Tensor, offset: Tensor, locations: Tensor, spatial_shapes: SpatialShapes
) -> Figure:
    """The same offset on levels of different size, all drawn over the same picture.

    Args:
        reference: (2,) as (x, y), the same on all levels.
        offset: (2,) in cells.
        locations: (L, 2) where the offset leads on each level.
        spatial_shapes: (height, width) of the levels.
    """
    figure, grid = new_figure(7.2, 2.9, columns=len(spatial_shapes))
    for level, (axes, size) in enumerate(zip(grid[0], spatial_shapes, strict=True)):
        height, width = size
        start, end = _to_pixels(reference, size), _to_pixels(locations[level], size)
        draw_cells(axes, size, color=LEVEL_COLORS[level], margin=0.03 * width)
        arrow = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.8, "shrinkA": 8, "shrinkB": 5}
        axes.annotate("", end.tolist(), start.tolist(), arrowprops=arrow, zorder=4)
        draw_reference_point(axes, *start.tolist())
        draw_points(axes, end[None], level=level, area=75)
        axes.set_title(f"level {level}: {height} x {width} cells")
        x, y = offset.tolist()
        axes.set_xlabel(f"({x:g}, {y:g}) cells = ({x / width:.3f}, {y / height:.3f}) of the picture")
    figure.legend(handles=[reference_handle()], loc="outside upper right")
    return figure


@styled
def two_normalizers(panels: Sequence[tuple[str, Tensor, tuple[int, int], bool]], reference: Tensor) -> Figure:
    """A star divided by (W, H) and by (H, W).

    Args:
        panels: title, (M, K, 2) locations as fractions, (height, width) of the map, whether it is right.
        reference: (2,) as (x, y).
    """
    widths = [size[1] + 1.2 for _, _, size, _ in panels]
    figure, grid = new_figure(7.2, 2.35, columns=len(panels), width_ratios=widths)
    for axes, (title, locations, size, right) in zip(grid[0], panels, strict=True):
        draw_cells(axes, size, numbers=False, margin=0.6)
        center = _to_pixels(reference, size)
        for head, points in enumerate(_to_pixels(locations, size)):
            ray = torch.cat([center[None], points])
            color = RIGHT_COLOR if right else WRONG_COLOR
            axes.plot(*ray.T.tolist(), color=color, linewidth=1, alpha=0.5, zorder=2, clip_on=False)
            draw_points(axes, points, head=head, color=color, area=38)
        draw_reference_point(axes, *center.tolist())
        axes.set_title(title, color=RIGHT_COLOR if right else WRONG_COLOR, fontsize=10)
        axes.set_xlabel(f"{size[0]} x {size[1]} cells", fontsize=9)
    return figure


@styled
def star(offsets: Tensor) -> Figure:
    """The offsets at the start of training, on the cells around the reference point.

    Args:
        offsets: (M, K, 2) of one level, in cells.
    """
    heads, points, _ = offsets.shape
    figure, grid = new_figure(5.4, 5.0)
    axes = grid[0, 0]
    side = 2 * points + 1
    draw_cells(axes, (side, side), numbers=False, margin=0.75)
    for head in range(heads):
        ray = offsets[head] + points  # the reference point is the middle cell
        axes.plot([points, ray[-1, 0]], [points, ray[-1, 1]], color=GRID_COLOR, linewidth=1.2, zorder=2)
        draw_points(axes, ray, head=head, area=58)
        x, y = (
            offsets[head, -1] * offsets.new_tensor([1 + 1.2 / points, 1 + 0.85 / points]) + points
        ).tolist()
        axes.text(x, y, f"m = {head}", ha="center", va="center", fontsize=9, color=INK)
    for k in range(points):
        axes.text(
            points + k + 1, points + 0.33, f"k = {k}", ha="center", va="center", fontsize=7.5, color=MUTED
        )
    draw_reference_point(axes, points, points, size=15)
    axes.set_xticks(range(side), [f"{x:+d}" if x else "0" for x in range(-points, points + 1)])
    axes.set_yticks(range(side), [f"{y:+d}" if y else "0" for y in range(-points, points + 1)])
    axes.set_xlabel("offset x, in cells")
    axes.set_ylabel("offset y, in cells (down)")
    axes.set_xlim(-1.9, side + 0.9)
    axes.set_ylim(side + 0.1, -1.1)
    return figure


@styled
def star_on_photograph(
    image: Tensor, reference: Tensor, locations: Tensor, spatial_shapes: SpatialShapes
) -> Figure:
    """All sampling points of one query at the start of training, on its photograph.

    Args:
        image: (3, H, W) in [0, 1].
        reference: (2,) as (x, y), a fraction of the photograph.
        locations: (M, L, K, 2) as fractions of the photograph.
        spatial_shapes: (height, width) of the levels, for the legend.
    """
    height, width = image.shape[1:]
    pixels = _to_pixels(locations, (height, width))
    figure, grid = new_figure(7.2, 6.5, image_format="jpeg")
    axes = grid[0, 0]
    draw_picture(axes, image)
    heads, levels, _, _ = pixels.shape
    for level in reversed(range(levels)):
        for head in range(heads):
            points = pixels[head, level]
            axes.plot(*points.T.tolist(), color=LEVEL_COLORS[level], linewidth=1, alpha=0.8, zorder=3)
            draw_points(axes, points, level=level, head=head, area=26 + 6 * level)
    draw_reference_point(axes, *_to_pixels(reference, (height, width)).tolist(), size=13)
    everything = pixels.flatten(0, 2)
    (left, top), (right, bottom) = everything.amin(0).tolist(), everything.amax(0).tolist()
    axes.set_xlim(min(left, 0) - 12, max(right, width) + 12)
    axes.set_ylim(max(bottom, height) + 12, min(top, 0) - 12)
    handles = level_handles(range(levels))
    for handle, (rows, columns) in zip(handles, spatial_shapes, strict=True):
        handle.set_label(f"{handle.get_label()}: {rows} x {columns}")
    handles = [*handles, reference_handle(), *head_handles(range(heads))]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, columnspacing=1.2)
    return figure


@styled
def stars_of_queries(
    panels: Sequence[tuple[str, Tensor]], references: Tensor, size: tuple[int, int], level: int
) -> Figure:
    """The sampling points of a few queries on one level, for several ways to initialize.

    Args:
        panels: a title and (Q, M, K, 2) locations as fractions.
        references: (Q, 2) as fractions.
        size: (height, width) of the level, in cells.
        level: its index, for the color.
    """
    figure, grid = new_figure(7.2, 3.15, columns=len(panels))
    for axes, (title, locations) in zip(grid[0], panels, strict=True):
        draw_cells(axes, size, numbers=False, margin=1.2)
        for query, reference in enumerate(_to_pixels(references, size)):
            for head, points in enumerate(_to_pixels(locations[query], size)):
                ray = torch.cat([reference[None], points])
                style = ("-", "--", ":")[query % 3]
                axes.plot(*ray.T.tolist(), color=MUTED, linestyle=style, linewidth=0.9, zorder=2)
                draw_points(axes, points, level=level, head=head, area=26)
            draw_reference_point(axes, *reference.tolist(), size=9)
        axes.set_title(title)
    return figure


@styled
def points_or_boxes(
    boxes: Tensor, around_points: Tensor, around_boxes: Tensor, size: tuple[int, int]
) -> Figure:
    """The start of training around points, and around boxes.

    Args:
        boxes: (Q, 4) as (cx, cy, w, h), fractions.
        around_points: (Q, M, K, 2) locations for 2-d references, fractions.
        around_boxes: (Q, M, K, 2) locations for 4-d references, fractions.
        size: (height, width) of the level, in cells.
    """
    height, width = size
    figure, grid = new_figure(7.2, 2.85, columns=2)
    panels = (
        ("2-d reference: steps in cells", around_points),
        ("4-d reference: steps in box sizes", around_boxes),
    )
    for axes, (title, locations) in zip(grid[0], panels, strict=True):
        draw_cells(axes, size, numbers=False, margin=0.7)
        for box, points in zip(boxes, locations, strict=True):
            (x, y), (w, h) = (
                _to_pixels(box[:2], size).tolist(),
                (box[2:] * torch.tensor([width, height])).tolist(),
            )
            edge = {"fill": False, "edgecolor": INK, "linewidth": 1.6, "zorder": 3}
            axes.add_patch(Rectangle((x - w / 2, y - h / 2), w, h, **edge))
            for head, of_head in enumerate(_to_pixels(points, size)):
                spoke = ([x, of_head[-1, 0].item()], [y, of_head[-1, 1].item()])
                axes.plot(*spoke, color=MUTED, linewidth=0.8, zorder=2)
                draw_points(axes, of_head, head=head, area=13, linewidths=0.4)
            draw_reference_point(axes, x, y, size=6)
        axes.set_title(title)
    return figure


@styled
def bars_of_weights(panels: Sequence[tuple[str, Tensor]]) -> Figure:
    """Attention weights of one head, level by level.

    Args:
        panels: a title and (L, K) weights.
    """
    figure, grid = new_figure(7.2, 2.9, columns=len(panels), sharey=True)
    for axes, (title, weights) in zip(grid[0], panels, strict=True):
        levels, points = weights.shape
        for level in range(levels):
            at = torch.arange(points) + level * (points + 0.8)
            bars = axes.bar(at.tolist(), weights[level].tolist(), color=LEVEL_COLORS[level % 4], width=0.82)
            axes.bar_label(
                bars, [f"{weight:.2f}" for weight in weights[level].tolist()], fontsize=8, padding=2
            )
            share = weights[level].sum()
            axes.text(
                (points - 1) / 2 + level * (points + 0.8),
                -0.16,
                f"level {level}\nsum {share:.2f}",
                ha="center",
                va="top",
                fontsize=9,
                transform=axes.get_xaxis_transform(),
            )
        axes.set_xticks(
            [k + level * (points + 0.8) for level in range(levels) for k in range(points)],
            [str(k) for _ in range(levels) for k in range(points)],
        )
        axes.tick_params(length=0)
        axes.set_title(f"{title} (total {weights.sum():.2f})")
        axes.margins(y=0.12)
    grid[0, 0].set_ylabel("weight")
    return figure


# ---------------------------------------------------------------- a reader's answer against the target

_YOURS = {"marker": "X", "s": 42, "color": WRONG_COLOR, "edgecolors": "white", "linewidths": 0.7, "zorder": 5}
_TARGET = {
    "marker": "o",
    "s": 70,
    "facecolors": "none",
    "edgecolors": RIGHT_COLOR,
    "linewidths": 1.6,
    "zorder": 4,
}
_HANDLES = [
    Line2D([], [], marker="X", linestyle="none", color=WRONG_COLOR, markersize=7, label="yours"),
    Line2D(
        [],
        [],
        marker="o",
        linestyle="none",
        fillstyle="none",
        color=RIGHT_COLOR,
        markersize=8,
        label="target",
    ),
]


def _draw_pairs(axes: Axes, yours: Tensor, target: Tensor) -> None:
    """Points (N, 2) of the reader and the right ones, each pair joined by a line."""
    for ours, theirs in zip(yours.tolist(), target.tolist(), strict=True):
        axes.plot(*zip(ours, theirs, strict=True), color=GRID_COLOR, linewidth=1, zorder=3)
    axes.scatter(*yours.T.tolist(), **_YOURS)
    axes.scatter(*target.T.tolist(), **_TARGET)


@styled
def points_on_levels(
    yours: Tensor, target: Tensor, references: Tensor, spatial_shapes: SpatialShapes | None = None
) -> Figure:
    """A reader's sampling locations against the right ones, level by level, for one query.

    Args:
        yours: (M, L, K, 2) as fractions.
        target: (M, L, K, 2) as fractions.
        references: (L, 2) points or (L, 4) boxes, as fractions.
        spatial_shapes: (height, width) of the levels; None draws the outline of the picture only.
    """
    levels = target.shape[1]
    shapes = [(1, 1)] * levels if spatial_shapes is None else list(spatial_shapes)
    figure, grid = new_figure(7.2, 3.0, columns=levels)
    for level, (axes, size) in enumerate(zip(grid[0], shapes, strict=True)):
        height, width = size
        draw_cells(axes, size, numbers=False, color=LEVEL_COLORS[level % 4])
        x, y = _to_pixels(references[level, :2], size).tolist()
        if references.shape[-1] == 4:
            w, h = (references[level, 2:] * torch.tensor([width, height])).tolist()
            axes.add_patch(Rectangle((x - w / 2, y - h / 2), w, h, fill=False, edgecolor=INK, linewidth=1.6))
        ours, theirs = (_to_pixels(points[:, level].flatten(0, 1), size) for points in (yours, target))
        _draw_pairs(axes, ours, theirs)
        draw_reference_point(axes, x, y)
        # Everything, unless it lies further away than the map is large.
        (left, top), (right, bottom) = (torch.cat([ours, theirs]).aminmax(dim=0)[i].tolist() for i in (0, 1))
        axes.set_xlim(max(min(left, 0), -width) - 0.7, min(max(right, width), 2 * width) + 0.2)
        axes.set_ylim(min(max(bottom, height), 2 * height) + 0.2, max(min(top, 0), -height) - 0.7)
        axes.set_title(f"level {level}")
    figure.legend(handles=_HANDLES, loc="outside upper right", ncols=2)
    return figure


@styled
def star_against_target(yours: Tensor, target: Tensor) -> Figure:
    """A reader's star (M, K, 2) against the right one, in cells."""
    figure, grid = new_figure(4.6, 5.0)
    axes = grid[0, 0]
    reach = int(torch.cat([yours, target]).abs().max().ceil().clamp(1, 12))
    axes.set_xticks(range(-reach, reach + 1))
    axes.set_yticks(range(-reach, reach + 1))
    borders = [x + 0.5 for x in range(-reach - 1, reach + 1)]  # ticks are cell centers, lines are borders
    axes.set_xticks(borders, minor=True)
    axes.set_yticks(borders, minor=True)
    axes.grid(which="minor", color=GRID_COLOR, linewidth=0.7)
    axes.set(xlim=(-reach - 0.6, reach + 0.6), ylim=(reach + 0.6, -reach - 0.6), aspect="equal")
    axes.spines[:].set_visible(False)
    axes.tick_params(which="both", length=0)
    _draw_pairs(axes, yours.flatten(0, 1), target.flatten(0, 1))
    draw_reference_point(axes, 0, 0)
    axes.set_xlabel("offset x, in cells")
    axes.set_ylabel("offset y, in cells (down)")
    figure.legend(handles=_HANDLES, loc="outside upper center", ncols=2)
    return figure
