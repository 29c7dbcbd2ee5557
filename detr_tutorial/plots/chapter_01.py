"""Figures of notebooks/01_set_prediction.ipynb: boxes on photographs, costs, and the whole DETR."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle
from matplotlib.patheffects import AbstractPathEffect, withStroke
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from detr_tutorial.plots._style import (
    INK,
    RIGHT_COLOR,
    WRONG_COLOR,
    BookFigure,
    Number,
    draw_picture,
    new_figure,
    styled,
)

# Okabe-Ito: slots differ by number as well, objects by name
SLOT_COLORS = ("#56B4E9", "#E69F00", "#CC79A7", "#F0E442", "#009E73", "#D55E00", "#0072B2", "#999999")
PANEL, RULE = "#F3F5F7", "#8A939C"

Pairs = Sequence[tuple[int, int]]


def _halo(width: Number) -> list[AbstractPathEffect]:
    """A dark rim, so that a line or a word is seen on any photograph."""
    return [withStroke(linewidth=width, foreground="#000000")]


def _photograph_figure(width: Number, height: Number, **subplots: Any) -> tuple[BookFigure, np.ndarray]:
    """A figure with photographs; this chapter has many, so each is a little smaller in bytes."""
    figure, grid = new_figure(width, height, image_format="jpeg", **subplots)
    figure.image_quality = 42
    return figure, grid


def _draw_smoothly(axes: Axes, image: Tensor) -> None:
    """A photograph that may be enlarged several times, without blocks."""
    draw_picture(axes, image)
    axes.images[-1].set_interpolation("bilinear")


def slot_color(slot: int) -> str:
    """The color of a prediction slot."""
    return SLOT_COLORS[slot % len(SLOT_COLORS)]


def draw_boxes(
    axes: Axes,
    boxes: Tensor,
    *,
    colors: Sequence[str] = ("white",),
    labels: Sequence[str] = (),
    dashed: bool = False,
    width: Number = 1.6,
    halo: bool = True,
    alpha: Number = 1.0,
) -> None:
    """Draw (N, 4) boxes as (x1, y1, x2, y2) in pixels; objects are dashed, predictions solid."""
    for index, (x1, y1, x2, y2) in enumerate(boxes.detach().tolist()):
        color = colors[index % len(colors)]
        box = Rectangle(
            (x1 - 0.5, y1 - 0.5),
            x2 - x1,
            y2 - y1,
            fill=False,
            edgecolor=color,
            linewidth=width,
            linestyle=(0, (4, 2)) if dashed else "-",
            alpha=alpha,
        )
        if halo:
            box.set_path_effects(_halo(width + 1.6))
        axes.add_patch(box)
        if index < len(labels):
            text = axes.text(x1 + 2, y1 - 3, labels[index], color=color, fontsize=9, fontweight="bold")
            text.set_path_effects(_halo(2.4))


@styled
def objects(photo: Tensor, boxes: Tensor, names: Sequence[str]) -> Figure:
    """A photograph with the boxes of its objects, by name."""
    figure, grid = _photograph_figure(4.6, 3.1)
    axes = grid[0, 0]
    _draw_smoothly(axes, photo)
    draw_boxes(axes, boxes, colors=SLOT_COLORS, labels=names, dashed=True, width=2.2)
    return figure


@styled
def anchors(photo: Tensor, every_anchor: Tensor, scores: Tensor, num_sizes: int, threshold: Number) -> Figure:
    """The anchors of one place, the centers of all, and the best score at every center.

    Args:
        photo: (3, H, W).
        every_anchor: (places num_sizes, 4), the sizes of one place together.
        scores: (places num_sizes,).
        num_sizes: anchors a place.
        threshold: the score above which an anchor says yes, marked on the scale.
    """
    figure, grid = _photograph_figure(7.2, 2.6, columns=2)
    by_place = every_anchor.unflatten(0, (-1, num_sizes))
    centers = (by_place[:, 0, :2] + by_place[:, 0, 2:]) / 2
    left, right = grid[0]
    _draw_smoothly(left, photo)
    left.plot(*(centers.T - 0.5).tolist(), ".", color="white", markersize=1.6, alpha=0.7)
    height, width = photo.shape[1:]
    best_place = int(scores.unflatten(0, (-1, num_sizes)).amax(1).argmax())
    draw_boxes(left, by_place[best_place], colors=SLOT_COLORS, width=1.8)
    left.set_title(f"{len(centers)} places × {num_sizes} sizes")
    _draw_smoothly(right, photo * 0.25)
    best = scores.unflatten(0, (-1, num_sizes)).amax(1)
    heat = right.scatter(*(centers.T - 0.5).tolist(), c=best.tolist(), s=9, marker="s", cmap="magma", vmin=0)
    right.set_title("the best score at each place")
    scale = figure.colorbar(heat, ax=right, shrink=0.85, pad=0.02)
    scale.ax.axhline(threshold, color="white", linewidth=1.5)
    scale.set_ticks([0, threshold, 0.2, 0.3, 0.4])
    for axes in grid[0]:
        axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    return figure


@styled
def boxes_on_photograph(photo: Tensor, panels: Sequence[tuple[str, Tensor]], marked: Tensor) -> Figure:
    """The same photograph several times, each with other boxes; two panels a row.

    Args:
        photo: (3, H, W).
        panels: a title and boxes (N, 4) as (x1, y1, x2, y2) in pixels.
        marked: (n, 4), the objects, drawn dashed in every panel.
    """
    rows = (len(panels) + 1) // 2
    columns = min(len(panels), 2)
    height, width = photo.shape[1:]
    panel_width = 7.2 / columns
    figure, grid = _photograph_figure(
        7.2, rows * (panel_width * height / width + 0.3), rows=rows, columns=columns
    )
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, (title, boxes) in zip(grid.flat, panels, strict=False):
        _draw_smoothly(axes, photo)
        draw_boxes(axes, boxes, colors=("#F0C000",), width=1.1, halo=False)
        draw_boxes(axes, marked, dashed=True, width=0.9, halo=False)
        axes.set(title=title, xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    return figure


@styled
def threshold_tradeoff(
    thresholds: Sequence[Number], counts: Sequence[tuple[int, int, int]], num_objects: int
) -> Figure:
    """Objects found and boxes too many, over the threshold of non-maximum suppression.

    Args:
        thresholds: of the overlap.
        counts: for each threshold the objects found, the duplicates, and the boxes that fit no object.
        num_objects: how many there are to be found.
    """
    found, duplicates, bad = zip(*counts, strict=True)
    figure, grid = new_figure(7.2, 2.5, columns=2)
    left, right = grid[0]
    left.axhline(num_objects, color=RULE, linewidth=1, linestyle=":")
    left.plot(thresholds, found, color=RIGHT_COLOR, marker="o")
    left.set(
        title=f"found, of {num_objects} marked galaxies",
        ylim=(0, num_objects * 1.15),
        yticks=range(0, num_objects + 1, 2),
    )
    right.plot(thresholds, duplicates, color=WRONG_COLOR, marker="s", label="duplicates")
    right.plot(thresholds, bad, color="#CC79A7", marker="^", linestyle="--", label="bad fits")
    right.set(title="boxes besides those", ylim=(0, max(*duplicates, *bad) * 1.1))
    right.legend(loc="upper left")
    for axes in grid[0]:
        axes.set(xlabel="threshold of the overlap", xticks=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    return figure


@styled
def costs(
    cost: Tensor, pairs: Sequence[tuple[str, Pairs]], slots: Sequence[str], names: Sequence[str]
) -> Figure:
    """A cost matrix, once for each way of pairing, with the chosen entries outlined.

    Args:
        cost: (Q, n).
        pairs: a title, and (slot, object) pairs.
        slots: names of the rows.
        names: of the columns.
    """
    figure, grid = new_figure(2.6 * len(pairs) + 0.6, 0.42 * len(cost) + 1.0, columns=len(pairs), sharey=True)
    for axes, (title, chosen) in zip(grid[0], pairs, strict=True):
        axes.imshow(cost.tolist(), cmap="Blues", vmin=float(cost.min()) - 1, vmax=float(cost.max()) * 1.8)
        for row, column in np.ndindex(*cost.shape):
            is_chosen = (row, column) in chosen
            axes.text(
                column,
                row,
                f"{cost[row, column]:.2f}",
                ha="center",
                va="center",
                fontsize=9.5,
                fontweight="bold" if is_chosen else "normal",
            )
            if is_chosen:
                axes.add_patch(
                    Rectangle((column - 0.46, row - 0.43), 0.92, 0.86, fill=False, ec=WRONG_COLOR, lw=2.4)
                )
        total = sum(float(cost[pair]) for pair in chosen)
        axes.set_title(f"{title}: {total:.2f}", fontsize=10)
        axes.set_xticks(range(len(names)), names)
        axes.set_yticks(range(len(slots)), slots)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_aspect("auto")
    return figure


@styled
def sorted_or_matched(positions: Tensor, by_order: Tensor, by_matching: Tensor) -> Figure:
    """Two losses while one object slides past another."""
    figure, grid = new_figure(6.0, 2.5)
    axes = grid[0, 0]
    axes.plot(
        positions.tolist(),
        by_order.tolist(),
        color=WRONG_COLOR,
        linestyle="--",
        label="pairs by order, from left to right",
    )
    axes.plot(
        positions.tolist(), by_matching.tolist(), color=RIGHT_COLOR, label="the better of both pairings"
    )
    axes.set(xlabel="center of the object that moves", ylabel="loss", ylim=(0, float(by_order.max()) * 1.1))
    axes.legend(loc="center right")
    return figure


def _free_place(objects: Tensor, index: int, width: int) -> tuple[float, float]:
    """The upper left corner of a label of 10 x 6 pixels beside an object, on no other object."""
    x1, y1, x2, y2 = objects[index].tolist()
    middle_x, middle_y = (x1 + x2) / 2 - 5, (y1 + y2) / 2 - 3
    places = [(x2 + 1, middle_y), (x1 - 11, middle_y), (middle_x, y2 + 1), (middle_x, y1 - 7)]
    for left, top in places:
        start, end = objects[:, :2], objects[:, 2:]
        hits = (start < torch.tensor([left + 10, top + 6])) & (end > torch.tensor([left, top]))
        if left + 10 < width and not hits.all(dim=1).any():
            return left, top
    return places[0]


@styled
def after_training(photo: Tensor, objects: Tensor, panels: Sequence[tuple[str, Tensor, Tensor]]) -> Figure:
    """Where free slots ended, for several rules; the marked objects are dashed.

    Args:
        photo: (3, H, W).
        objects: (n, 4) as (x1, y1, x2, y2) in pixels.
        panels: a title, the boxes (Q, 4) of the slots, and (Q,) bool, True where a slot says "object".
    """
    height, width = photo.shape[1:]
    panel_width = 7.2 / len(panels)
    figure, grid = _photograph_figure(7.2, panel_width * height / width + 0.35, columns=len(panels))
    for axes, (title, boxes, says_object) in zip(grid[0], panels, strict=True):
        _draw_smoothly(axes, photo)
        draw_boxes(axes, objects, colors=("white",), dashed=True, width=1.0, halo=False)
        draw_boxes(axes, boxes[~says_object], colors=("#9AA4AE",), width=0.7, halo=False, alpha=0.8)
        draw_boxes(axes, boxes[says_object], colors=("#F0C000",), width=1.5)
        nearest = torch.cdist(boxes[says_object], objects).argmin(1)
        for index in range(len(objects)):
            count = int((nearest == index).sum())
            left, top = _free_place(objects, index, width)
            text = axes.text(
                left + 5, top + 3, f"×{count}", color="white", fontsize=9, ha="center", va="center"
            )
            text.set(path_effects=_halo(2), fontweight="bold" if count != 1 else "normal")
        axes.set(title=title, xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    return figure


@styled
def found(
    images: Tensor,
    answers: Sequence[Sequence[tuple[int, str, Tensor]]],
    marked: Tensor,
    losses: Sequence[Number],
) -> Figure:
    """What a detector says about some images, and the loss while it learned them.

    Args:
        images: (B, 3, H, W) in [0, 1].
        answers: for each image, triples of a slot, a name with its overlap, and a box (4,) as
            (x1, y1, x2, y2), fractions of the image.
        marked: (B, n, 4), the boxes that were asked for, in the same form.
        losses: one number a step.
    """
    height, width = images.shape[2:]
    photo_height = 7.2 / len(images) * height / width
    figure = new_figure(7.2, photo_height + 1.5, image_format="jpeg")[0]
    figure.image_quality = 42
    figure.clear()
    grid = figure.add_gridspec(2, len(images), height_ratios=[photo_height, 1.1])
    size = torch.tensor([width, height, width, height])
    for column, (image, answer, wanted) in enumerate(zip(images, answers, marked, strict=True)):
        axes = figure.add_subplot(grid[0, column])
        _draw_smoothly(axes, image)
        by_area = sorted(answer, key=lambda item: -float((item[2][2:] - item[2][:2]).prod()))
        for index, (slot, name, box) in enumerate(by_area):
            pixels = box.detach() * size
            draw_boxes(axes, pixels[None], colors=(slot_color(slot),), width=2.2)
            x1, y1, _, y2 = pixels.tolist()
            at_top = index == 1  # nested boxes begin at nearly the same corner
            text = axes.text(
                max(x1, 0) + 0.012 * width,
                max(y1, 0) + 0.02 * height if at_top else min(y2, height) - 0.02 * height,
                f"{slot}: {name}",
                color=slot_color(slot),
                fontsize=8.5,
                va="top" if at_top else "bottom",
            )
            text.set_path_effects(_halo(1.8))
        draw_boxes(axes, wanted * size, dashed=True, width=0.9, halo=False)
    below = figure.add_subplot(grid[1, :])
    below.plot(range(1, len(losses) + 1), losses, color=RIGHT_COLOR)
    below.set(xlabel="step", ylabel="loss", ylim=(0, None))
    return figure


# ---------------------------------------------------------------- the whole DETR


def _panel(axes: Axes, x: Number, y: Number, width: Number, height: Number, title: str, text: str) -> None:
    style = "round,pad=0,rounding_size=1.2"
    axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=style, fc=PANEL, ec=INK, lw=1.2))
    axes.text(
        x + width / 2, y + height - 3.0, title, ha="center", va="center", fontweight="bold", fontsize=10
    )
    axes.text(
        x + width / 2, y + (height - 4.2) / 2, text, ha="center", va="center", fontsize=8.2, linespacing=1.35
    )


def _arrow(axes: Axes, start: tuple[Number, Number], end: tuple[Number, Number], **style: Any) -> None:
    options: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 11, "color": INK, "linewidth": 1.3}
    axes.add_patch(FancyArrowPatch(start, end, shrinkA=0, shrinkB=0, **(options | style)))


def _note(axes: Axes, x: Number, y: Number, text: str, **style: Any) -> None:
    options: dict[str, Any] = {
        "ha": "center",
        "va": "center_baseline",
        "fontsize": 8.2,
        "color": INK,
        "linespacing": 1.3,
    }
    axes.text(x, y, text, **(options | style))


@styled
def whole_detr(
    photo: Tensor, cells: tuple[int, int], answers: Sequence[str], names: Sequence[str], boxes: Tensor
) -> Figure:
    """The whole DETR: photograph, map, tokens, encoder, decoder with object queries, slots, matching.

    Args:
        photo: (3, H, W) in [0, 1].
        cells: (rows, columns) of the feature map.
        answers: what each slot says, a name or "nothing".
        names: of the objects, in the order of the annotation.
        boxes: (n, 4) of the objects, as (x1, y1, x2, y2), fractions of the photograph.
    """
    figure, grid = new_figure(7.4, 5.1)
    axes = grid[0, 0]
    axes.set(xlim=(0, 100), ylim=(-1, 69))
    axes.set_axis_off()
    rows, columns = cells
    mosaic = adaptive_avg_pool2d(photo, cells).clamp(0, 1).permute(1, 2, 0).numpy()

    # above: from the photograph to tokens that know about each other
    axes.imshow(
        photo.permute(1, 2, 0).clamp(0, 1).numpy(),
        extent=(1, 19, 50, 62),
        aspect="auto",
        interpolation="bilinear",
    )
    _note(axes, 10, 64.3, "photograph", fontweight="bold", fontsize=10)
    _arrow(axes, (20, 56), (23.5, 56))
    axes.add_patch(Polygon([(24, 49.5), (24, 62.5), (34, 59.5), (34, 52.5)], fc=PANEL, ec=INK, lw=1.2))
    _note(axes, 29, 56, "CNN", fontsize=9)
    _note(axes, 29, 64.3, "backbone", fontweight="bold", fontsize=10)
    _arrow(axes, (34.5, 56), (38, 56))
    axes.imshow(mosaic, extent=(38.5, 53.5, 51, 61), aspect="auto")
    for column in range(columns + 1):
        axes.plot([38.5 + 15 * column / columns] * 2, [51, 61], color="white", linewidth=0.8)
    for row in range(rows + 1):
        axes.plot([38.5, 53.5], [51 + 10 * row / rows] * 2, color="white", linewidth=0.8)
    _note(axes, 46, 64.3, "feature map", fontweight="bold", fontsize=10)
    _arrow(axes, (54, 56), (62.5, 56))
    _note(axes, 58.3, 59.4, "flatten,\n+ position", fontsize=7.6)
    _panel(axes, 77, 45.5, 22, 21, "encoder", "every token\nlooks at\nevery token")
    tokens = mosaic.reshape(-1, 3)
    top, bottom = 66.0, 46.0
    for index, color in enumerate(tokens):
        y = top - (top - bottom) * (index + 1) / len(tokens)
        axes.add_patch(Rectangle((63.5, y), 4, (top - bottom) / len(tokens), fc=color, ec="white", lw=0.5))
    _note(axes, 65.5, 43.9, f"{len(tokens)} tokens", fontsize=8.6)
    _arrow(axes, (68.5, 56), (76.5, 56))

    # below: from questions to answers
    _note(axes, 7, 38.4, "object queries", fontweight="bold", fontsize=10)
    _note(axes, 7, 1.6, "learned, the same\nfor every picture", fontsize=7.8)
    step = 27 / (len(answers) - 1)
    heights = [34.5 - step * slot for slot in range(len(answers))]
    for slot, y in enumerate(heights):
        axes.add_patch(Circle((7, y), 1.9, fc=slot_color(slot), ec=INK, lw=1.0))
        _note(axes, 7, y - 0.1, str(slot), fontsize=8.5, fontweight="bold")
        _arrow(axes, (9.4, y), (17.2, y), linewidth=1.0)
        _arrow(axes, (42, y), (49.2, y), linewidth=1.0)
        axes.text(
            51, y, answers[slot], fontsize=9, va="center", color=INK if answers[slot] in names else RULE
        )
        axes.add_patch(Circle((69, y), 0.9, fc=slot_color(slot), ec=INK, lw=0.8))
        if answers[slot] in names:
            x1, y1, x2, y2 = boxes[names.index(answers[slot])].tolist()
            axes.add_patch(Rectangle((60.5, y - 2.1), 6, 4.2, fc="white", ec=RULE, lw=0.7))
            corner, size = (60.5 + 6 * x1, y + 2.1 - 4.2 * y2), (6 * (x2 - x1), 4.2 * (y2 - y1))
            axes.add_patch(Rectangle(corner, *size, fill=False, ec=slot_color(slot), lw=1.8))
    _panel(
        axes,
        17.6,
        4.8,
        24,
        32.4,
        "decoder",
        "queries look at\neach other,\nthen at all tokens\n\nall slots at once",
    )
    axes.plot([88, 88, 29.6], [45.2, 41, 41], color=INK, linewidth=1.3, solid_joinstyle="round")
    _arrow(axes, (29.6, 41), (29.6, 37.5))
    _note(axes, 45.6, 38.6, "heads", fontweight="bold", fontsize=10)
    _note(axes, 58.5, 38.6, "a set of slots", fontweight="bold", fontsize=10)
    _note(axes, 58.5, 1.6, "class and box", fontsize=7.8)

    spots = np.linspace(31, 11, len(names))
    for name, y in zip(names, spots, strict=True):
        slot = answers.index(name)
        axes.plot([69.9, 85.4], [heights[slot], y], color=slot_color(slot), linewidth=2.2, zorder=1)
        axes.plot([69.9, 85.4], [heights[slot], y], color=INK, linewidth=0.6, linestyle=(0, (2, 2)), zorder=2)
        box = FancyBboxPatch(
            (85.5, y - 2), 12.5, 4, boxstyle="round,pad=0,rounding_size=0.8", fc="white", ec=INK, lw=1.2
        )
        box.set_linestyle((0, (4, 2)))
        axes.add_patch(box)
        _note(axes, 91.8, y - 0.1, name, fontsize=9)
    _note(axes, 77.5, 38.6, "matching", fontweight="bold", fontsize=10)
    _note(axes, 91.8, 38.6, "objects", fontweight="bold", fontsize=10)
    _note(
        axes,
        84,
        1.6,
        "only in training: one slot for each object,\nthe other slots learn to say “nothing”",
        fontsize=7.8,
    )
    return figure
