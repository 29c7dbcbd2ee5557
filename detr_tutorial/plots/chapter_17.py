"""Figures of notebooks/17_matching_and_losses.ipynb: losses, their slopes, and who is matched with whom."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from torch import Tensor

from detr_tutorial.plots._style import (
    GRID_COLOR,
    INK,
    RIGHT_COLOR,
    WRONG_COLOR,
    Number,
    draw_picture,
    new_figure,
    styled,
)
from detr_tutorial.plots.chapter_01 import draw_boxes

COLORS = ("#999999", "#0072B2", "#E69F00", "#009E73", "#CC79A7")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
OBJECT_COLOR = "#222222"


def _curves(axes: Axes, x: Tensor, curves: Mapping[str, Tensor]) -> None:
    for (name, values), color, dashes in zip(curves.items(), COLORS, DASHES, strict=False):
        axes.plot(x.tolist(), values.tolist(), color=color, linestyle=dashes, label=name, linewidth=2)
    axes.set_xlim(float(x.min()), float(x.max()))


@styled
def focal_curves(p: Tensor, losses: Mapping[str, Tensor], slopes: Mapping[str, Tensor]) -> Figure:
    """The focal loss of one logit for several gammas, and how hard it pulls.

    Args:
        p: (n,) probability of the right answer.
        losses: by name, (n,) each.
        slopes: by name, (n,) each: the absolute slope along the logit.
    """
    figure, grid = new_figure(7.2, 2.9, columns=2)
    left, right = grid[0]
    _curves(left, p, losses)
    left.set(title="loss", xlabel="probability of the right answer", ylim=(0, 3))
    left.legend()
    _curves(right, p, slopes)
    right.set(title="slope along the logit", xlabel="probability of the right answer", ylim=(0, 1.6))
    right.legend()
    return figure


@styled
def class_prices(p: Tensor, prices: Mapping[str, Tensor], marked: Tensor, values: Tensor) -> Figure:
    """What a pair costs by the probability of the object's class.

    Args:
        p: (n,).
        prices: by name, (n,) each.
        marked: (k,) probabilities to put a dot at, on the last curve.
        values: (k,) prices there.
    """
    figure, grid = new_figure(6.2, 3.0)
    axes = grid[0, 0]
    axes.axhline(0, color=GRID_COLOR, linewidth=1)
    _curves(axes, p, prices)
    axes.scatter(marked.tolist(), values.tolist(), color=INK, zorder=5, s=26)
    for x, y in zip(marked.tolist(), values.tolist(), strict=True):
        offset = (7, 8) if x < 0.8 else (-44, -9)  # clear of the curves
        axes.annotate(f"{y:+.3f}".replace("-", "−"), (x, y), offset, textcoords="offset points", fontsize=9)
    axes.set(xlabel="probability of the object's class", ylabel="price", ylim=(-3.3, 1.9))
    axes.legend(loc="lower left")
    return figure


def _box(axes: Axes, box: Tensor, color: str, dashed: bool = False, width: Number = 1.8) -> None:
    """A box (4,) as (cx, cy, w, h)."""
    cx, cy, w, h = box.tolist()
    style = (0, (4, 2)) if dashed else "-"
    edge = Rectangle((cx - w / 2, cy - h / 2), w, h, fill=False, ec=color, lw=width, ls=style, zorder=4)
    axes.add_patch(edge)


def _square(axes: Axes) -> None:
    axes.set(xlim=(0, 1), ylim=(1, 0), xticks=[], yticks=[], aspect="equal")
    for spine in axes.spines.values():
        spine.set(visible=True, color=GRID_COLOR)


@styled
def landscapes(
    places: Tensor, losses: Mapping[str, Tensor], slopes: Mapping[str, Tensor], box: Tensor, other: Tensor
) -> Figure:
    """Each loss over the place of a box of fixed size, arrows downhill, and hatching where there is no slope.

    Args:
        places: (n, n, 2) centers (x, y), rows of one y.
        losses: by name, (n, n) each.
        slopes: by name, (n, n, 2) each: along cx and cy.
        box: (4,) as (cx, cy, w, h), the size that is moved.
        other: (4,), the object.
    """
    figure, grid = new_figure(7.2, 2.85, columns=len(losses))
    every = max(1, len(places) // 11)
    for axes, (name, loss) in zip(grid[0], losses.items(), strict=True):
        slope = slopes[name]
        flat = (slope.norm(dim=-1) < 1e-9).double()
        axes.imshow(loss.numpy(), extent=(0, 1, 1, 0), cmap="cividis", interpolation="bilinear")
        xs, ys = places[0, :, 0].numpy(), places[:, 0, 1].numpy()
        if bool(flat.any()):
            hatching = axes.contourf(xs, ys, flat.numpy(), levels=[0.5, 2], colors="none", hatches=["xx"])
            hatching.set(edgecolor="#555555", linewidth=0)
        start = every // 2
        down = -slope[start::every, start::every]
        length = down.norm(dim=-1, keepdim=True)
        down = torch.where(length > 1e-9, down / length.clamp(min=1e-9), torch.nan)
        at = places[start::every, start::every]
        axes.quiver(
            at[..., 0].numpy(),
            at[..., 1].numpy(),
            down[..., 0].numpy(),
            down[..., 1].numpy(),
            angles="xy",
            color="white",
            edgecolor=OBJECT_COLOR,
            linewidth=0.5,
            scale=15,
            width=0.009,
            pivot="mid",
        )
        _box(axes, other, "white", dashed=True, width=2.2)
        axes.patches[-1].set_path_effects([withStroke(linewidth=4, foreground=OBJECT_COLOR)])
        _box(axes, box, "#56B4E9", width=2.2)
        _square(axes)
        axes.set_title(f"{name}: {float(loss.min()):.2f} to {float(loss.max()):.2f}", fontsize=10)
    return figure


@styled
def descents(paths: Mapping[str, Tensor], overlaps: Mapping[str, Tensor], other: Tensor) -> Figure:
    """Where a box goes when it follows each loss, and its overlap with the object on the way.

    Args:
        paths: by name, (steps, 4) boxes.
        overlaps: by name, (steps,) IoU each.
        other: (4,), the object.
    """
    names = list(paths)
    figure, grid = new_figure(7.2, 4.2, rows=2, columns=len(names), height_ratios=(1.25, 1))
    for axes, name in zip(grid[0], names, strict=True):
        steps = len(paths[name])
        largest = int(paths[name][:, 2:].prod(-1).argmax())
        shown = sorted({0, steps // 12, largest, steps - 1})
        for index, share in zip(shown, torch.linspace(0.25, 1, len(shown)).tolist(), strict=True):
            _box(axes, paths[name][index], RIGHT_COLOR, width=0.8 + 1.6 * share)
            axes.patches[-1].set_alpha(0.3 + 0.7 * share)
        axes.plot(*paths[name][:, :2].T.tolist(), color=WRONG_COLOR, linewidth=1.4, zorder=5)
        axes.plot(*paths[name][0, :2].tolist(), "o", color=WRONG_COLOR, markersize=5, zorder=6)
        _box(axes, other, OBJECT_COLOR, dashed=True)
        _square(axes)
        axes.set_title(name, fontsize=9.5)
    for axes in grid[1]:
        axes.remove()
    below = figure.add_subplot(grid[1, 0].get_gridspec()[1, :])
    lengths = [len(values) for values in overlaps.values()]
    _curves(below, torch.arange(max(lengths)), overlaps)
    below.set(xlabel="step", ylabel="IoU", ylim=(-0.03, 1.05))
    below.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, fontsize=8)
    return figure


@styled
def at_a_tie(share: Tensor, losses: Mapping[str, Tensor], where: Mapping[str, Number]) -> Figure:
    """Two losses while a slot slides from one object to another; a dotted line where the pairs change."""
    figure, grid = new_figure(6.4, 2.7)
    axes = grid[0, 0]
    for (name, values), color, dashes in zip(
        losses.items(), (COLORS[0], COLORS[2]), ("--", "-"), strict=True
    ):
        axes.plot(share.tolist(), values.tolist(), color=color, linestyle=dashes, label=name)
        axes.axvline(where[name], color=color, linewidth=1, linestyle=":")
    axes.set(xlabel="how far slot 3 has slid onto the saucer's box", ylabel="loss", xlim=(0, 1))
    axes.set_ylim(0, None)
    axes.legend(loc="lower right")
    return figure


@styled
def matched(
    image: Tensor,
    boxes: Tensor,
    objects: Tensor,
    cost: Tensor,
    pairs: tuple[Tensor, Tensor],
    names: Sequence[str],
) -> Figure:
    """A picture with the matched boxes, and the price of every pair with the chosen ones framed.

    Args:
        image: (3, H, W) in [0, 1].
        boxes: (Q, 4) as (x1, y1, x2, y2) in pixels.
        objects: (n, 4), the same.
        cost: (Q, n).
        pairs: queries and objects.
        names: of the objects.
    """
    queries, items = (index.tolist() for index in pairs)
    figure, grid = new_figure(7.2, 3.5, columns=2, width_ratios=(1, 1.2), image_format="jpeg")
    left, right = grid[0]
    height, width = image.shape[1:]
    draw_picture(left, image)
    draw_boxes(left, boxes[queries], colors=("#F0C000",), width=1.8)
    draw_boxes(left, objects, dashed=True, width=1.1, halo=False)
    for query in queries:
        x1, y1, _, _ = boxes[query].clamp(min=2).tolist()
        label = left.text(x1 - 1.5, y1 + 1, str(query), color="#F0C000", fontsize=8, ha="right", va="top")
        label.set_bbox({"facecolor": "#000000", "alpha": 0.7, "pad": 0.8, "linewidth": 0})
    left.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), title="matched queries")
    shown = right.imshow(cost.T.numpy(), cmap="Blues_r", aspect="auto")
    for query, item in zip(queries, items, strict=True):
        right.add_patch(Rectangle((query - 0.5, item - 0.5), 1, 1, fill=False, ec=WRONG_COLOR, lw=2.4))
    right.set(title="price of every pair", xlabel="query")
    right.set_yticks(range(len(names)), names)
    right.set_xticks(range(0, cost.shape[0], 5))
    right.tick_params(length=0)
    figure.colorbar(shown, ax=right, pad=0.02)
    return figure


@styled
def slopes_by_queries(counts: Sequence[int], slopes: Mapping[str, Sequence[Number]]) -> Figure:
    """How hard one matched logit is pulled, over the number of queries."""
    figure, grid = new_figure(5.6, 2.5)
    axes = grid[0, 0]
    for (name, values), color, marker in zip(
        slopes.items(), (RIGHT_COLOR, WRONG_COLOR), ("o", "s"), strict=True
    ):
        axes.plot(counts, np.abs(values), color=color, marker=marker, label=name)
    axes.set(xscale="log", yscale="log", xlabel="number of queries", ylabel="slope of a matched logit")
    axes.set_xticks(counts, [str(count) for count in counts], minor=False)
    axes.minorticks_off()
    axes.legend()
    return figure
