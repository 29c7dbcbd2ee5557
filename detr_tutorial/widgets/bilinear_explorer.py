"""A point over a small map: its four neighbors, what it reads, and the slope of the reading.

Taught in notebooks/07_deformable_convolution.ipynb.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import traitlets
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from detr_tutorial._validation import require_finite, require_tensor
from detr_tutorial.plots._style import INK, WRONG_COLOR, draw_cells, new_figure, styled
from detr_tutorial.sampling import bilinear_sample
from detr_tutorial.widgets._book_widget import BookWidget

CELL, RIM, BEYOND = 80, 0.9, 1.3  # as in js/src/bilinear/index.js
MOST_CELLS = 12  # a side: more are too small to read
# As in js/src/common/ramp.js
AMOUNT = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
Number = int | float


class _Neighbor(NamedTuple):
    row: int
    column: int
    value: float
    weight: float
    inside: bool


class BilinearExplorer(BookWidget, bundle="bilinear_explorer"):
    """Move a point over a map, and see its neighbors, their weights, the reading and its slope.

    Nothing is computed in Python while the reader plays; `reading` and `slope` say what the page shows.

    Args:
        level_map: the map, (H, W), at most 12 cells a side.
        point: (x, y) at the start, in cells; by default a place between the first cells.
    Attributes:
        point: [x, y] of the point, in cells; up to 1.3 cells beyond the outermost centers.
    Raises:
        TypeError, ValueError: if an argument is not what is described above.
    Source: Deformable Convolutional Networks (arXiv 1703.06211), equations 3 and 4; taught in
        notebooks/07_deformable_convolution.ipynb.
    """

    point = traitlets.List(help="[x, y] of the point, in cells.").tag(sync=True)
    map = traitlets.List(help="The map, row by row.").tag(sync=True)

    def __init__(self, level_map: Float[Tensor, "H W"], point: Sequence[Number] = (1.25, 0.625)) -> None:
        require_tensor("level_map", level_map, "H W")
        require_finite("level_map", level_map)
        if max(level_map.shape) > MOST_CELLS:
            sides = tuple(level_map.shape)
            raise ValueError(f"level_map must have at most {MOST_CELLS} cells a side, got {sides}")
        rows = [[round(number, 3) for number in row] for row in level_map.detach().cpu().tolist()]
        try:
            super().__init__(map=rows, point=list(point))
        except traitlets.TraitError as error:
            raise ValueError(str(error)) from None

    @traitlets.validate("point")
    def _point_near_the_map(self, proposal: dict[str, Any]) -> list[float]:
        value = proposal["value"]
        right = len(value) == 2 and all(
            isinstance(number, int | float) and not isinstance(number, bool) for number in value
        )
        height, width = (len(self.map), len(self.map[0])) if self.map else (MOST_CELLS, MOST_CELLS)
        limits = (width - 1 + BEYOND, height - 1 + BEYOND)
        if not right or not all(-BEYOND <= n <= limit for n, limit in zip(value, limits, strict=True)):
            raise traitlets.TraitError(
                f"point must be [x, y] within {BEYOND} cells of a map of {height} x {width}, got {value}"
            )
        return [float(number) for number in value]

    def reading(self) -> float:
        """What the point reads."""
        return self._read()[0]

    def slope(self) -> tuple[float, float]:
        """How the reading changes with x and with y; on a center, to the right and below."""
        return self._read()[1]

    def _read(self) -> tuple[float, tuple[float, float]]:
        level_map = torch.tensor(self.map, dtype=torch.float64)
        point = torch.tensor([[self.point]], dtype=torch.float64, requires_grad=True)
        reading = bilinear_sample(level_map[None, None], point).sum()
        (slope,) = torch.autograd.grad(reading, point)
        return reading.item(), (slope[0, 0, 0].item(), slope[0, 0, 1].item())

    def _neighbors(self) -> list[_Neighbor]:
        x, y = self.point
        height, width = len(self.map), len(self.map[0])
        found = []
        for row in (math.floor(y), math.floor(y) + 1):
            for column in (math.floor(x), math.floor(x) + 1):
                inside = 0 <= row < height and 0 <= column < width
                value = self.map[row][column] if inside else 0.0
                found.append(
                    _Neighbor(row, column, value, (1 - abs(x - column)) * (1 - abs(y - row)), inside)
                )
        return found

    def figure(self) -> Figure:
        """Draw the same picture with matplotlib, for print."""
        return _figure(self.map, self.point, self._neighbors(), *self._read())

    def __repr__(self) -> str:
        x, y = self.point
        return f"BilinearExplorer(point=({x:g}, {y:g}), reading={self.reading():.3f})"

    def _page_state(self) -> dict[str, Any]:
        return {"point": self.point, "map": self.map}

    def _fallback(self) -> str:
        height, width = len(self.map), len(self.map[0])
        sides = ((width + 2 * RIM) * CELL, (height + 2 * RIM) * CELL)
        numbers = [number for row in self.map for number in row]
        least, span = min(numbers), (max(numbers) - min(numbers)) or 1.0

        def place(cells: Number) -> float:
            return (cells + 0.5 + RIM) * CELL

        cells = ""
        for row, line in enumerate(self.map):
            for column, value in enumerate(line):
                share = (value - least) / span
                corner = f'x="{place(column - 0.5):g}" y="{place(row - 0.5):g}"'
                cells += (
                    f'<rect class="bix-cell" {corner} width="{CELL}" height="{CELL}" fill="{_color(share)}"/>'
                    f'<text class="bix-value{" bix-on-dark" if share < 0.62 else ""}" '
                    f'x="{place(column - 0.5) + 7:g}" y="{place(row - 0.5) + 20:g}">{_value(value)}</text>'
                )
        x, y = self.point
        drawn = (
            f'<rect class="bix-square" x="{place(x) - CELL / 2:g}" y="{place(y) - CELL / 2:g}" '
            f'width="{CELL}" height="{CELL}"/><circle class="bix-dot" cx="{place(x):g}" cy="{place(y):g}" '
            'r="9"/>'
        )
        lines = "".join(
            f'<tr><th scope="row">{f"({n.row}, {n.column})" if n.inside else "outside"}</th>'
            f"<td>{_number(n.value, 1)}</td><td>{_number(n.weight)}</td>"
            f"<td>{_number(n.weight * n.value)}</td></tr>"
            for n in self._neighbors()
        )
        kept = sum(n.weight for n in self._neighbors() if n.inside)
        heads = "".join(
            f'<th scope="col">{name}</th>' for name in ("(row, column)", "value", "weight", "product")
        )
        slope = ", ".join(_number(number, 2) for number in self.slope())
        return (
            '<div class="dw bix"><div class="dw-body"><div class="bix-main">'
            f'<svg class="bix-stage" viewBox="0 0 {sides[0]:g} {sides[1]:g}" role="img" '
            'aria-label="A map of numbered cells with a point between them">'
            f'<rect class="dw-hatch-ground" width="{sides[0]:g}" height="{sides[1]:g}"/>{cells}{drawn}</svg>'
            '<div class="bix-side"><table class="dw-table bix-table"><caption>The four neighbors</caption>'
            f"<thead><tr>{heads}</tr></thead><tbody>{lines}</tbody>"
            f'<tfoot><tr><th scope="row">reading</th><td></td><td>{_number(kept)}</td>'
            f"<td>{_number(self.reading())}</td></tr></tfoot></table>"
            '<div class="bix-buttons bix-asleep" aria-hidden="true">'
            '<button type="button" class="dw-button" tabindex="-1">Step downhill</button>'
            '<button type="button" class="dw-button" tabindex="-1">Reset</button></div></div></div>'
            f'<p class="bix-status">(x, y) = ({_number(x)}, {_number(y)}) reads {_number(self.reading())}. '
            f"Slope ({slope}). The point can be moved by hand where scripts are on.</p></div></div>"
        )


def _value(number: Number) -> str:
    return _number(number, 0 if float(number).is_integer() else 1)


def _number(number: Number, digits: int = 3) -> str:
    text = f"{number:.{digits}f}"
    return (text.replace("-", "") if float(text) == 0 else text).replace("-", "−")


def _color(share: Number) -> str:
    """The color of a share in [0, 1], as on the page."""
    place = min(max(share, 0.0), 1.0) * (len(AMOUNT) - 1)
    low = min(int(place), len(AMOUNT) - 2)
    pairs = zip(AMOUNT[low], AMOUNT[low + 1], strict=True)
    return "#" + "".join(f"{round(start + (end - start) * (place - low)):02x}" for start, end in pairs)


@styled
def _figure(
    rows: list[list[float]],
    point: list[float],
    neighbors: list[_Neighbor],
    reading: float,
    slope: tuple[float, float],
) -> Figure:
    figure, grid = new_figure(6.0, 3.6)
    axes = grid[0, 0]
    axes.imshow(rows, cmap="Greys", vmin=min(map(min, rows)), vmax=2 * max(map(max, rows)))
    draw_cells(axes, (len(rows), len(rows[0])), margin=1.0)
    x, y = point
    for row, line in enumerate(rows):
        for column, value in enumerate(line):
            axes.text(column - 0.4, row - 0.38, _value(value), ha="left", va="top", fontsize=9)
    for neighbor in neighbors:
        text = f"× {_number(neighbor.weight)}"
        axes.text(neighbor.column, neighbor.row + 0.33, text, ha="center", fontsize=8, fontweight="bold")
    axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor=INK, linewidth=1.6))
    steep = math.hypot(*slope)
    if steep > 0:
        length = min(0.3 + 0.25 * steep, 1.4) / steep
        tip = (x + slope[0] * length, y + slope[1] * length)
        look = {"arrowstyle": "->", "color": WRONG_COLOR, "linewidth": 2.4}
        axes.annotate("", xy=tip, xytext=(x, y), arrowprops=look)
    axes.plot([x], [y], marker="o", color=INK, markeredgecolor="white", markersize=8)
    axes.set_title(
        f"reads {_number(reading)}, slope ({_number(slope[0], 2)}, {_number(slope[1], 2)}), uphill"
    )
    return figure
