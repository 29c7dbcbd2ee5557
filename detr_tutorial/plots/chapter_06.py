"""The figures of notebooks/06_cost_of_dense_attention.ipynb: small objects, bills, growth, learning."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from torch import Tensor

from detr_tutorial.complexity import LayerCosts
from detr_tutorial.plots._style import (
    GRID_COLOR,
    RIGHT_COLOR,
    WRONG_COLOR,
    draw_picture,
    draw_points,
    draw_reference_point,
    new_figure,
    styled,
)

MUTED = "#666666"
PART_COLORS = {"projections": "#0072B2", "predictions": "#E69F00", "reading": "#D55E00"}
PART_HATCHES = {"projections": "", "predictions": "..", "reading": "///"}
MEBI, GIBI = 2**20, 2**30


@styled
def one_object_on_three_maps(
    image: Tensor, box: tuple[int, int, int, int], window: tuple[int, int, int, int], strides: Sequence[int]
) -> Figure:
    """A small object under the cells of maps of several strides.

    Args:
        image: (3, H, W) in [0, 1].
        box: of the object, (x1, y1, x2, y2) in pixels.
        window: the part that is shown enlarged, (x1, y1, x2, y2), multiples of the largest stride.
        strides: of the maps, coarsest first.
    """
    widths = [1.55, *(1.0 for _ in strides)]
    figure, grid = new_figure(7.2, 2.0, columns=len(widths), width_ratios=widths, image_format="jpeg")
    x1, y1, x2, y2 = box
    left, top, right, bottom = window
    draw_picture(grid[0, 0], image)
    frame: dict[str, Any] = {"fill": False, "linewidth": 1.2}
    grid[0, 0].add_patch(Rectangle((left, top), right - left, bottom - top, edgecolor="white", **frame))
    grid[0, 0].set_title(f"{image.shape[1]} x {image.shape[2]} pixels", fontsize=9.5)
    for axes, stride in zip(grid[0, 1:], strides, strict=True):
        draw_picture(axes, image[:, top:bottom, left:right])
        lines: dict[str, Any] = {"color": "white", "linewidth": 0.7, "alpha": 0.75}
        axes.vlines(np.arange(0, right - left + 1, stride) - 0.5, -0.5, bottom - top - 0.5, **lines)
        axes.hlines(np.arange(0, bottom - top + 1, stride) - 0.5, -0.5, right - left - 0.5, **lines)
        axes.add_patch(
            Rectangle((x1 - left, y1 - top), x2 - x1, y2 - y1, edgecolor="#56B4E9", fill=False, linewidth=1.8)
        )
        columns = -(-x2 // stride) - x1 // stride
        rows = -(-y2 // stride) - y1 // stride
        axes.set_title(f"stride {stride}", fontsize=9.5)
        axes.set_xlabel(f"touches {rows} x {columns} cells", fontsize=9)
    return figure


@styled
def start_of_training(
    image: Tensor, dense: Tensor, points: Tensor, reference: tuple[float, float], query: tuple[int, int]
) -> Figure:
    """What one query looks at before any training: all cells, or a few points.

    Args:
        image: (3, H, W) in [0, 1].
        dense: (H_l, W_l) attention weights of one head, times the number of cells.
        points: (M, K, 2) sampling points as fractions of the picture.
        reference: (x, y) of the query, as a fraction of the picture.
        query: (row, column) of the query on the map of `dense`.
    """
    height, width = image.shape[1:]
    figure, grid = new_figure(7.2, 2.65, columns=2, image_format="jpeg")
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    axes = grid[0, 0]
    axes.imshow(image.mean(0).numpy(), cmap="gray", extent=extent)
    shown = axes.imshow(dense.numpy(), cmap="viridis", vmin=0, vmax=3, extent=extent, alpha=0.75)
    bar: dict[str, Any] = {"ticks": [0, 1, 2, 3], "extend": "max", "pad": 0.02, "aspect": 18}
    figure.colorbar(shown, ax=axes, label="weight x number of cells", **bar)
    axes.set_title("dense, one head: every cell")
    other = grid[0, 1]
    draw_picture(other, image)
    pixels = points * points.new_tensor([width, height]) - 0.5
    for head, of_head in enumerate(pixels):
        draw_points(other, of_head, level=1, head=head, area=26)
    other.set_title(f"deformable, {len(points)} heads: {points.shape[1]} points each")
    x, y = reference[0] * width - 0.5, reference[1] * height - 0.5
    for panel in (axes, other):
        draw_reference_point(panel, x, y, size=10)
        panel.set(xticks=[], yticks=[], xlim=extent[:2], ylim=extent[2:])
        panel.spines[:].set_visible(False)
    return figure


@styled
def bills(costs: Mapping[str, LayerCosts], num_queries: int) -> Figure:
    """The multiply-adds of one encoder layer's attention and of the decoder's, by design and by part.

    Args:
        costs: by the name of the design.
        num_queries: object queries of the decoder, for its title.
    """
    longest = {
        field: max(getattr(layer, field).multiply_adds for layer in costs.values()) / 1e9
        for field in ("encoder", "decoder_cross")
    }
    widths = [1.12 * amount + 0.5 for amount in longest.values()]  # one scale: room for the number, too
    figure, grid = new_figure(7.2, 0.42 * len(costs) + 1.15, columns=2, width_ratios=widths)
    for axes, field, title in (
        (grid[0, 0], "encoder", "encoder"),
        (grid[0, 1], "decoder_cross", f"decoder, {num_queries} queries"),
    ):
        for line, cost in enumerate(getattr(layer, field) for layer in costs.values()):
            start = 0.0
            for part, color in PART_COLORS.items():
                amount = getattr(cost, part) / 1e9
                bar: dict[str, Any] = {
                    "height": 0.62,
                    "left": start,
                    "color": color,
                    "edgecolor": "white",
                    "linewidth": 0,
                }
                axes.barh(line, amount, hatch=PART_HATCHES[part], **bar)
                start += amount
            axes.text(
                start, line, f" {start:.1f}" if start >= 0.1 else f" {start:.2f}", va="center", fontsize=9
            )
        axes.set_yticks(range(len(costs)), list(costs) if field == "encoder" else [])
        axes.set_ylim(len(costs) - 0.5, -0.5)
        axes.set_xlim(0, 1.12 * longest[field] + 0.5)
        axes.set_xticks(range(int(1.12 * longest[field] + 0.5) + 1))
        axes.set_title(title.replace(", ", "\n"), fontsize=10)
        axes.tick_params(axis="y", length=0)
    grid[0, 0].set_xlabel("billion multiply-adds")
    handles = [
        Rectangle((0, 0), 1, 1, facecolor=color, hatch=PART_HATCHES[part], edgecolor="white", label=part)
        for part, color in PART_COLORS.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


_DENSE_LINES: tuple[dict[str, Any], ...] = (
    {"color": WRONG_COLOR, "linestyle": "-", "marker": "s"},
    {"color": "#CC79A7", "linestyle": "--", "marker": "^"},
    {"color": "#E69F00", "linestyle": "-.", "marker": "D"},
)
_DEFORMABLE_LINES: tuple[dict[str, Any], ...] = (
    {"color": RIGHT_COLOR, "linestyle": "-", "marker": "o"},
    {"color": "#009E73", "linestyle": "--", "marker": "v"},
)


def _number(value: float, _: int = 0) -> str:
    return f"{value:g}" if 0.01 <= value <= 1000 else f"$10^{{{round(np.log10(value))}}}$"


def _label_ends(axes: Axes, x: float, labels: Sequence[tuple[float, str, str]]) -> None:
    """Write names at the right ends of lines, moved apart where they are close."""
    low, high = (np.log(limit) for limit in axes.get_ylim())
    gap, last = (high - low) * 0.075, -np.inf
    for value, name, color in sorted(labels):
        at = max(np.log(value), last + gap)
        last = at
        axes.annotate(
            name, (x, np.exp(at)), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8.5,
            color=color, annotation_clip=False,
        )  # fmt: skip


@styled
def growth(
    sides: Sequence[int],
    panels: Sequence[tuple[str, Mapping[str, Sequence[float]]]],
    *,
    xlabel: str = "side of the image, pixels",
    marks: bool = False,
) -> Figure:
    """Lines that grow, on two logarithmic axes: a straight line is a power, its slope the exponent.

    Args:
        sides: what grows along x.
        panels: title, and the values of each line by name; a name says "deformable" first, or is dense.
        xlabel: of all panels.
        marks: whether to draw a marker at each value (for measurements).
    """
    figure, grid = new_figure(7.2, 3.2, columns=len(panels))
    for axes, (title, lines) in zip(grid[0], panels, strict=True):
        ends, dense, deformable = [], iter(_DENSE_LINES), iter(_DEFORMABLE_LINES)
        for name, values in lines.items():
            look = next(deformable if name.startswith("deformable") else dense)
            style = look if marks else {**look, "marker": "none"}
            axes.plot(sides, values, markersize=5, **style)
            ends.append((values[-1], name, look["color"]))
        axes.set(xscale="log", yscale="log")
        axes.set_title(title, fontsize=10)
        axes.set_xlabel(xlabel)
        axes.grid(True, which="major", color=GRID_COLOR, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.xaxis.set_minor_formatter(NullFormatter())
        ticks = list(sides) if len(sides) <= 6 else [s for s in (128, 256, 512, 1024, 2048) if s <= sides[-1]]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks], minor=False)
        axes.set_xticks([], minor=True)
        axes.yaxis.set_major_locator(LogLocator(numticks=20))
        axes.yaxis.set_major_formatter(FuncFormatter(_number))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlim(sides[0] * 0.93, sides[-1] * 1.07)
        _label_ends(axes, sides[-1] * 1.07, ends)
    return figure


MODEL_NAMES = {
    "detr_stride_32": "DETR, stride 32",
    "detr_stride_16": "DETR, stride 16",
    "deformable_stride_16": "deformable, stride 16",
    "deformable_base": "deformable, 4 levels",
    "deformable_refined": "+ box refinement",
}
_MODEL_LINES: dict[str, dict[str, Any]] = {
    "detr_stride_32": {"color": "#CC79A7", "linestyle": "--", "marker": "^"},
    "detr_stride_16": {"color": WRONG_COLOR, "linestyle": "-", "marker": "s"},
    "deformable_stride_16": {"color": "#E69F00", "linestyle": ":", "marker": "v"},
    "deformable_base": {"color": RIGHT_COLOR, "linestyle": "-", "marker": "o"},
    "deformable_refined": {"color": "#009E73", "linestyle": "-.", "marker": "D"},
}


@styled
def learning_curves(
    runs: Sequence[Mapping[str, Any]],
    panels: Sequence[tuple[str, str, str]] = (
        ("step", "AP", "AP, by steps"),
        ("cpu_minutes", "AP", "AP, by CPU minutes"),
        ("step", "APs", "small objects, by steps"),
    ),
) -> Figure:
    """How fast detectors learn: the mean over seeds, and the range from the worst to the best seed.

    Args:
        runs: of `detr_tutorial.data.convergence.load_convergence`.
        panels: what is on x, what is on y, and the title.
    """
    figure, grid = new_figure(7.2, 3.0, columns=len(panels), sharey=True)
    models = [name for name in MODEL_NAMES if any(run["model"] == name for run in runs)]
    for axes, (x_name, y_name, title) in zip(grid[0], panels, strict=True):
        for model in models:
            of_model = [run["points"] for run in runs if run["model"] == model]
            xs = np.mean([[point[x_name] for point in points] for points in of_model], axis=0)
            ys = np.array([[100 * point[y_name] for point in points] for points in of_model])
            look = _MODEL_LINES[model]
            axes.plot(xs, ys.mean(0), markersize=4, **look)
            axes.fill_between(xs, ys.min(0), ys.max(0), color=look["color"], alpha=0.15, linewidth=0)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel({"step": "training steps", "cpu_minutes": "CPU minutes"}[x_name])
        axes.set_xlim(left=0)
        axes.grid(True, axis="y", color=GRID_COLOR, linewidth=0.5)
        axes.set_axisbelow(True)
    grid[0, 0].set_ylim(bottom=0)  # shared, and it ends the fitting to what is drawn: after all panels
    grid[0, 0].set_ylabel("AP, in percent")
    lines = [
        Line2D([], [], markersize=5, label=MODEL_NAMES[model], **_MODEL_LINES[model]) for model in models
    ]
    figure.legend(
        handles=lines,
        loc="outside lower center",
        ncols=len(models),
        fontsize=8,
        columnspacing=1.2,
        handlelength=1.8,
    )
    return figure


@styled
def your_costs(yours: Sequence[float], target: Sequence[float], names: Sequence[str]) -> Figure:
    """The parts of an answer's bill beside those of the right one.

    Args:
        yours: one number a part.
        target: one number a part.
        names: of the parts.
    """
    figure, grid = new_figure(6.0, 0.5 * len(names) + 1.0)
    axes = grid[0, 0]
    for line, (mine, right) in enumerate(zip(yours, target, strict=True)):
        axes.barh(line - 0.19, right, height=0.34, color=GRID_COLOR, label="target" if line == 0 else None)
        wrong = mine != right
        axes.barh(
            line + 0.19,
            mine,
            height=0.34,
            color=WRONG_COLOR if wrong else RIGHT_COLOR,
            hatch="///" if wrong else "",
            edgecolor="white",
            linewidth=0,
        )
        axes.text(mine, line + 0.19, f" {mine:g}", va="center", fontsize=8.5)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("gray: target; below it: yours (hatched where it differs)")
    return figure
