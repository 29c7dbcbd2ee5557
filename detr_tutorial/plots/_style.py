"""One look for every figure of the book: palette, markers, and the parts that figures share.

The same thing has the same color everywhere, nothing is said by color alone, and the background is white, so
that a figure reads on a light page and on a dark one. A plot function is marked `@styled`, makes its figure
with `new_figure`, and returns it; a notebook shows the returned figure exactly once, because pyplot is not
involved.
"""

import io
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from PIL import Image
from torch import Tensor

LEVEL_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")  # Okabe-Ito, finest level to coarsest
HEAD_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
REFERENCE_COLOR = "#009E73"
RIGHT_COLOR, WRONG_COLOR = "#0072B2", "#D55E00"  # with different markers or line styles as well
INK, GRID_COLOR, PADDING_COLOR = "#222222", "#C8C8C8", "#E4E4E4"

_STYLE: Any = {
    **matplotlib.rcParamsDefault,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.edgecolor": "#666666",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "font.size": 10,
    "font.family": "DejaVu Sans",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.6,
    "image.interpolation": "nearest",
}

_STYLE.pop("backend")  # drawing never touches the reader's backend

Number = int | float  # the tests check types exactly as they are written
P = ParamSpec("P")
R = TypeVar("R")


def styled(plot: Callable[P, R]) -> Callable[P, R]:
    """Run a plot function with the book's style, whatever the reader's own settings are."""

    @wraps(plot)
    def with_style(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.rc_context(
            rc={**matplotlib.rcParamsDefault, **_STYLE, "backend": matplotlib.get_backend()}
        ):
            return plot(*args, **kwargs)

    return with_style


class BookFigure(Figure):
    """A matplotlib figure that shows itself once, at twice the screen's resolution."""

    image_format: Literal["png", "jpeg"] = "png"
    image_quality = 85  # of a JPEG; less where many photographs share a page

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        data = self.image()
        width, height = (round(inches * 100) for inches in self.get_size_inches())
        kind = f"image/{self.image_format}"
        return {kind: data}, {kind: {"width": width, "height": height}}

    def image(self, dpi: int = 200) -> bytes:
        """The figure as the bytes of an image file, the same on every run."""
        buffer = io.BytesIO()
        if self.image_format == "png":
            self.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
            return _with_palette(buffer)
        options = {"quality": self.image_quality, "optimize": True}
        self.savefig(buffer, format="jpeg", dpi=dpi * 0.8, pil_kwargs=options)
        return buffer.getvalue()


def _with_palette(png: io.BytesIO) -> bytes:
    """The same picture in 256 colors: no visible change in a drawing, and less than half the size."""
    colors = Image.open(png).convert("RGB")
    smaller = io.BytesIO()
    palette = colors.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette.save(smaller, format="png", optimize=True)
    return smaller.getvalue()


def new_figure(
    width: Number = 7.2,
    height: Number = 3.2,
    rows: int = 1,
    columns: int = 1,
    *,
    image_format: Literal["png", "jpeg"] = "png",
    **subplots: Any,
) -> tuple[BookFigure, np.ndarray]:
    """Make a figure and its axes.

    Args:
        width: in inches; 7.2 is the width of the book's text.
        height: in inches.
        rows: of axes.
        columns: of axes.
        image_format: "jpeg" keeps a figure with photographs small; "png" is right for everything else.
        subplots: passed on to `Figure.subplots` (sharex, width_ratios, ...).
    Returns:
        The figure, and its axes as an array (rows, columns).
    """
    figure = BookFigure(figsize=(width, height), layout="constrained")
    figure.image_format = image_format
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **subplots)


def draw_cells(
    axes: Axes,
    size: tuple[int, int],
    *,
    color: str = GRID_COLOR,
    numbers: bool = True,
    mask: Tensor | None = None,
    margin: Number = 0.6,
) -> None:
    """Draw the cells of a map in its pixel coordinates: cell (row i, column j) is centered at x = j, y = i.

    Args:
        axes: where to draw; y is turned downwards, as in a picture.
        size: (height, width) of the map, in cells.
        color: of the lines between cells; a level's color says which level it is.
        numbers: whether to label columns and rows.
        mask: (H, W) bool, True where a cell is padding: shaded and hatched.
        margin: free space around the map, in cells.
    """
    height, width = size
    if mask is not None:
        for row, column in mask.nonzero().tolist():
            padding = Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=PADDING_COLOR, zorder=0)
            axes.add_patch(padding)
            padding.set(hatch="////", edgecolor="#BBBBBB", linewidth=0)
    axes.vlines(np.arange(width + 1) - 0.5, -0.5, height - 0.5, color=color, linewidth=1, zorder=1)
    axes.hlines(np.arange(height + 1) - 0.5, -0.5, width - 0.5, color=color, linewidth=1, zorder=1)
    axes.set_xlim(-0.5 - margin, width - 0.5 + margin)
    axes.set_ylim(height - 0.5 + margin, -0.5 - margin)
    axes.set_aspect("equal")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xticks(range(width) if numbers else [])
    axes.set_yticks(range(height) if numbers else [])


def draw_picture(axes: Axes, image: Tensor) -> None:
    """Draw a photograph (3, H, W) in [0, 1], in its pixel coordinates, without ticks."""
    axes.imshow(image.detach().permute(1, 2, 0).clamp(0, 1).cpu().numpy(), interpolation="antialiased")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def draw_reference_point(
    axes: Axes, x: Number, y: Number, *, size: Number = 13, label: str | None = None
) -> None:
    """Draw the green cross with a dark outline that marks a reference point everywhere in the book."""
    common = {"marker": "+", "linestyle": "none", "zorder": 6}
    axes.plot([x], [y], markersize=size + 2, markeredgewidth=4.6, color=INK, **common)
    axes.plot([x], [y], markersize=size, markeredgewidth=2.4, color=REFERENCE_COLOR, label=label, **common)


def draw_points(
    axes: Axes,
    points: Tensor,
    *,
    level: int = 0,
    head: int = 0,
    weights: Tensor | None = None,
    area: Number = 40.0,
    label: str | None = None,
    **style: Any,
) -> None:
    """Draw sampling points: color says the level, marker the head, area the attention weight.

    Args:
        axes: where to draw.
        points: (N, 2) as (x, y), in the coordinates of the axes.
        level: 0 is the finest.
        head: 0 to 7, further heads start again.
        weights: (N,) attention weights; a weight equal to the mean of `weights` has area `area`.
        area: of a marker, in square points.
        label: for the legend.
        style: passed on to `Axes.scatter`.
    """
    areas = area if weights is None else (weights / weights.mean() * area).tolist()
    options = {
        "marker": HEAD_MARKERS[head % len(HEAD_MARKERS)],
        "color": LEVEL_COLORS[level % len(LEVEL_COLORS)],
        "edgecolors": "white",
        "linewidths": 0.7,
        "zorder": 5,
        "clip_on": False,
    }
    axes.scatter(*points.detach().T.tolist(), s=areas, label=label, **(options | style))


def level_handles(levels: Sequence[int] = (0, 1, 2, 3)) -> list[Line2D]:
    """Legend entries for levels, in their colors."""
    return [
        Line2D([], [], color=LEVEL_COLORS[level], linewidth=5, label=f"level {level}") for level in levels
    ]


def head_handles(heads: Sequence[int] = tuple(range(8))) -> list[Line2D]:
    """Legend entries for heads, by their markers."""
    return [
        Line2D(
            [], [], color=INK, marker=HEAD_MARKERS[head], linestyle="none", markersize=6, label=f"head {head}"
        )
        for head in heads
    ]


def reference_handle(label: str = "reference point") -> Line2D:
    """Legend entry for the reference point."""
    return Line2D(
        [],
        [],
        color=REFERENCE_COLOR,
        marker="+",
        linestyle="none",
        markersize=10,
        markeredgewidth=2.4,
        label=label,
    )
