"""The figures of notebooks/15_box_refinement.ipynb: steps in logits, boxes by layer, units of offsets."""

from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from torch import Tensor

from detr_tutorial.plots._style import (
    GRID_COLOR,
    HEAD_MARKERS,
    INK,
    LEVEL_COLORS,
    RIGHT_COLOR,
    WRONG_COLOR,
    Number,
    draw_picture,
    draw_points,
    draw_reference_point,
    level_handles,
    new_figure,
    reference_handle,
    styled,
)

BOX_STYLES = ((RIGHT_COLOR, "-"), (WRONG_COLOR, "--"), ("#009E73", "-."), ("#CC79A7", ":"))


def _draw_box(axes: Axes, box: Sequence[Number] | Tensor, size: tuple[int, int], **style: Any) -> None:
    """A box (cx, cy, w, h) in [0, 1] over a picture of (height, width) pixels."""
    (cx, cy, w, h), (height, width) = (float(number) for number in box), size
    corner = ((cx - w / 2) * width - 0.5, (cy - h / 2) * height - 0.5)
    look: dict[str, Any] = {"zorder": 4, **style}
    axes.add_patch(Rectangle(corner, w * width, h * height, fill=False, **look))


# ---------------------------------------------------------------- logits


@styled
def logit_steps(starts: Sequence[Number], step: Number) -> Figure:
    """The same step in logits from several places, on the sigmoid and on the axis of a picture.

    Args:
        starts: coordinates or sizes in (0, 1).
        step: in logits.
    """
    figure, grid = new_figure(7.2, 3.1, columns=2, width_ratios=[1.25, 1])
    curve, ruler = grid[0]
    logits = torch.linspace(-5, 5, 201)
    curve.plot(logits.tolist(), logits.sigmoid().tolist(), color=INK, linewidth=1.4, zorder=2)
    curve.set(xlabel="logit", ylabel="coordinate", ylim=(-0.03, 1.03), xlim=(-5, 5))
    curve.set_title("equal steps of the logit ...", fontsize=10.5)
    ruler.set(xlim=(-0.03, 1.03), ylim=(-0.6, len(starts) - 0.4), yticks=[])
    ruler.set_title("... and of the coordinate", fontsize=10.5)
    ruler.set_xlabel("0 and 1: edges of the picture")
    ruler.spines["left"].set_visible(False)
    for number, start in enumerate(starts):
        color, marker = BOX_STYLES[number % len(BOX_STYLES)][0], HEAD_MARKERS[number % len(HEAD_MARKERS)]
        before = torch.logit(torch.tensor(float(start)))
        strip = torch.linspace(float(before), float(before + step), 21)
        on_curve = strip.sigmoid().tolist()
        curve.fill_between(strip.tolist(), -0.03, on_curve, color=color, alpha=0.13, linewidth=0)
        curve.plot(strip.tolist(), on_curve, color=color, linewidth=3, solid_capstyle="butt", zorder=3)
        curve.plot([float(before)], on_curve[:1], color=color, marker=marker, markersize=5.5, zorder=4)
        row = len(starts) - 1 - number
        ruler.hlines(row, 0, 1, color=GRID_COLOR, linewidth=1)
        ruler.hlines(row, on_curve[0], on_curve[-1], color=color, linewidth=3)
        ruler.vlines(on_curve[-1], row - 0.14, row + 0.14, color=color, linewidth=1.6)
        ruler.plot(on_curve[:1], [row], color=color, marker=marker, markersize=5.5, zorder=4)
        middle = min(max((on_curve[0] + on_curve[-1]) / 2, 0.14), 0.86)
        label = f"{on_curve[0]:.2f} to {on_curve[-1]:.2f}"
        ruler.text(middle, row + 0.24, label, fontsize=9, color=color, ha="center")
    return figure


# ---------------------------------------------------------------- layer by layer


@styled
def boxes_by_layer(image: Tensor, objects: Tensor, stages: Sequence[tuple[str, Tensor]]) -> Figure:
    """The boxes that a few queries stand on, from layer to layer.

    Args:
        image: (3, H, W) in [0, 1].
        objects: (n, 4) as (cx, cy, w, h) in [0, 1], drawn as thin white lines.
        stages: a title and (n, 4) boxes.
    """
    rows = -(-len(stages) // 2)
    figure, grid = new_figure(5.8, 3.0 * rows + 0.3, rows=rows, columns=2, image_format="jpeg")
    figure.image_quality = 65
    size = (image.shape[1], image.shape[2])
    for axes, (title, boxes) in zip(grid.flatten(), stages, strict=False):
        draw_picture(axes, image)
        for target in objects:
            _draw_box(axes, target, size, edgecolor="black", linewidth=2.2)
            _draw_box(axes, target, size, edgecolor="white", linewidth=1.1)
        for box in boxes:
            _draw_box(axes, box, size, edgecolor="#FFD000", linewidth=1.9, linestyle=(0, (4, 1.6)), zorder=5)
        axes.set(xlim=(-0.5, size[1] - 0.5), ylim=(size[0] - 0.5, -0.5))
        axes.set_title(title, fontsize=9.5, loc="center")
    handles = [
        Line2D([], [], color="#888888", linewidth=1.4, label="object"),
        Line2D([], [], color="#D9A800", linewidth=1.9, linestyle=(0, (4, 1.6)), label="box"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


@styled
def overlap_by_layer(curves: Sequence[tuple[str, Sequence[float], bool]]) -> Figure:
    """How well boxes overlap their objects, at the start and after each layer.

    Args:
        curves: a name, the mean overlaps from the start to the last layer, and whether each layer starts
            from the boxes of the one before (else all start from the first).
    """
    figure, grid = new_figure(7.2, 3.0)
    axes = grid[0, 0]
    last = len(curves[0][1]) - 1
    for number, (name, overlaps, feedback) in enumerate(curves):
        color = BOX_STYLES[number // 2 % len(BOX_STYLES)][0]
        look = {"linestyle": "-", "marker": "o"} if feedback else {"linestyle": ":", "marker": "x"}
        axes.plot(range(last + 1), overlaps, color=color, markersize=6.5, **look)
        end = (last, overlaps[-1])
        axes.annotate(name, end, (9, 0), textcoords="offset points", color=color, va="center", fontsize=9)
    axes.set(xlim=(-0.15, last * 1.62), ylabel="mean overlap (IoU)")
    axes.set_xticks(range(last + 1), ["start", *(f"layer {layer}" for layer in range(1, last + 1))])
    axes.spines["bottom"].set_bounds(-0.15, last)
    axes.hlines(axes.get_yticks()[1:-1], -0.15, last, color=GRID_COLOR, linewidth=0.6, zorder=0)
    return figure


# ---------------------------------------------------------------- two units


@styled
def points_of_two_layers(image: Tensor, layers: Sequence[tuple[str, Tensor, Tensor]]) -> Figure:
    """Where one query looks in several layers.

    Args:
        image: (3, H, W) in [0, 1].
        layers: a title, the reference (x, y) or (cx, cy, w, h), and (M, L, K, 2) sampling locations, all as
            fractions of the picture.
    """
    height, width = image.shape[1:]
    panel = 7.2 / len(layers)
    figure, grid = new_figure(
        7.2, panel * height / width + 0.55, columns=len(layers), image_format="jpeg", sharex=True, sharey=True
    )
    picture_size = torch.tensor([width, height])
    for axes, (title, reference, locations) in zip(grid[0], layers, strict=True):
        draw_picture(axes, image * 0.45 + 0.55)
        heads, levels = locations.shape[:2]
        for level in reversed(range(levels)):
            for head in range(heads):
                pixels = locations[head, level] * picture_size - 0.5
                draw_points(axes, pixels, level=level, head=head, area=15, clip_on=True)
        if len(reference) == 4:
            _draw_box(axes, reference, (height, width), edgecolor=INK, linewidth=1.6)
        x, y = (reference[:2] * picture_size - 0.5).tolist()
        draw_reference_point(axes, x, y, size=10)
        axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
        axes.set_title(title, fontsize=9.5, loc="center")
    handles = [*level_handles(range(len(LEVEL_COLORS))), reference_handle()]
    figure.legend(handles=handles, loc="outside lower center", ncols=5)
    return figure


# ---------------------------------------------------------------- a reader's answer against the target


@styled
def boxes_against_target(yours: Tensor, target: Tensor, references: Tensor | None = None) -> Figure:
    """A few boxes (N, 4) as (cx, cy, w, h), yours dashed, the target's solid, and references as crosses."""
    figure, grid = new_figure(4.6, 4.2)
    axes = grid[0, 0]
    for number, (mine, right) in enumerate(zip(yours[:4], target[:4], strict=True)):
        color = BOX_STYLES[number % len(BOX_STYLES)][0]
        for box, style, width in ((right, "-", 3.0), (mine, "--", 1.6)):
            cx, cy, w, h = box.tolist()
            look = {
                "linestyle": style,
                "linewidth": width,
                "edgecolor": color if style == "-" else WRONG_COLOR,
            }
            axes.add_patch(Rectangle((cx - w / 2, cy - h / 2), w, h, fill=False, **look))
        if references is not None:
            draw_reference_point(axes, *references[number, :2].tolist(), size=8)
    axes.add_patch(Rectangle((0, 0), 1, 1, fill=False, edgecolor=GRID_COLOR, linewidth=1))
    axes.set(xlim=(-0.3, 1.3), ylim=(1.3, -0.3), aspect="equal")
    handles = [
        Line2D([], [], color=WRONG_COLOR, linestyle="--", label="yours"),
        Line2D([], [], color=RIGHT_COLOR, linewidth=3, label="target"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure
