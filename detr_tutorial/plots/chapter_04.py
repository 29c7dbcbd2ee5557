"""The figures of notebooks/04_position_encoding.ipynb: shuffled cells, clocks, waves, rulers, similarity."""

import math
from collections.abc import Sequence

import numpy as np
from einops import rearrange
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle
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

MUTED = "#666666"
DIVERGING = "PuOr"  # orange to purple: told apart by everybody, white at 0
SEQUENTIAL = "plasma"  # the green cross stands out on it
_HALO = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.9}


@styled
def shuffled_cells(image: Tensor, order: Tensor, size: tuple[int, int]) -> Figure:
    """A photograph cut into cells, and the same cells in another order.

    Args:
        image: (3, H, W) in [0, 1].
        order: (rows * columns,) which cell comes to which place.
        size: (rows, columns) of the cut.
    """
    rows, columns = size
    height, width = image.shape[1] // rows, image.shape[2] // columns
    cut = image[:, : rows * height, : columns * width]
    cells = rearrange(cut, "C (R h) (W w) -> (R W) C h w", R=rows, W=columns)
    figure, grid = new_figure(6.4, 2.35, columns=2, image_format="jpeg")
    for axes, pieces, title in zip(
        grid[0],
        (cells, cells[order]),
        ("the cells of a photograph", "the same cells, shuffled"),
        strict=True,
    ):
        draw_picture(axes, rearrange(pieces, "(R W) C h w -> C (R h) (W w)", R=rows))
        axes.vlines(
            np.arange(1, columns) * width - 0.5, -0.5, rows * height - 0.5, color="white", linewidth=1
        )
        axes.hlines(
            np.arange(1, rows) * height - 0.5, -0.5, columns * width - 0.5, color="white", linewidth=1
        )
        axes.set_title(title)
    return figure


@styled
def clock_hands(angles: Tensor, wavelengths: Sequence[float]) -> Figure:
    """Each position as the hands of several clocks, one clock for each wavelength.

    Args:
        angles: (N, pairs) of the hands, counted from the top, clockwise.
        wavelengths: of the pairs, in positions.
    """
    count, pairs = angles.shape
    figure, grid = new_figure(7.2, 1.12 * pairs + 0.3, rows=pairs, columns=count)
    for pair in range(pairs):
        for position in range(count):
            axes = grid[pair, position]
            axes.add_patch(Circle((0, 0), 1, fill=False, edgecolor=GRID_COLOR, linewidth=1.2))
            angle = float(angles[position, pair])
            x, y = math.sin(angle), math.cos(angle)
            axes.plot([0, x], [0, y], color=LEVEL_COLORS[pair], linewidth=2.4, solid_capstyle="round")
            axes.plot([x], [y], marker="o", markersize=5, color=LEVEL_COLORS[pair])
            axes.set(xlim=(-1.25, 1.25), ylim=(-1.25, 1.25), aspect="equal", xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            axes.set_xlabel(f"sin {x:+.2f}\ncos {y:+.2f}", fontsize=8, color=MUTED)
            if pair == 0:
                axes.set_title(f"position {position}", fontsize=10, loc="center")
        grid[pair, 0].set_ylabel(f"pair {pair}\none turn in\n{wavelengths[pair]:.3g} positions", fontsize=9)
    return figure


@styled
def channels_of_a_map(
    encoding: Tensor, names: Sequence[str], marked: tuple[int, int] | None = None
) -> Figure:
    """Every channel of a small encoding as a map with its numbers.

    Args:
        encoding: (C, H, W), the first half of the channels for y, the second for x.
        names: of the channels.
        marked: (row, column) of a cell to frame.
    """
    channels, height, width = encoding.shape
    half = channels // 2
    figure, grid = new_figure(7.2, 3.1, rows=2, columns=half)
    for channel, axes in enumerate(grid.flat):
        axes.imshow(encoding[channel].numpy(), cmap=DIVERGING, vmin=-1.6, vmax=1.6)
        for row in range(height):
            for column in range(width):
                text = f"{float(encoding[channel, row, column]) + 0.0:.1f}".replace("-0.0", "0.0")
                axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color=INK)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        axes.set_title(f"{channel}: {names[channel]}", fontsize=9.5)
        if marked is not None:
            corner = (marked[1] - 0.5, marked[0] - 0.5)
            axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=INK, linewidth=2, clip_on=False))
    grid[0, 0].set_ylabel("first half: y")
    grid[1, 0].set_ylabel("second half: x")
    return figure


@styled
def rulers(counts: Sequence[int]) -> Figure:
    """The positions that a level gives to its columns, with the offset of half a cell and without.

    Args:
        counts: columns of the levels, finest first.
    """
    figure, grid = new_figure(7.2, 2.9, columns=2)
    for axes, offset, title, color in (
        (grid[0, 0], -0.5, "with the offset of -0.5", RIGHT_COLOR),
        (grid[0, 1], 0.0, "without it (DETR)", WRONG_COLOR),
    ):
        for level, count in enumerate(counts):
            edges = np.arange(count + 1) / count
            axes.hlines(level, 0, 1, color=GRID_COLOR, linewidth=1)
            axes.vlines(edges, level - 0.22, level + 0.22, color=GRID_COLOR, linewidth=0.8)
            marks = (np.arange(1, count + 1) + offset) / count
            size = 4.5 if count < 15 else 2.6
            axes.plot(marks, [level] * count, "o", markersize=size, color=LEVEL_COLORS[level], clip_on=False)
            mean = marks.mean()
            for ends in ((-0.4, -0.14), (0.14, 0.4)):  # above and below the dots
                axes.plot([mean] * 2, [level + end for end in ends], color=INK, linewidth=2.4, clip_on=False)
        axes.axvline(0.5, color=INK, linewidth=0.9, linestyle=(0, (3, 3)), zorder=0)
        axes.set(xlim=(-0.02, 1.02), ylim=(len(counts) - 0.5, -0.6))
        axes.set_yticks(range(len(counts)), [f"{count} columns" for count in counts])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
        axes.set_xlabel("position, as a fraction of the picture")
        axes.set_title(title, color=color)
    grid[0, 1].set_yticks([])
    handles = [
        Line2D(
            [], [], color=MUTED, marker="o", markersize=4.5, linestyle="none", label="position of a column"
        ),
        Line2D(
            [], [], color=INK, marker="|", markersize=9, markeredgewidth=2.4, linestyle="none", label="mean"
        ),
        Line2D([], [], color=INK, linewidth=0.9, linestyle=(0, (3, 3)), label="middle of the picture"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


@styled
def angles_and_padding(images: Sequence[Tensor], canvas: tuple[int, int], angles: Sequence[Tensor]) -> Figure:
    """Where x is pi/2, pi and 3 pi/2 on a padded photograph, counted over valid cells and over all.

    Args:
        images: the photographs (3, H, W).
        canvas: (height, width) of the padded batch, in pixels.
        angles: two tensors (B, W): x of each column, of the right form and of the one without a mask.
    """
    figure, grid = new_figure(6.4, 2.6, columns=2, image_format="jpeg")
    height, width = canvas
    panels = ((angles[0], "counted over valid cells", RIGHT_COLOR), (angles[1], "mask ignored", WRONG_COLOR))
    image = images[-1]
    for axes, (of_columns, title, color) in zip(grid[0], panels, strict=True):
        axes.add_patch(
            Rectangle(
                (-0.5, -0.5),
                width,
                height,
                facecolor=PADDING_COLOR,
                hatch="////",
                edgecolor="#BBBBBB",
                linewidth=0,
                zorder=0,
            )
        )
        axes.imshow(image.permute(1, 2, 0).clamp(0, 1).numpy(), interpolation="antialiased", zorder=1)
        columns = of_columns.shape[-1]
        centers = (np.arange(columns) + 0.5) / columns * width - 0.5
        x = of_columns[-1].numpy()
        rising = np.maximum.accumulate(x)
        for quarter, name in ((0.25, "π/2"), (0.5, "π"), (0.75, "3π/2"), (1.0, "2π")):
            at = float(np.interp(quarter * 2 * np.pi, *_strictly(rising, centers, width)))
            axes.plot([at] * 2, [-0.5, height - 0.5], color="white", linewidth=3.6, solid_capstyle="butt")
            axes.plot([at] * 2, [-0.5, height - 0.5], color=color, linewidth=1.8, solid_capstyle="butt")
            axes.text(at, height + 8, name, ha="center", va="top", fontsize=9.5, color=color)
        axes.set(xlim=(-0.5, width + 5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[], aspect="equal")
        axes.spines[:].set_visible(False)
        axes.set_title(title, color=color)
        axes.set_xlabel(" \nthe angle of x", fontsize=9)
    return figure


def _strictly(rising: np.ndarray, centers: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut the flat end of a rising row of angles, and continue it by half a cell on both sides."""
    keep = np.concatenate([[True], np.diff(rising) > 1e-6])
    x, y = rising[keep], centers[keep]
    step_x, step_y = x[1] - x[0], y[1] - y[0]
    x = np.concatenate([[x[0] - step_x / 2], x, [x[-1] + step_x / 2 + 1e-4]])
    y = np.concatenate([[y[0] - step_y / 2], y, [y[-1] + step_y / 2]])
    return x, y


@styled
def waves(encodings: Sequence[tuple[str, Tensor]]) -> Figure:
    """The x half of the encoding: the sine and the cosine of every pair, over the width of the picture.

    Args:
        encodings: title and (F, W), sines and cosines in turns, for each pair of panels.
    """
    figure, grid = new_figure(7.2, 2.9, columns=2 * len(encodings), sharey=True)
    picture = None
    for number, (title, encoding) in enumerate(encodings):
        for axes, start, wave in zip(grid[0, 2 * number :], (0, 1), ("sine", "cosine"), strict=False):
            of_wave = encoding[start::2]
            picture = axes.imshow(
                of_wave.numpy(),
                cmap=DIVERGING,
                vmin=-1,
                vmax=1,
                aspect="auto",
                extent=(0, 1, len(of_wave), 0),
            )
            axes.set_title(title if start == 0 else "", fontsize=10)
            axes.set_xlabel(wave)
            axes.set_xticks([0, 1], ["left", "right"])
            axes.get_xticklabels()[0].set_ha("left")
            axes.get_xticklabels()[1].set_ha("right")
    grid[0, 0].set_ylabel("pair i")
    if picture is not None:
        figure.colorbar(picture, ax=list(grid[0]), ticks=[-1, 0, 1], pad=0.02, aspect=30)
    return figure


@styled
def similarity_maps(cells: Sequence[tuple[int, int]], maps: Sequence[tuple[str, Tensor]]) -> Figure:
    """How alike the encoding of one cell is to that of every other cell, with a line at each tenth.

    Args:
        cells: (row, column) of the cell that is compared, one for each column of panels.
        maps: title of a row of panels, and its similarities (len(cells), H, W), between 0.2 and 1.
    """
    figure, grid = new_figure(7.2, 1.75 * len(maps) + 0.25, rows=len(maps), columns=len(cells))
    picture = None
    for line, (title, similarities) in zip(grid, maps, strict=True):
        for axes, (row, column), similarity in zip(line, cells, similarities, strict=True):
            numbers = similarity.numpy()
            picture = axes.imshow(numbers, cmap=SEQUENTIAL, vmin=0.2, vmax=1)
            for levels, color in (((0.3, 0.4, 0.5), "white"), ((0.6, 0.7, 0.8, 0.9), INK)):
                inside = [level for level in levels if numbers.min() < level < numbers.max()]
                if inside:
                    lines = axes.contour(numbers, levels=inside, colors=color, linewidths=0.9)
                    axes.clabel(lines, fmt="%.1f", fontsize=8, colors=color)
            draw_reference_point(axes, column, row, size=9)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        line[0].set_ylabel(title)
    if picture is not None:
        figure.colorbar(
            picture, ax=grid.ravel().tolist(), ticks=[0.2, 0.4, 0.6, 0.8, 1], pad=0.015, aspect=28
        )
    return figure


@styled
def your_encoding(yours: Tensor, target: Tensor, mask: Tensor) -> Figure:
    """An answer against the target, channel by channel, along the first row and the first column.

    Args:
        yours: (C, H, W).
        target: (C, H, W).
        mask: (H, W), True is padding.
    """
    channels = yours.shape[0]
    figure, grid = new_figure(7.2, 2.9, columns=2)
    valid = ~mask
    for axes, axis, title in (
        (grid[0, 0], 1, "down the first column"),
        (grid[0, 1], 2, "along the first row"),
    ):
        keep = valid[:, 0] if axis == 1 else valid[0]
        place = np.arange(int(keep.sum()))
        for channel in range(channels):
            line_y, line_t = (
                (e[channel, :, 0] if axis == 1 else e[channel, 0])[keep].numpy() for e in (yours, target)
            )
            axes.plot(place, line_t + 2.4 * channel, color=GRID_COLOR, linewidth=5, solid_capstyle="round")
            axes.plot(place, line_y + 2.4 * channel, "x-", color=WRONG_COLOR, linewidth=1.1, markersize=5)
        axes.set_yticks([2.4 * c for c in range(channels)], [f"channel {c}" for c in range(channels)])
        axes.set_xticks(place)
        axes.set_title(title)
        axes.set_ylim(2.4 * channels - 1, -1.4)
    handles = [
        Line2D([], [], color=GRID_COLOR, linewidth=5, label="target"),
        Line2D([], [], color=WRONG_COLOR, marker="x", label="yours"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


@styled
def your_angles(yours: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor], mask: Tensor) -> Figure:
    """The angles of an answer, written into the cells; wrong ones are marked.

    Args:
        yours: (H, W) of y and of x.
        target: (H, W) of y and of x.
        mask: (H, W), True is padding.
    """
    figure, grid = new_figure(7.2, 2.6, columns=2)
    for axes, name, mine, right in zip(grid[0], ("y", "x"), yours, target, strict=True):
        height, width = mask.shape
        draw_cells(axes, (height, width), mask=mask, margin=0.1)
        for row in range(height):
            for column in range(width):
                if mask[row, column]:
                    continue
                off = abs(float(mine[row, column] - right[row, column])) > 1e-3
                axes.text(
                    column,
                    row,
                    f"{float(mine[row, column]):.2f}" + ("\n✗" if off else ""),
                    ha="center",
                    va="center",
                    fontsize=8,
                    color=WRONG_COLOR if off else INK,
                )
        axes.set_title(f"your angles of {name}")
    return figure
