"""The figures of notebooks/10_reference_points.ipynb: rulers, order, half a cell, padding, learned points."""

from collections.abc import Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from torch import Tensor

from detr_tutorial.plots._style import (
    GRID_COLOR,
    INK,
    LEVEL_COLORS,
    PADDING_COLOR,
    RIGHT_COLOR,
    WRONG_COLOR,
    draw_cells,
    draw_picture,
    draw_reference_point,
    new_figure,
    styled,
)

SpatialShapes = Sequence[tuple[int, int]]
MUTED = "#666666"
_HALO = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none", "alpha": 1.0}


@styled
def rulers(size: tuple[int, int], token: int) -> Figure:
    """One map with its cells numbered, and the two rulers that say where a center is."""
    height, width = size
    figure, grid = new_figure(5.6, 3.7)
    axes = grid[0, 0]
    draw_cells(axes, size, numbers=False)
    row, column = divmod(token, width)
    axes.add_patch(
        Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=LEVEL_COLORS[0], alpha=0.16, zorder=0)
    )
    for index in range(height * width):
        y, x = divmod(index, width)
        if index != token:
            axes.text(x, y, str(index), ha="center", va="center", color=MUTED, fontsize=10, bbox=_HALO)
    axes.text(column - 0.42, row - 0.40, str(token), ha="left", va="top", color=INK, fontsize=10)

    lines = {"color": LEVEL_COLORS[0], "linewidth": 1.2, "linestyle": (0, (4, 3)), "zorder": 2}
    axes.plot([column, column], [row, height + 0.95], **lines)
    axes.plot([column, -2.35], [row, row], **lines)
    draw_reference_point(axes, column, row)

    for x in range(width):
        bold = {"fontweight": "bold", "color": LEVEL_COLORS[0]} if x == column else {}
        axes.text(x, height - 0.18, f"{x}", ha="center", va="center", bbox=_HALO, **bold)
        axes.text(
            x,
            height + 0.98,
            f"{(x + 0.5) / width:.3f}",
            ha="center",
            va="center",
            fontsize=9,
            bbox=_HALO,
            **bold,
        )
    for y in range(height):
        bold = {"fontweight": "bold", "color": LEVEL_COLORS[0]} if y == row else {}
        axes.text(-0.82, y, f"{y}", ha="center", va="center", bbox=_HALO, **bold)
        axes.text(-2.3, y, f"{(y + 0.5) / height:.3f}", ha="center", va="center", bbox=_HALO, **bold)
    edge = {"color": INK, "linewidth": 1.2, "clip_on": False}
    axes.plot([-0.5, width - 0.5], [height + 0.55] * 2, **edge)
    axes.plot([-1.75] * 2, [-0.5, height - 0.5], **edge)
    for end, label in ((-0.5, "0"), (width - 0.5, "1")):
        axes.plot([end] * 2, [height + 0.45, height + 0.65], **edge)
        axes.text(end, height + 0.32, label, ha="center", va="center", fontsize=9, color=MUTED)
    for end, label in ((-0.5, "0"), (height - 0.5, "1")):
        axes.plot([-1.85, -1.65], [end] * 2, **edge)
        axes.text(-1.5, end, label, ha="center", va="center", fontsize=9, color=MUTED)
    axes.text(width - 0.15, height - 0.18, "pixel x", va="center", fontsize=9, color=MUTED)
    axes.text(width - 0.15, height + 0.98, "normalized x", va="center", fontsize=9, color=MUTED)
    axes.text(-0.82, -0.9, "pixel y", ha="center", va="center", fontsize=9, color=MUTED)
    axes.text(-2.3, -0.9, "normalized y", ha="center", va="center", fontsize=9, color=MUTED)
    for end in (-0.5, width - 0.5):
        axes.text(end, height - 0.18, f"{end}", ha="center", va="center", fontsize=8, color=MUTED)
    axes.text((width - 1) / 2, -0.75, "in the cells: token numbers", ha="center", fontsize=9, color=MUTED)
    axes.set_xlim(-3.0, width + 1.75)
    axes.set_ylim(height + 1.4, -1.2)
    return figure


@styled
def token_order(size: tuple[int, int]) -> Figure:
    """The path of the tokens through a map: row by row, and the wrong one, column by column."""
    height, width = size
    by_rows = [(row, column) for row in range(height) for column in range(width)]
    by_columns = [(row, column) for column in range(width) for row in range(height)]
    figure, grid = new_figure(6.4, 2.5, columns=2)
    panels = (
        ("row by row: right", by_rows, RIGHT_COLOR),
        ("column by column: wrong", by_columns, WRONG_COLOR),
    )
    for axes, (title, cells, color) in zip(grid[0], panels, strict=True):
        draw_cells(axes, size, numbers=False, margin=0.15)
        path = torch.tensor(cells)
        axes.plot(path[:, 1].tolist(), path[:, 0].tolist(), color=color, linewidth=1.4, alpha=0.6, zorder=2)
        for index, (row, column) in enumerate(cells):
            circle = {"boxstyle": "circle,pad=0.22", "facecolor": "white", "edgecolor": color}
            axes.text(column, row, f"{index:2d}", ha="center", va="center", fontsize=8, bbox=circle, zorder=3)
        axes.set_title(title, color=color)
    return figure


@styled
def half_a_cell(read_wrong: Tensor, read_right: Tensor, drift: Tensor, forgotten: Tensor) -> Figure:
    """A map of ones read back at wrong and right centers, and how far the wrong ones are off.

    Args:
        read_wrong: (H, W) what came back at corner-aligned points.
        read_right: (H, W) what came back at cell centers.
        drift: (W,) distance of the corner-aligned points from the centers, in cells.
        forgotten: (W,) the same distance for points without the half.
    """
    figure, grid = new_figure(7.0, 2.6, columns=3, width_ratios=(1.15, 1.15, 1))
    height, width = read_wrong.shape
    panels = (
        (read_wrong, "corner-aligned: wrong", WRONG_COLOR),
        (read_right, "cell centers: right", RIGHT_COLOR),
    )
    for axes, (values, title, color) in zip(grid[0], panels, strict=False):
        axes.imshow(values.numpy(), cmap="Blues", vmin=0, vmax=2.4)
        draw_cells(axes, (height, width), numbers=False, margin=0.15, color="white")
        for row in range(height):
            for column in range(width):
                text = f"{values[row, column]:.2f}".rstrip("0").rstrip(".")
                axes.text(column, row, text, ha="center", va="center", fontsize=8.5)
        axes.set_title(title, color=color)
    curve = grid[0, 2]
    columns = torch.arange(width)
    curve.axhline(0, color=RIGHT_COLOR, linewidth=2)
    curve.plot(columns.tolist(), drift.tolist(), color=WRONG_COLOR, marker="o", markersize=5)
    curve.plot(columns.tolist(), forgotten.tolist(), color=INK, marker="s", markersize=4, linestyle="--")
    curve.set(xticks=columns.tolist(), yticks=[-0.5, 0, 0.5], ylim=(-0.75, 0.65), xlabel="column")
    curve.set_title("drift (cells)")
    curve.text(width - 1, -0.6, "without half", color=INK, fontsize=9, ha="right", va="center")
    curve.text(0.1, 0.05, "centers", color=RIGHT_COLOR, fontsize=9)
    curve.text(width - 2.5, 0.36, "corner-\naligned", color=WRONG_COLOR, fontsize=9, ha="right", va="center")
    return figure


@styled
def one_point_every_level(spatial_shapes: SpatialShapes, token: int) -> Figure:
    """The center of one token, drawn on every level over the same picture."""
    figure, grid = new_figure(6.0, 2.6, columns=len(spatial_shapes))
    sizes = [height * width for height, width in spatial_shapes]
    own, index = 0, token
    while index >= sizes[own]:
        index -= sizes[own]
        own += 1
    height, width = spatial_shapes[own]
    x, y = (index % width + 0.5) / width, (index // width + 0.5) / height
    for level, (axes, (height, width)) in enumerate(zip(grid[0], spatial_shapes, strict=True)):
        draw_cells(axes, (height, width), color=LEVEL_COLORS[level], margin=0.02 * width)
        pixel_x, pixel_y = x * width - 0.5, y * height - 0.5
        for row in range(height):
            for column in range(width):
                axes.plot(column, row, marker=".", color=LEVEL_COLORS[level], markersize=5)
        if level == own:
            cell = Rectangle((pixel_x - 0.5, pixel_y - 0.5), 1, 1, color=LEVEL_COLORS[level], alpha=0.2)
            axes.add_patch(cell)
        draw_reference_point(axes, pixel_x, pixel_y, size=15)
        axes.set_title(f"level {level}: {height} x {width} cells", color=INK)
        axes.set_xlabel(f"pixel ({pixel_x:.2f}, {pixel_y:.2f})")
    return figure


def _draw_canvas(
    axes: Axes,
    image: Tensor,
    canvas: tuple[int, int],
    corner: tuple[int, int] = (0, 0),
    hatch: str = "//",
) -> None:
    """A photograph on its padded canvas (height, width), its top left pixel at corner (x, y)."""
    height, width = canvas
    padding = Rectangle((-0.5, -0.5), width, height, facecolor=PADDING_COLOR, zorder=-1)
    axes.add_patch(padding)
    padding.set(hatch=hatch, edgecolor="#C0C0C0", linewidth=0)
    draw_picture(axes, image)
    left, top = corner
    axes.images[-1].set_extent(
        (left - 0.5, left + image.shape[2] - 0.5, top + image.shape[1] - 0.5, top - 0.5)
    )
    axes.set_xlim(-0.5 - 0.01 * width, width * 1.01 - 0.5)
    axes.set_ylim(height * 1.01 - 0.5, -0.5 - 0.01 * height)


@styled
def fractions_of_what(
    image: Tensor,
    canvas: tuple[int, int],
    panels: Sequence[tuple[str, Tensor]],
    corner: tuple[int, int] = (0, 0),
) -> Figure:
    """Points on a photograph that lies on a larger, padded canvas.

    Args:
        image: (3, H, W) in [0, 1].
        canvas: (height, width) of the padded batch, in pixels.
        panels: a title and (N, 2) points as (x, y), in pixels of the canvas; points on the picture are filled
            circles, points in the padding are crosses.
        corner: (x, y) of the picture's top left pixel on the canvas.
    """
    height, width = canvas
    shape = height / width
    each = 3.2  # inches
    figure, grid = new_figure(
        each * len(panels), each * shape + 0.3, columns=len(panels), image_format="jpeg"
    )
    left, top = corner
    for axes, (title, points) in zip(grid[0], panels, strict=True):
        _draw_canvas(axes, image, canvas, corner)
        x, y = points.unbind(-1)
        inside = (x >= left - 0.5) & (x <= left + image.shape[2] - 0.5 + 1e-3)
        inside &= (y >= top - 0.5) & (y <= top + image.shape[1] - 0.5 + 1e-3)
        shown = {"zorder": 5, "clip_on": False}
        axes.scatter(
            x[inside].tolist(),
            y[inside].tolist(),
            s=34,
            color=RIGHT_COLOR,
            edgecolors="white",
            linewidths=1,
            **shown,
        )
        axes.scatter(
            x[~inside].tolist(),
            y[~inside].tolist(),
            s=38,
            color=WRONG_COLOR,
            marker="X",
            edgecolors="white",
            linewidths=0.8,
            **shown,
        )
        axes.set_title(title)
    return figure


@styled
def rounding_of_levels(
    canvas: int, valid: int, strides: Sequence[int], points: Sequence[tuple[int, int, Tensor, Tensor]]
) -> Figure:
    """The levels of one row of pixels as strips, and where a token looks on each, with and without ratios.

    Args:
        canvas: width of the padded row, in pixels.
        valid: width of the picture, in pixels.
        strides: pixels in a cell, for every level.
        points: for every panel the token's level and column, and its x on every level, in pixels
            of the canvas: (L,) without and (L,) with the valid ratios.
    """
    figure, grid = new_figure(6.0, 2.3 * len(points) + 0.3, rows=len(points))
    for axes, (own, column, without, with_ratios) in zip(grid[:, 0], points, strict=True):
        for level, stride in enumerate(strides):
            for cell in range(canvas // stride):
                holds_picture = cell * stride < valid
                rectangle = Rectangle(
                    (cell * stride, level - 0.28),
                    stride,
                    0.56,
                    facecolor=LEVEL_COLORS[level] if holds_picture else PADDING_COLOR,
                    alpha=0.28 if holds_picture else 1,
                    zorder=0,
                )
                axes.add_patch(rectangle)
                outline = Rectangle(
                    (cell * stride, level - 0.28), stride, 0.56, fill=False, edgecolor="white"
                )
                axes.add_patch(outline)
        axes.axvline(valid, color=INK, linewidth=1.4, zorder=2)
        levels = torch.arange(len(strides))
        axes.plot(
            without.tolist(),
            levels.tolist(),
            color=WRONG_COLOR,
            linestyle="--",
            marker="X",
            markersize=8,
            label="without ratios",
        )
        axes.plot(
            with_ratios.tolist(),
            levels.tolist(),
            color=RIGHT_COLOR,
            marker="o",
            markersize=7,
            label="with ratios",
        )
        draw_reference_point(axes, float(with_ratios[own]), own, size=15)
        axes.set(xlim=(-1, canvas + 1), ylim=(len(strides) - 0.5, -0.62), yticks=levels.tolist())
        axes.set_yticklabels([f"level {level}" for level in range(len(strides))])
        axes.set_xticks([0, 32, 64, 96, valid, canvas] if valid != 96 else [0, 32, 64, 96, canvas])
        axes.set_xticklabels(["0", "32", "64", "", f"picture ends at {valid}", f"{canvas}"])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_title(f"token in column {column} of level {own}")
    axes.set_xlabel("pixels of the canvas")
    handles = [
        *axes.get_legend_handles_labels()[0],
        Line2D([], [], marker="P", linestyle="", color="#009E73", markeredgecolor=INK, label="the token"),
        Patch(facecolor=PADDING_COLOR, edgecolor="#C0C0C0", label="padding cell"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, frameon=False)
    return figure


@styled
def decoder_spread(panels: Sequence[tuple[str, Tensor]]) -> Figure:
    """Where decoder queries look from at the start, for several ways to draw their embeddings.

    Args:
        panels: a title and (Q, 2) reference points as (x, y) fractions of the picture.
    """
    figure, grid = new_figure(6.0, 3.2, columns=len(panels))
    for axes, (title, points) in zip(grid[0], panels, strict=True):
        axes.plot([0, 1, 1, 0, 0], [0, 0, 1, 1, 0], color=MUTED, linewidth=1)
        axes.scatter(*points.T.tolist(), s=26, marker="+", color="#009E73", linewidths=1.2, zorder=3)
        axes.set(xlim=(-0.03, 1.03), ylim=(1.03, -0.03), aspect="equal", xlabel="x")
        axes.set(xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        axes.set_title(title)
        reach = float((points - 0.5).abs().max()) * 1.3
        if reach < 0.1:  # one blob at this scale: show it enlarged as well
            side = 0.38  # of the panel, which is 1.06 wide
            inset = axes.inset_axes((0.57, 0.05, side, side))
            inset.scatter(*points.T.tolist(), s=10, marker="+", color="#009E73", linewidths=0.8)
            inset.set(xlim=(0.5 - reach, 0.5 + reach), ylim=(0.5 + reach, 0.5 - reach), xticks=[], yticks=[])
            inset.text(
                0.04,
                0.03,
                f"enlarged {1.06 * side / (2 * reach):.0f} times",
                fontsize=8,
                transform=inset.transAxes,
            )
            inset.spines[:].set_visible(True)
            axes.indicate_inset_zoom(inset, edgecolor=MUTED)
    grid[0, 0].set_ylabel("y")
    return figure


@styled
def point_on_photograph(
    image: Tensor,
    canvas: tuple[int, int],
    spatial_shapes: SpatialShapes,
    reference_points: Tensor,
    token: int,
) -> Figure:
    """One token on a photograph: its own cell, and its reference point over the cells of every level.

    Args:
        image: (3, H, W) in [0, 1].
        canvas: (height, width) of the padded batch, in pixels.
        spatial_shapes: (H_l, W_l) of the levels.
        reference_points: (S, L, 2) of this image.
        token: index into S.
    """
    height, width = canvas
    num_levels = len(spatial_shapes)
    figure, grid = new_figure(5.6, 5.6 * height / width + 0.65, rows=2, columns=2, image_format="jpeg")
    first = 0
    for level, (axes, (rows, columns)) in enumerate(zip(grid.flat, spatial_shapes, strict=True)):
        _draw_canvas(axes, image, canvas, hatch="")
        cell_x, cell_y = width / columns, height / rows
        lines = {"color": "white", "linewidth": 0.5 + 0.25 * level, "alpha": 0.75}
        axes.vlines([index * cell_x - 0.5 for index in range(columns + 1)], -0.5, height - 0.5, **lines)
        axes.hlines([index * cell_y - 0.5 for index in range(rows + 1)], -0.5, width - 0.5, **lines)
        x, y = reference_points[token, level].tolist()
        draw_reference_point(axes, x * width - 0.5, y * height - 0.5, size=8)
        own = first <= token < first + rows * columns
        if own:
            row, column = divmod(token - first, columns)
            cell = Rectangle((column * cell_x - 0.5, row * cell_y - 0.5), cell_x, cell_y, fill=False)
            axes.add_patch(cell)
            cell.set(edgecolor="#F0E442", linewidth=2.6, zorder=4)
        first += rows * columns
        axes.set_title(f"level {level}: {rows} x {columns}" + (" (the token's own)" if own else ""))
    assert num_levels == grid.size
    return figure


@styled
def your_points(yours: Tensor, target: Tensor, size: tuple[int, int]) -> Figure:
    """A reader's points against the right ones, on one map; a line joins each pair.

    Args:
        yours: (H W, 2) as (x, y), 0 and 1 at the edges of the map.
        target: (H W, 2) as (x, y).
        size: (height, width) of the map, in cells.
    """
    height, width = size
    figure, grid = new_figure(5.2, 3.4)
    axes = grid[0, 0]
    draw_cells(axes, size, numbers=False)
    scale = torch.tensor([width, height])
    mine, wanted = yours.detach() * scale - 0.5, target * scale - 0.5
    near = (mine - wanted).abs().amax(-1) < 3 * max(size)  # points far outside would shrink the map to a dot
    for start, end in zip(mine[near].tolist(), wanted[near].tolist(), strict=True):
        axes.plot(*zip(start, end, strict=True), color=GRID_COLOR, linewidth=0.9, zorder=2)
    axes.scatter(*wanted.T.tolist(), s=34, color=RIGHT_COLOR, label="target", zorder=4)
    axes.scatter(*mine[near].T.tolist(), s=40, marker="X", color=WRONG_COLOR, label="yours", zorder=5)
    axes.autoscale()
    axes.set_ylim(sorted(axes.get_ylim(), reverse=True))
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure
