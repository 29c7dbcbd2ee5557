"""The figures of notebooks/08_feature_flattening.ipynb: maps and their list, patches, masks, sizes."""

import itertools
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from torch import Tensor

from detr_tutorial.plots._style import (
    GRID_COLOR,
    INK,
    LEVEL_COLORS,
    PADDING_COLOR,
    draw_cells,
    level_handles,
    new_figure,
    styled,
)

SpatialShapes = Sequence[tuple[int, int]]
MUTED = "#666666"
_TINTS = ("#CDE3F1", "#FBE7C2", "#C7E9DF", "#F4DDE9")  # of the level colors, under dark text


@styled
def maps_and_list(spatial_shapes: SpatialShapes, marked: int) -> Figure:
    """Small maps with their cells numbered, and the list that they become.

    Args:
        spatial_shapes: (height, width) of the levels.
        marked: number of the token that is framed in its map and in the list.
    """
    count = len(spatial_shapes)
    figure, grid = new_figure(7.2, 3.5, rows=2, columns=count, height_ratios=(3.4, 1))
    strip = figure.add_subplot(grid[1, 0].get_gridspec()[1, :])
    for axes in grid[1]:
        axes.remove()
    start = 0
    for level, (height, width) in enumerate(spatial_shapes):
        axes, tint, color = grid[0, level], _TINTS[level], LEVEL_COLORS[level]
        margin = 0.35 * width / spatial_shapes[0][1]  # in cells: all maps cover one canvas, at one scale
        draw_cells(axes, (height, width), color=color, margin=margin)
        for cell in range(height * width):
            row, column = divmod(cell, width)
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=tint, zorder=0))
            _number(axes, column, row, start + cell, start + cell == marked)
        axes.set_title(f"level {level}: {height} × {width}, starts at {start}")
        axes.set(xlabel="column", ylabel="row")
        start += height * width

    place = 0
    for level, (height, width) in enumerate(spatial_shapes):
        for _ in range(height * width):
            box = Rectangle((place - 0.5, -0.5), 1, 1, facecolor=_TINTS[level], edgecolor=LEVEL_COLORS[level])
            strip.add_patch(box)
            _number(strip, place, 0, place, place == marked, size=7.5)
            place += 1
    strip.set(xlim=(-0.7, place - 0.3), ylim=(-0.7, 0.7), xticks=[], yticks=[])
    strip.set_title("the list of tokens, one after the other")
    strip.spines[:].set_visible(False)
    return figure


def _number(axes: Axes, x: int, y: int, number: int, marked: bool, size: float = 9.0) -> None:
    axes.text(x, y, str(number), ha="center", va="center", fontsize=size, weight="bold" if marked else None)
    if marked:
        frame = Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor=INK, linewidth=2.4, zorder=5)
        axes.add_patch(frame)
        frame.set_clip_on(False)


@styled
def padding_in_the_list(mask: Tensor, spatial_shapes: SpatialShapes, names: Sequence[str]) -> Figure:
    """The flattened mask of each image as a strip: padding dark, the levels marked above.

    Args:
        mask: (B, S), True is padding.
        spatial_shapes: (height, width) of the levels.
        names: of the images.
    """
    sizes = [height * width for height, width in spatial_shapes]
    starts = np.cumsum([0, *sizes])
    finest = sizes[0]
    figure, grid = new_figure(7.2, 2.9, rows=len(mask), columns=2)
    for row, (padding, name) in enumerate(zip(mask.numpy(), names, strict=True)):
        for axes, first, last in zip(grid[row], (0, finest), (finest, starts[-1]), strict=True):
            picture = np.where(padding[first:last], 0.32, 0.93)[None]
            extent = (first - 0.5, last - 0.5, 0, 1)
            axes.imshow(picture, cmap="gray", vmin=0, vmax=1, aspect="auto", extent=extent)
            for level, (start, size) in enumerate(zip(starts[:-1], sizes, strict=True)):
                if first <= start < last:
                    bar = (start - 0.5, 1.06)
                    color = LEVEL_COLORS[level]
                    axes.add_patch(Rectangle(bar, size, 0.2, facecolor=color, clip_on=False))
            axes.set(ylim=(0, 1.3), yticks=[])
            axes.spines[:].set_visible(False)
            ticks = [start for start in starts if first <= start <= last and start != starts[-2]]
            axes.set_xticks(ticks)
        grid[row, 0].get_xticklabels()[-1].set_horizontalalignment("right")  # two times the same number
        grid[row, 1].get_xticklabels()[0].set_horizontalalignment("left")
        grid[row, 0].set_ylabel(name)
    grid[-1, 0].set_xlabel("token (level 0)")
    grid[-1, 1].set_xlabel("token (levels 1 to 3), stretched")
    shades = (("#525252", "padding"), ("#EDEDED", "photograph"))
    shaded = [Patch(facecolor=shade, edgecolor=MUTED, label=name) for shade, name in shades]
    handles = [*level_handles(), *shaded]
    figure.legend(handles=handles, loc="outside upper center", ncols=6, handlelength=1.2, columnspacing=1.2)
    return figure


@styled
def tokens_on_photograph(
    image: Tensor,
    canvas: tuple[int, int],
    spatial_shapes: SpatialShapes,
    tokens: Sequence[int],
    title: str = "four tokens that cover the same place, one a level",
) -> Figure:
    """Where tokens stand: their patches on the padded photograph, and their places in the list.

    Args:
        image: (3, H, W) in [0, 1].
        canvas: (height, width) of the padded batch, in pixels.
        spatial_shapes: (height, width) of the levels.
        tokens: indices into the list.
        title: of the picture.
    """
    figure, grid = new_figure(6.4, 4.9, rows=2, image_format="jpeg", height_ratios=(6, 1))
    photo, strip = grid[:, 0]
    height, width = canvas
    draw_canvas(photo, image, canvas)
    starts = np.cumsum([0] + [rows * columns for rows, columns in spatial_shapes])
    total = starts[-1]
    for level, (start, end) in enumerate(itertools.pairwise(starts)):
        strip.add_patch(Rectangle((start, 0), end - start, 1, facecolor=LEVEL_COLORS[level], alpha=0.45))
    for token in tokens:
        level = int(np.searchsorted(starts, token, side="right")) - 1
        rows, columns = spatial_shapes[level]
        row, column = divmod(token - int(starts[level]), columns)
        cell = (width / columns, height / rows)
        corner = (column * cell[0], row * cell[1])
        for color, thick in (("white", 4.5), (LEVEL_COLORS[level], 2.4)):
            frame = Rectangle(corner, *cell, fill=False, edgecolor=color, linewidth=thick, clip_on=False)
            photo.add_patch(frame)
        strip.plot([token + 0.5] * 2, [-0.15, 1.15], color=INK, linewidth=1.4, clip_on=False)
        up = level < 3
        strip.annotate(
            f"{token}",
            (token + 0.5, 1.2 if up else -0.2),
            ha="center",
            va="bottom" if up else "top",
            fontsize=9,
            annotation_clip=False,
        )
    photo.set_title(title)
    strip.set(xlim=(0, total), ylim=(-0.9, 1.9), yticks=[], xticks=[])
    strip.spines[:].set_visible(False)
    levels = range(len(spatial_shapes))
    figure.legend(handles=level_handles(levels), loc="outside lower center", ncols=4)
    return figure


def draw_canvas(axes: Axes, image: Tensor, canvas: tuple[int, int]) -> None:
    """Draw a photograph on its padded canvas; edges of pixels are whole numbers."""
    height, width = canvas
    ground = Rectangle((0, 0), width, height, facecolor=PADDING_COLOR, hatch="////", edgecolor="#BBBBBB")
    ground.set(linewidth=0, zorder=0)
    axes.add_patch(ground)
    picture = image.detach().permute(1, 2, 0).clamp(0, 1).cpu().numpy()
    axes.imshow(picture, extent=(0, image.shape[2], image.shape[1], 0), interpolation="antialiased", zorder=1)
    axes.set(xlim=(-3, width + 3), ylim=(height + 3, -3), xticks=[], yticks=[], aspect="equal")
    axes.spines[:].set_visible(False)


@styled
def two_orders(right: Tensor, wrong: Tensor, size: tuple[int, int]) -> Figure:
    """A map that was flattened, and brought back with another order: which cell each place shows.

    Args:
        right: (H, W) the numbers of the cells.
        wrong: (H, W) the number that stands at each place after a mistake.
        size: (height, width) of the map.
    """
    figure, grid = new_figure(6.4, 2.9, columns=2)
    panels = ((right, "row by row: every cell is back"), (wrong, "height and width exchanged"))
    for axes, (numbers, title) in zip(grid[0], panels, strict=True):
        draw_cells(axes, size, color=GRID_COLOR, margin=0.2)
        axes.imshow(numbers.numpy(), cmap="viridis", alpha=0.35, zorder=0)
        for row in range(size[0]):
            for column in range(size[1]):
                axes.text(column, row, int(numbers[row, column]), ha="center", va="center", fontsize=9)
        draw_cells(axes, size, color=GRID_COLOR, margin=0.2)
        axes.set_title(title)
        axes.set(xlabel="column", ylabel="row")
    figure.supxlabel("number and color: which cell the place shows", fontsize=9)
    return figure
