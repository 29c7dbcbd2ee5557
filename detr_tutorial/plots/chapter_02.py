"""The figures of notebooks/02_images_boxes_padding.ipynb: notations, overlap, crops, batches, masks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from torch import Tensor

from detr_tutorial.plots._style import (
    GRID_COLOR,
    INK,
    PADDING_COLOR,
    RIGHT_COLOR,
    WRONG_COLOR,
    Number,
    draw_cells,
    draw_picture,
    new_figure,
    styled,
)

MUTED = "#666666"
BOX_COLORS = ("#56B4E9", "#F0E442", "#CC79A7", "#009E73")  # Okabe-Ito, by object; every box carries its name
BOX_LINES = ("solid", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)))
Size = tuple[int, int]


def _photo_figure(width: Number, height: Number, rows: int = 1, columns: int = 1, **subplots: Any) -> tuple:
    """A figure with photographs: several share a page here, so each is kept small."""
    figure, grid = new_figure(width, height, rows, columns, image_format="jpeg", **subplots)
    figure.image_quality = 72
    _pad(figure)
    return figure, grid


def _pad(figure: Figure, top: Number = 0.0) -> None:
    """Keep titles off the edge of a figure, by a part of its height where that is not enough."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(h_pad=0.08, rect=(0, 0, 1, 1 - top))  # pyright: ignore[reportCallIssue]


def _outlined(color: str = "white", width: Number = 3) -> list:
    return [withStroke(linewidth=width, foreground=color)]


def _draw_box(axes: Axes, corners: Sequence[Number], color: str, name: str = "", **style: Any) -> None:
    """A box (x1, y1, x2, y2) whose coordinates are edges of pixels: 0 is the left edge of the first."""
    x1, y1, x2, y2 = (float(corner) - 0.5 for corner in corners)  # a picture is drawn with centers at 0, 1, 2
    options = {"fill": False, "linewidth": 2.0, "zorder": 4, **style}
    box = Rectangle((x1, y1), x2 - x1, y2 - y1, edgecolor=color, **options)
    axes.add_patch(box)
    box.set_path_effects(_outlined(INK, float(box.get_linewidth()) + 1.6))
    if name:
        label = {"facecolor": color, "edgecolor": INK, "linewidth": 0.7, "boxstyle": "square,pad=0.18"}
        axes.text(x1, y1, name, fontsize=8, color=INK, va="top", ha="left", bbox=label, zorder=5)


def _draw_soft(axes: Axes, image: Tensor, longest: int) -> None:
    """A photograph with fewer pixels, at its own place and size: far fewer bytes."""
    height, width = image.shape[1:]
    scale = min(1.0, longest / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = torch.nn.functional.interpolate(image[None], size=size, mode="bilinear", antialias=True)[0]
    draw_picture(axes, small)
    axes.images[-1].set_extent((-0.5, width - 0.5, height - 0.5, -0.5))
    axes.images[-1].set_interpolation("bicubic")


def cut_to_size(image: Tensor, size: Size) -> Tensor:
    """Resize a picture (3, H, W) until it covers a size, and cut out its middle: nothing is stretched."""
    scale = max(size[0] / image.shape[1], size[1] / image.shape[2])
    covering = [max(side, round(own * scale)) for side, own in zip(size, image.shape[1:], strict=True)]
    resized = torch.nn.functional.interpolate(
        image[None].float(), size=covering, mode="bilinear", antialias=True
    )[0]
    top, left = (covering[0] - size[0]) // 2, (covering[1] - size[1]) // 2
    return resized[:, top : top + size[0], left : left + size[1]].clamp(0, 1)


def _draw_boxes(axes: Axes, boxes: Tensor, names: Sequence[str], colors: Sequence[int] | None = None) -> None:
    order = range(len(boxes)) if colors is None else colors
    for corners, name, index in zip(boxes.tolist(), names, order, strict=True):
        _draw_box(axes, corners, BOX_COLORS[index], name, linestyle=BOX_LINES[index])


def _draw_padding(axes: Axes, size: Size) -> None:
    """A canvas of padding, hatched, in its pixel coordinates; pictures are drawn over it."""
    height, width = size
    canvas = Rectangle((-0.5, -0.5), width, height, facecolor=PADDING_COLOR, zorder=-1)
    axes.add_patch(canvas)
    canvas.set(hatch="///", edgecolor="#BDBDBD", linewidth=0)
    frame = Rectangle((-0.5, -0.5), width, height, fill=False, edgecolor=MUTED, linewidth=1, zorder=3)
    axes.add_patch(frame)


def _frame(axes: Axes, size: Size, margin: Number = 0.01) -> None:
    height, width = size
    axes.set_xlim(-0.5 - margin * width, width * (1 + margin) - 0.5)
    axes.set_ylim(height * (1 + margin) - 0.5, -0.5 - margin * height)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


@styled
def three_notations(image: Tensor, corners: Tensor) -> Figure:
    """One box on a photograph, and the four numbers that each of the three notations holds.

    Args:
        image: (3, H, W) in [0, 1].
        corners: (4,) the box as (x1, y1, x2, y2), in pixels.
    """
    x1, y1, x2, y2 = corners.tolist()
    width, height, cx, cy = x2 - x1, y2 - y1, (x1 + x2) / 2, (y1 + y2) / 2
    figure, grid = _photo_figure(6.2, 1.75, columns=3)
    titles = ("COCO files: (x, y, w, h)", "overlap: (x1, y1, x2, y2)", "the model: (cx, cy, w, h)")
    text = {"fontsize": 8.5, "color": INK, "zorder": 6, "path_effects": _outlined()}

    def dot(axes: Axes, x: Number, y: Number, label: str, **place: Any) -> None:
        axes.plot(x, y, "o", color=BOX_COLORS[1], markeredgecolor=INK, markersize=7, zorder=6)
        axes.annotate(label, (x, y), textcoords="offset points", **(text | place))

    def arrow(axes: Axes, start: tuple, end: tuple) -> None:
        style = {"arrowstyle": "<->", "color": INK, "linewidth": 1.3, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", start, end, arrowprops=style | {"path_effects": _outlined()}, zorder=5)

    for axes, title in zip(grid[0], titles, strict=True):
        _draw_soft(axes, image * 0.55 + 0.45, 260)  # paler, so that lines and numbers stand out
        _draw_box(axes, (x1, y1, x2, y2), BOX_COLORS[0])
        axes.set_title(title, fontsize=9.5)
    left, middle, right = grid[0]
    for axes in (left, right):
        arrow(axes, (x1, y2 + 24), (x2, y2 + 24))
        axes.text(cx, y2 + 32, f"w = {width:g}", ha="center", va="top", **text)
        arrow(axes, (x2 + 24, y1), (x2 + 24, y2))
        axes.text(x2 + 34, cy, f"h = {height:g}", va="center", **text)
    corner = {"xytext": (-4, -3), "ha": "right", "va": "top"}
    dot(left, x1, y1, f"({x1:g}, {y1:g})", **corner)
    dot(middle, x1, y1, f"({x1:g}, {y1:g})", **corner)
    dot(middle, x2, y2, f"({x2:g}, {y2:g})", xytext=(4, -5), ha="left", va="top")
    dot(right, cx, cy, f"({cx:g}, {cy:g})", xytext=(0, 7), ha="center", va="bottom")
    return figure


@styled
def edges(size: Size, corners: Sequence[int]) -> Figure:
    """A small map, a box on it, and the rulers that count the edges of its pixels.

    Args:
        size: (height, width) of the map, in pixels.
        corners: (x1, y1, x2, y2) of the box, in pixels.
    """
    height, width = size
    x1, y1, x2, y2 = corners
    figure, grid = new_figure(5.0, 3.0)
    axes = grid[0, 0]
    draw_cells(axes, size, numbers=False, margin=1.2)
    for row in range(y1, y2):
        for column in range(x1, x2):
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=RIGHT_COLOR, alpha=0.16))
    box = Rectangle((x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, fill=False, edgecolor=RIGHT_COLOR, linewidth=2.4)
    axes.add_patch(box)
    box.set_zorder(3)
    axes.text(x1 - 0.42, y1 - 0.42, f"({x1}, {y1}, {x2}, {y2})", fontsize=9, va="top", color=RIGHT_COLOR)

    def numbers(edge: int, first: int, last: int) -> dict:
        bold = edge in (first, last)
        return {
            "ha": "center",
            "va": "center",
            "fontweight": "bold" if bold else "normal",
            "color": RIGHT_COLOR if bold else INK,
        }

    for edge in range(width + 1):
        axes.text(edge - 0.5, -0.85, str(edge), **numbers(edge, x1, x2))
        axes.plot([edge - 0.5] * 2, [-0.66, -0.5], color=INK, linewidth=1, clip_on=False)
    for edge in range(height + 1):
        axes.text(-0.9, edge - 0.5, str(edge), **numbers(edge, y1, y2))
        axes.plot([-0.66, -0.5], [edge - 0.5] * 2, color=INK, linewidth=1, clip_on=False)
    axes.set_xlim(-1.3, width - 0.2)
    axes.set_ylim(height - 0.2, -1.2)
    return figure


@styled
def overlap(first: Sequence[int], second: Sequence[int], shifts: Tensor, iou: Tensor, giou: Tensor) -> Figure:
    """Two boxes on a grid with their common cells, and what IoU and GIoU say while one slides past the other.

    Args:
        first: (x1, y1, x2, y2), whole numbers.
        second: the same.
        shifts: (N,) how far a box of side 1 lies to the right of another of side 1.
        iou: (N,) for each shift.
        giou: (N,) for each shift.
    """
    figure, grid = new_figure(7.2, 2.9, columns=2, width_ratios=(1, 1.25))
    axes = grid[0, 0]
    width, height = max(first[2], second[2]), max(first[3], second[3])
    draw_cells(axes, (height, width), numbers=False, margin=0.3)
    for corners, color, hatch, name in (
        (first, RIGHT_COLOR, "////", "a"),
        (second, WRONG_COLOR, "\\\\\\\\", "b"),
    ):
        x1, y1, x2, y2 = corners
        box = Rectangle((x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, facecolor="none", edgecolor=color, alpha=0.45)
        axes.add_patch(box)
        box.set(hatch=hatch, linewidth=0)
        outline = Rectangle(
            (x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, fill=False, edgecolor=color, linewidth=2.4
        )
        axes.add_patch(outline)
        halo = {"facecolor": "white", "edgecolor": "none", "boxstyle": "round,pad=0.15"}
        x, y = (x1, y1) if name == "a" else (x2 - 1, y2 - 1)
        axes.text(
            x, y, name, fontsize=13, fontweight="bold", color=color, ha="center", va="center", bbox=halo
        )
    left, top = max(first[0], second[0]), max(first[1], second[1])
    right, bottom = min(first[2], second[2]), min(first[3], second[3])
    common = (bottom - top) * (right - left)
    axes.add_patch(
        Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, facecolor="white", zorder=3)
    )
    axes.add_patch(
        Rectangle(
            (left - 0.5, top - 0.5), right - left, bottom - top, facecolor="#D9D9D9", alpha=0.9, zorder=3
        )
    )
    for number in range(common):
        row, column = divmod(number, right - left)
        axes.text(left + column, top + row, str(number + 1), ha="center", va="center", fontsize=9, zorder=4)
    axes.set_title(f"{common} common cells")

    curve = grid[0, 1]
    curve.axhline(0, color=GRID_COLOR, linewidth=1)
    curve.plot(shifts.tolist(), iou.tolist(), color=INK, linestyle="--", label="IoU")
    curve.plot(shifts.tolist(), giou.tolist(), color=RIGHT_COLOR, label="GIoU")
    curve.axvspan(1, float(shifts.max()), color=PADDING_COLOR, alpha=0.5, linewidth=0)
    curve.text(float(shifts.max()) - 0.05, 0.97, "apart", ha="right", va="top", color=MUTED)
    curve.text(0.52, 0.42, "IoU = GIoU", color=INK)
    curve.text(2.2, 0.06, "IoU", color=INK)
    curve.text(2.2, -0.27, "GIoU", color=RIGHT_COLOR)
    curve.set(xlabel="shift, in sides of the box", ylim=(-0.8, 1.05), xlim=(0, float(shifts.max())))
    curve.set_title("two equal squares, one slides along the x axis")
    return figure


@styled
def misreadings(image: Tensor, read: Tensor, overlaps: Tensor, names: Sequence[str]) -> Figure:
    """Every notation read as every other: the box that was meant, the box that comes out, and their overlap.

    Args:
        image: (3, H, W) in [0, 1].
        read: (3, 3, 4) as (x1, y1, x2, y2) in pixels: written in notation i, read as notation j.
        overlaps: (3, 3) IoU with the box that was meant.
        names: of the three notations.
    """
    height, width = image.shape[1:]
    corners = torch.cat([read.reshape(-1, 2, 2).flatten(0, 1), torch.tensor([[0.0, 0.0], [width, height]])])
    (left, top), (right, bottom) = corners.amin(0).tolist(), corners.amax(0).tolist()
    figure, grid = _photo_figure(5.6, 5.1, rows=3, columns=3)
    for row, written in enumerate(names):
        for column, as_what in enumerate(names):
            axes = grid[row, column]
            _draw_soft(axes, image * 0.5 + 0.5, 180)
            _draw_box(axes, read[row, row].tolist(), BOX_COLORS[0])
            x1, y1, x2, y2 = read[row, column].tolist()
            same, inverted = row == column, x2 < x1 or y2 < y1
            if inverted:
                cross = {
                    "color": WRONG_COLOR,
                    "linewidth": 2,
                    "path_effects": _outlined(INK, 3.6),
                    "zorder": 5,
                }
                axes.plot([x1, x2], [y1, y2], **cross)
                axes.plot([x1, x2], [y2, y1], **cross)
            elif not same:
                _draw_box(axes, (x1, y1, x2, y2), WRONG_COLOR, linestyle=(0, (4, 1.5)))
            axes.set_xlim(left - 12, right + 12)
            axes.set_ylim(bottom + 12, top - 12)
            label = "right" if same else f"IoU {overlaps[row, column]:.2f}"
            if inverted:
                label = f"no box: {'x2 < x1' if x2 < x1 else 'y2 < y1'}"
            axes.text(
                left,
                bottom,
                label,
                ha="left",
                va="bottom",
                fontsize=9,
                fontweight="bold",
                color=RIGHT_COLOR if same else "#A04000",
                bbox={"facecolor": "white", "edgecolor": "none", "boxstyle": "square,pad=0.15"},
                zorder=7,
            )
            if row == 0:
                axes.set_title(f"read as {as_what}", fontsize=9.5, loc="center")
            if column == 0:
                axes.set_ylabel(f"written as\n{written}", fontsize=9.5)
    return figure


@styled
def crop(
    image: Tensor, boxes: Tensor, window: Sequence[int], cut: Tensor, kept: Tensor, names: Sequence[str]
) -> Figure:
    """A window cut out of a photograph: boxes before, and what is left of them.

    Args:
        image: (3, H, W) in [0, 1].
        boxes: (N, 4) as (x1, y1, x2, y2), in pixels.
        window: (left, top, right, bottom), in pixels.
        cut: (N', 4) the boxes that are left, in pixels of the window.
        kept: (N,) bool, which are left.
        names: of the N objects.
    """
    left, top, right, bottom = window
    height, width = image.shape[1:]
    share = (right - left) / width
    figure, grid = _photo_figure(6.4, 2.65, columns=2, width_ratios=(1, share))
    axes = grid[0, 0]
    outside = image * 0.45 + 0.55
    outside[:, top:bottom, left:right] = image[:, top:bottom, left:right]
    _draw_soft(axes, outside, 450)
    _draw_boxes(axes, boxes, names)
    _draw_box(axes, (left, top, right, bottom), "white", linewidth=2.6)
    axes.set_title(f"{height} x {width}, and a window")
    _frame(axes, (height, width))
    axes = grid[0, 1]
    _draw_soft(axes, image[:, top:bottom, left:right], 240)
    indices: list[int] = kept.nonzero().flatten().tolist()
    _draw_boxes(axes, cut, [names[index] for index in indices], indices)
    axes.set_title(f"cut out: {bottom - top} x {right - left}")
    _frame(axes, (height, right - left))  # as high as the photograph: both at one scale
    return figure


@styled
def augmentation(
    rows: Mapping[str, Sequence[tuple[Tensor, dict[str, Any]]]],
    flipped: Sequence[bool],
    names: Sequence[str],
) -> Figure:
    """Random draws of one photograph, all at one scale, so that their sizes can be compared.

    Args:
        rows: by title, the draws, equally many in each row: the picture (3, H, W), and "boxes" (n, 4) as
            (x1, y1, x2, y2) in its pixels with "labels" (n,), which object each box is.
        flipped: for every draw, row after row, whether it is mirrored.
        names: of the objects.
    """
    draws = list(rows.values())
    heights = [max(image.shape[1] for image, _ in row) + 12 for row in draws]
    width = max(image.shape[2] for row in draws for image, _ in row) + 12
    columns = len(draws[0])
    page = 6.4
    height = page / columns / width * sum(heights) + 0.45 * len(draws) + 0.35
    figure, grid = _photo_figure(page, height, len(draws), columns, height_ratios=heights)
    _pad(figure, top=0.04)
    turned = iter(flipped)
    for (title, row), line, tallest in zip(rows.items(), grid, heights, strict=True):
        for axes, (image, target) in zip(line, row, strict=True):
            _draw_soft(axes, image, max(1, round(max(image.shape) * 0.8)))
            for corners, index in zip(target["boxes"].tolist(), target["labels"].tolist(), strict=True):
                _draw_box(axes, corners, BOX_COLORS[index], linestyle=BOX_LINES[index], linewidth=1.6)
            axes.set_xlim(-4, width - 8)
            axes.set_ylim(tallest - 8, -4)
            size = f"{image.shape[1]} x {image.shape[2]}{', flipped' if next(turned) else ''}"
            above = f"{title}\n" if axes is line[0] else "\n"
            axes.set_title(above + size, fontsize=9)
    present = sorted(
        {int(index) for row in draws for _, target in row for index in target["labels"].tolist()}
    )
    handles = [
        Patch(facecolor="none", edgecolor=BOX_COLORS[i], linestyle=BOX_LINES[i], linewidth=2, label=names[i])
        for i in present
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


@styled
def padded_sizes(images: Sequence[Tensor], sizes: Sequence[Size]) -> Figure:
    """Pictures of different size on one canvas, with the padding that each of them gets, in pixels.

    Args:
        images: (3, H_i, W_i) in [0, 1], brought to their size without stretching.
        sizes: (height, width) of each; the canvas has the largest height and the largest width.
    """
    pictures = [cut_to_size(image, size) for image, size in zip(images, sizes, strict=True)]
    height, width = (max(side) for side in zip(*sizes, strict=True))
    figure, grid = _photo_figure(5.8, 2.7, columns=len(pictures))
    halo = {"facecolor": "white", "edgecolor": "none", "boxstyle": "round,pad=0.25", "alpha": 0.95}
    for axes, picture in zip(grid[0], pictures, strict=True):
        _draw_padding(axes, (height, width))
        own_height, own_width = picture.shape[1:]
        _draw_soft(axes, picture, 400)
        _frame(axes, (height, width))
        text = {"ha": "center", "va": "center", "fontsize": 9, "bbox": halo, "zorder": 6}
        arrow = {"arrowstyle": "<->", "color": INK, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}
        if width > own_width:
            y = own_height * 0.5
            axes.annotate("", (own_width, y), (width, y), arrowprops=arrow)
            axes.text((own_width + width) / 2, y, f"{width - own_width} columns", **text)
        if height > own_height:
            x = own_width * 0.5
            axes.annotate("", (x, own_height), (x, height), arrowprops=arrow)
            axes.text(x, (own_height + height) / 2, f"{height - own_height} rows", **text)
        axes.set_title(f"{own_height} x {own_width} on {height} x {width}")
    return figure


@styled
def batch_and_masks(pictures: Sequence[Tensor], mask: Tensor) -> Figure:
    """The photographs of a batch on their common canvas, and the mask of each.

    Args:
        pictures: (3, H_i, W_i) in [0, 1].
        mask: (B, H, W) bool, True is padding.
    """
    size = (mask.shape[1], mask.shape[2])
    figure, grid = _photo_figure(7.2, 1.75, columns=2 * len(pictures))
    for index, picture in enumerate(pictures):
        axes = grid[0, 2 * index]
        _draw_padding(axes, size)
        _draw_soft(axes, picture, 200)
        _frame(axes, size)
        axes.set_title(f"image {index}", fontsize=9.5)
        axes = grid[0, 2 * index + 1]
        axes.imshow(mask[index].numpy(), cmap="Greys", vmin=0, vmax=1.6)
        _frame(axes, size)
        axes.add_patch(Rectangle((-0.5, -0.5), size[1], size[0], fill=False, edgecolor=MUTED))
        own_height, own_width = picture.shape[1:]
        axes.text(own_width / 2, own_height / 2, "False", ha="center", va="center", fontsize=10)
        below = own_height < size[0]
        x = own_width / 2 if below else (own_width + size[1]) / 2
        y = (own_height + size[0]) / 2 if below else own_height / 2
        axes.text(x, y, "True", ha="center", va="center", fontsize=10, color="white")
        axes.set_title(f"mask {index}", fontsize=9.5)
    return figure


@styled
def where_attention_goes(
    picture: Tensor, size: Size, panels: Sequence[tuple[str, Tensor]], query: Size
) -> Figure:
    """The attention of one query over the cells of a padded picture, once for every panel, at one scale.

    Args:
        picture: (3, H, W) in [0, 1].
        size: (height, width) of the canvas, in pixels.
        panels: a title and (h, w) attention weights, over the canvas.
        query: (row, column) of the cell that asks.
    """
    figure, grid = _photo_figure(7.2, 2.45, columns=1 + len(panels))
    rows, columns = panels[0][1].shape
    cell_height, cell_width = size[0] / rows, size[1] / columns
    own_height, own_width = picture.shape[1:]
    strongest = 1000 * max(float(weights.max()) for _, weights in panels)

    def mark(axes: Axes) -> None:
        """A hollow ring: what the cell itself holds stays in sight."""
        x, y = (query[1] + 0.5) * cell_width - 0.5, (query[0] + 0.5) * cell_height - 0.5
        ring = {"markersize": 13, "markerfacecolor": "none", "zorder": 5}
        axes.plot(x, y, "o", markeredgecolor=INK, markeredgewidth=3.6, **ring)
        axes.plot(x, y, "o", markeredgecolor="#F0E442", markeredgewidth=2, **ring)

    axes = grid[0, 0]
    _draw_padding(axes, size)
    _draw_soft(axes, picture, 200)
    mark(axes)
    _frame(axes, size)
    axes.set_title("the query's cell", fontsize=9.5)
    shown = None
    for axes, (title, weights) in zip(grid[0, 1:], panels, strict=True):
        extent = (-0.5, size[1] - 0.5, size[0] - 0.5, -0.5)
        shown = axes.imshow(weights.numpy() * 1000, cmap="Blues", vmin=0, vmax=strongest, extent=extent)
        for x, y, width, height in (
            (own_width, 0, size[1] - own_width, size[0]),
            (0, own_height, own_width, size[0] - own_height),
        ):
            padding = Rectangle((x - 0.5, y - 0.5), width, height, facecolor="none", edgecolor="#A0A0A0")
            axes.add_patch(padding)
            padding.set(hatch="///", linewidth=0)
        mark(axes)
        _frame(axes, size)
        axes.add_patch(Rectangle((-0.5, -0.5), size[1], size[0], fill=False, edgecolor=MUTED))
        axes.set_title(title, fontsize=9.5)
    if shown is not None:
        bar = figure.colorbar(shown, ax=list(grid[0, 1:]), shrink=0.85, pad=0.02)
        bar.set_label("weight, in thousandths", fontsize=8.5)
        bar.ax.tick_params(labelsize=8)
    return figure


@styled
def padding_cost(groups: Mapping[str, Sequence[Sequence[Size]]]) -> Figure:
    """Batches of pictures as rectangles on their canvases, several ways to form them, at one scale.

    Args:
        groups: by title, the batches: for each the (height, width) of its pictures.
    """
    figure, grid = new_figure(7.2, 1.9 * len(groups), rows=len(groups))
    _pad(figure)
    gap, apart = 50, 260
    tallest = max(height for batches in groups.values() for batch in batches for height, _ in batch)
    widest = max(
        sum(len(batch) * (max(w for _, w in batch) + gap) + apart for batch in batches)
        for batches in groups.values()
    )
    for axes, (title, batches) in zip(grid[:, 0], groups.items(), strict=True):
        left = 0.0
        for batch in batches:
            height, width = max(h for h, _ in batch), max(w for _, w in batch)
            frame = (left - gap, -gap), len(batch) * (width + gap) + gap, height + 2 * gap
            axes.add_patch(Rectangle(*frame, fill=False, edgecolor=INK, linewidth=1.4))
            axes.text(
                left - gap,
                height + 1.6 * gap,
                f"canvas {height} x {width}",
                fontsize=8.5,
                va="top",
                color=INK,
            )
            for own_height, own_width in batch:
                canvas = Rectangle((left, 0), width, height, facecolor=PADDING_COLOR)
                axes.add_patch(canvas)
                canvas.set(hatch="////", edgecolor="#BDBDBD", linewidth=0)
                axes.add_patch(Rectangle((left, 0), own_width, own_height, color=BOX_COLORS[0]))
                axes.add_patch(
                    Rectangle((left, 0), width, height, fill=False, edgecolor=MUTED, linewidth=0.9)
                )
                axes.text(
                    left + own_width / 2,
                    own_height / 2,
                    f"{own_height}\nx {own_width}",
                    fontsize=8.5,
                    ha="center",
                    va="center",
                )
                left += width + gap
            left += apart
        axes.set_xlim(-gap - 10, widest - apart + 10)  # one scale for all rows
        axes.set_ylim(tallest + 4.5 * gap, -gap - 10)
        axes.set_aspect("equal")
        axes.set_anchor("W")
        axes.set_axis_off()
        axes.set_title(title)
    return figure


@styled
def your_boxes(yours: Tensor, target: Tensor) -> Figure:
    """A reader's boxes against the right ones.

    Args:
        yours: (N, 4) as (x1, y1, x2, y2).
        target: (N, 4), the same.
    """
    figure, grid = new_figure(4.6, 3.0)
    axes = grid[0, 0]
    styles = (
        ("target", target, RIGHT_COLOR, "-", 4.5, 0.35),
        ("yours", yours.detach(), WRONG_COLOR, "--", 1.8, 1.0),
    )
    for label, boxes, color, line, width, alpha in styles:
        for index, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
            axes.plot(
                np.array([x1, x2, x2, x1, x1]),
                np.array([y1, y1, y2, y2, y1]),
                linestyle=line,
                color=color,
                linewidth=width,
                alpha=alpha,
                label=label if index == 0 else None,
            )
    axes.set(xlabel="x", ylabel="y", aspect="equal")
    axes.margins(0.08)
    axes.invert_yaxis()
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


@styled
def your_masks(yours: Tensor, target: Tensor) -> Figure:
    """A reader's mask of the first image against the right one, cell by cell; True is dark.

    Args:
        yours: (B, H, W), True is padding.
        target: (B, H, W), the same.
    """
    figure, grid = new_figure(4.6, 2.4, columns=2)
    for axes, title, mask in zip(
        grid[0], ("target", "yours"), (target[0], torch.as_tensor(yours)[0].detach()), strict=True
    ):
        axes.imshow(mask.float().numpy(), cmap="Greys", vmin=0, vmax=1.6)
        draw_cells(axes, (mask.shape[0], mask.shape[1]), numbers=False, margin=0.2)
        for row, column in mask.bool().nonzero().tolist():
            axes.text(column, row, "T", ha="center", va="center", color="white", fontsize=9)
        axes.set_title(title)
    return figure
