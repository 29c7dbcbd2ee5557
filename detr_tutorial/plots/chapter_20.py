"""Figures of notebooks/20_sampling_points_on_images.ipynb: where a trained detector looks."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from matplotlib.patheffects import withStroke
from torch import Tensor

from detr_tutorial.plots._style import (
    GRID_COLOR,
    HEAD_MARKERS,
    INK,
    LEVEL_COLORS,
    REFERENCE_COLOR,
    RIGHT_COLOR,
    WRONG_COLOR,
    Number,
    draw_picture,
    draw_points,
    draw_reference_point,
    head_handles,
    level_handles,
    new_figure,
    reference_handle,
    styled,
)

MUTED = "#666666"
SMALLEST_AREA = 7.0  # of a point in `looks`, in square points: any smaller, its color is not seen
FIELD_MAP = LinearSegmentedColormap.from_list("field", ["#FFFFFF00", "#56A0D3CC", "#0072B2E6", "#08306B"])
SERIES = (  # (color, marker, filled)
    (RIGHT_COLOR, "o", True),
    (WRONG_COLOR, "s", True),
    ("#009E73", "D", True),
    ("#8C510A", "^", False),
    (INK, "v", False),
)
Numbers = Sequence[Number] | np.ndarray


class Look(NamedTuple):
    """One query on one picture."""

    image: Tensor  # (3, H, W) in [0, 1]
    locations: Tensor  # (M, L, K, 2) as (x, y), 0 and 1 at the edges of the picture
    weights: Tensor  # (M, L, K)
    reference: Tensor  # (2,) as (x, y) or (4,) as (cx, cy, w, h)
    box: Tensor | None  # of the object, (cx, cy, w, h)
    caption: str
    reach: Number  # pixels from the reference to the edges of the panel


def _box(axes: Axes, box: Tensor, size: tuple[int, int], color: str, line: Any) -> None:
    height, width = size
    cx, cy, w, h = box.tolist()
    corner = ((cx - w / 2) * width - 0.5, (cy - h / 2) * height - 0.5)
    drawn = Rectangle(
        corner, w * width, h * height, fill=False, edgecolor=color, linewidth=1.5, linestyle=line
    )
    drawn.set_path_effects([withStroke(linewidth=3, foreground="#000000")])
    axes.add_patch(drawn)


def _draw_look(axes: Axes, look: Look, area: Number) -> None:
    draw_picture(axes, look.image * 0.6 + 0.4)
    axes.images[-1].set_interpolation("bilinear")
    size = (look.image.shape[1], look.image.shape[2])
    scale = look.locations.new_tensor([size[1], size[0]])
    if look.box is not None:
        _box(axes, look.box, size, "#FFFFFF", "-")
    if len(look.reference) == 4:
        _box(axes, look.reference, size, "#7FE0BC", (0, (3, 2)))
    heads, levels, points = look.weights.shape
    pixels = look.locations * scale - 0.5
    for head in range(heads):
        for level in range(levels):
            weights = look.weights[head, level].clamp_min(SMALLEST_AREA / (levels * points * area))
            draw_points(
                axes,
                pixels[head, level],
                level=level,
                head=head,
                weights=weights,
                area=float(weights.mean()) * levels * points * area,
                clip_on=True,
                linewidths=0.5,
            )
    x, y = (look.reference[:2] * scale - 0.5).tolist()
    draw_reference_point(axes, x, y, size=9)
    axes.set(xlim=(x - look.reach, x + look.reach), ylim=(y + look.reach, y - look.reach))
    axes.set_xlabel(look.caption, fontsize=8.5)


@styled
def looks(rows: Sequence[tuple[str, Sequence[Look]]], titles: Sequence[str], area: Number = 14) -> Figure:
    """Queries over their pictures: color says the level, marker the head, area the attention weight.

    Args:
        rows: a name and a query for each column.
        titles: of the columns.
        area: of a point of average weight, in square points; points of little weight are drawn larger.
    """
    columns = len(titles)
    side = 7.2 / columns
    figure, grid = new_figure(
        7.2, len(rows) * (side + 0.12) + 0.6, rows=len(rows), columns=columns, image_format="jpeg"
    )
    figure.image_quality = 22
    for axes_of_row, (name, panels) in zip(grid, rows, strict=True):
        for axes, look in zip(axes_of_row, panels, strict=True):
            _draw_look(axes, look, area)
        axes_of_row[0].set_ylabel(name, fontsize=9.5)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=9.5, loc="center")
    heads, levels, _ = rows[0][1][0].weights.shape
    handles = [*level_handles(range(levels)), reference_handle("reference"), *head_handles(range(heads))]
    figure.legend(handles=handles, loc="outside lower center", ncols=5)
    return figure


class Series(NamedTuple):
    """What one line of `shares` shows: a middle and a spread for each category."""

    name: str
    middle: Numbers
    low: Numbers
    high: Numbers


@styled
def shares(
    panels: Sequence[tuple[str, Sequence[Series]]], categories: Sequence[str], label: str, top: Number = 1.0
) -> Figure:
    """Shares by category: a marker at the median over the pictures, a bar from quartile to quartile.

    Args:
        panels: a title, and some series.
        categories: names along the axis.
        label: of the vertical axis.
        top: its end.
    """
    figure, grid = new_figure(7.2, 3.3, columns=len(panels), sharey=True)
    for axes, (title, series) in zip(grid[0], panels, strict=True):
        for number, (one, (color, marker, filled)) in enumerate(zip(series, SERIES, strict=False)):
            places = np.arange(len(categories)) + (number - (len(series) - 1) / 2) * 0.16
            middle = np.asarray(one.middle, dtype=float)
            spread = [middle - np.asarray(one.low), np.asarray(one.high) - middle]
            axes.errorbar(
                places,
                middle,
                yerr=spread,
                fmt=marker,
                color=color,
                markerfacecolor=color if filled else "white",
                markersize=6,
                linewidth=1.6,
                label=one.name,
            )
        axes.set_xticks(range(len(categories)), categories)
        axes.tick_params(axis="x", length=0)
        axes.set_title(title)
        axes.grid(axis="y", color=GRID_COLOR, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.set_ylim(-0.02 * top, top)
    grid[0, 0].set_ylabel(label)
    handles, names = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4)
    return figure


@styled
def levels_by_size(
    panels: Sequence[tuple[str, Sequence[str], np.ndarray, Numbers]],
) -> Figure:
    """How the weight is divided among the levels, as stacked bars.

    Args:
        panels: a title, the categories, the weight of each (categories, L), and what is outside the picture.
    """
    widths = [len(categories) for _, categories, _, _ in panels]
    figure, grid = new_figure(7.2, 3.3, columns=len(panels), sharey=True, width_ratios=widths)
    hatches = ("", "//", "..", "xx")
    for axes, (title, categories, weights, outside) in zip(grid[0], panels, strict=True):
        places, base = np.arange(len(categories)), np.zeros(len(categories))
        style: dict[str, Any] = {"width": 0.72, "edgecolor": "white", "linewidth": 0.6}
        for level, color in enumerate(LEVEL_COLORS[: weights.shape[1]]):
            name = f"level {level}"
            axes.bar(
                places, weights[:, level], bottom=base, color=color, hatch=hatches[level], label=name, **style
            )
            base = base + weights[:, level]
        axes.bar(places, outside, bottom=base, color="#EEEEEE", label="outside the picture",
                 **{**style, "edgecolor": "#BBBBBB"})  # fmt: skip
        axes.set_xticks(places, categories, fontsize=8, rotation=40, ha="right", rotation_mode="anchor")
        axes.tick_params(axis="x", length=0)
        axes.set_title(title, fontsize=9.5, loc="center")
        axes.set_ylim(0, 1)
    grid[0, 0].set_ylabel("share of the weight")
    handles, names = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=5)
    return figure


@styled
def directions(panels: Sequence[tuple[str, str, Tensor, Tensor, Tensor]]) -> Figure:
    """The mean points of each head against the star of the start.

    Args:
        panels: a title, the unit, the start (M, K, 2), the mean (M, K, 2) and the standard deviation
            (M, K, 2).
    """
    figure, grid = new_figure(7.2, 3.1, columns=len(panels))
    for axes, (title, unit, start, mean, sd) in zip(grid[0], panels, strict=True):
        reach = 1.25 * float(mean.abs().amax())
        axes.axhline(0, color=GRID_COLOR, linewidth=0.6)
        axes.axvline(0, color=GRID_COLOR, linewidth=0.6)
        for head in range(len(start)):
            axes.scatter(*start[head].T.tolist(), s=46, facecolors="none", edgecolors=MUTED, linewidths=0.9)
            x, y = mean[head].T.tolist()
            sd_x, sd_y = sd[head].T.tolist()
            axes.errorbar(
                x, y, xerr=sd_x, yerr=sd_y, fmt=HEAD_MARKERS[head], color=INK, markersize=4, ecolor=MUTED,
                linewidth=1.4,
            )  # fmt: skip
        axes.plot([], [], "o", markerfacecolor="none", color=MUTED, label="start", linestyle="none")
        draw_reference_point(axes, 0, 0, size=8)
        axes.set(xlim=(-reach, reach), ylim=(reach, -reach), aspect="equal")
        axes.set_title(title, fontsize=9.5, loc="center")
        axes.tick_params(labelsize=8)
        axes.set_xlabel(unit, fontsize=9)
    start_handle, name = grid[0, 0].get_legend_handles_labels()
    figure.legend(
        [*start_handle, *head_handles(range(len(panels[0][2])))],
        [*name, *[f"head {head}" for head in range(len(panels[0][2]))]],
        loc="outside lower center",
        ncols=5,
    )
    return figure


@styled
def fields(
    image: Tensor, rows: Sequence[tuple[str, Sequence[tuple[str, Tensor, Sequence[Number]]]]], center: Tensor
) -> Figure:
    """How strongly one token depends on each pixel, and circles around it.

    Args:
        image: (3, H, W) in [0, 1].
        rows: a name, and for each panel a title, the sizes of the gradients (H, W), and the radii of two
            circles in pixels.
        center: (x, y) of the token in [0, 1].
    """
    columns = len(rows[0][1])
    figure, grid = new_figure(
        7.2, 2.3 * len(rows) + 0.2, rows=len(rows), columns=columns, image_format="jpeg"
    )
    figure.image_quality = 22
    height, width = image.shape[1:]
    gray = image.mean(0, keepdim=True).expand(3, -1, -1) * 0.35 + 0.65
    for axes_of_row, (name, panels) in zip(grid, rows, strict=True):
        for axes, (title, sizes, radii) in zip(axes_of_row, panels, strict=True):
            draw_picture(axes, gray)
            strength = (sizes / sizes.max()).clamp(min=1e-6).log10()
            shown = axes.imshow(strength.numpy(), cmap=FIELD_MAP, vmin=-2, vmax=0)
            x, y = (center * center.new_tensor([width, height]) - 0.5).tolist()
            draw_reference_point(axes, x, y, size=8)
            for radius, line in zip(radii, ("-", (0, (4, 2))), strict=True):
                axes.add_patch(Circle((x, y), float(radius), fill=False, color=WRONG_COLOR, linestyle=line))
            axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
            axes.set_xlabel(title, fontsize=9)
        axes_of_row[0].set_ylabel(name, fontsize=9.5)
    bar = figure.colorbar(shown, ax=grid, ticks=[-2, -1, 0], shrink=0.7, pad=0.01)
    bar.ax.set_yticklabels(["1/100", "1/10", "largest"], fontsize=8)
    return figure


@styled
def conventions(image: Tensor, panels: Sequence[tuple[str, Tensor, bool]], box: Tensor) -> Figure:
    """The same points drawn by some conventions, one of which is right.

    Args:
        image: (3, H, W) in [0, 1].
        panels: a title, points (n, 2) in pixels of the picture, and whether they are right.
        box: of the object, (cx, cy, w, h) in [0, 1].
    """
    figure, grid = new_figure(7.2, 1.65, columns=len(panels))
    height, width = image.shape[1:]
    for axes, (title, points, right) in zip(grid[0], panels, strict=True):
        draw_picture(axes, image * 0.8 + 0.2)
        _box(axes, box, (height, width), "#FFFFFF", "-")
        color, marker = (REFERENCE_COLOR, "o") if right else (WRONG_COLOR, "X")
        axes.scatter(*points.T.tolist(), s=16, color=color, marker=marker, edgecolors="white", linewidths=0.4)
        axes.set(xlim=(-0.5, width - 0.5), ylim=(height * 1.2 - 0.5, -0.5))
        axes.set_title(title.replace("padding ", "padding\n"), fontsize=8.5, loc="center")
    return figure
