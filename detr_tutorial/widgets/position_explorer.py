"""Which cells of a map have an encoding like that of a chosen cell, and what its numbers are.

Taught in notebooks/04_position_encoding.ipynb.
"""

from html import escape
from typing import Any

import torch
import traitlets
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from detr_tutorial._validation import (
    require_divisible,
    require_int,
    require_number,
    require_size,
    require_tensor,
)
from detr_tutorial.plots._style import draw_reference_point, new_figure, styled
from detr_tutorial.position import SinePositionEncoding
from detr_tutorial.widgets._book_widget import BookWidget
from detr_tutorial.widgets._scene import photo_uri

WIDTH, BARS_WIDTH, BARS_HEIGHT, BARS_REACH = 640, 640, 120, 50  # as in js/src/position/index.js
SIMILARITY = -1  # the channel that stands for all of them
HIGHEST = 10000.0
# As in js/src/common/ramp.js
AMOUNT = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
SIGNED = ((179, 88, 6), (241, 163, 64), (247, 247, 247), (153, 142, 195), (84, 39, 136))


class PositionExplorer(BookWidget, bundle="position_explorer"):
    """Choose a cell of a map over a photograph, and see how alike the positions of the other cells are.

    Nothing is computed in Python while the reader plays.

    Args:
        image: the photograph under the map, (3, H, W) in [0, 1]; only its looks are used.
        size: (height, width) of the map, in cells.
        num_features_per_axis: channels for y, and again for x; even.
        cell: (row, column) that is chosen at the start; by default the middle.
    Attributes:
        cell: [row, column] of the chosen cell.
        temperature: of the encoding, 1 to 10000.
        channel: -1 shows the similarity of whole vectors, another number one channel of all cells.
    Raises:
        TypeError, ValueError: if an argument is not what is described above.
    Source: DETR (arXiv 2005.12872) and Deformable DETR (arXiv 2010.04159), `PositionEmbeddingSine`; taught in
        notebooks/04_position_encoding.ipynb.
    """

    cell = traitlets.List(help="[row, column] of the chosen cell.").tag(sync=True)
    temperature = traitlets.Float(HIGHEST, min=1.0, max=HIGHEST, help="Temperature, 1 to 10000.").tag(
        sync=True
    )
    channel = traitlets.Int(SIMILARITY, help="-1: similarity; 0 to C - 1: this channel.").tag(sync=True)
    size = traitlets.List(help="[height, width] of the map, in cells.").tag(sync=True)
    features = traitlets.Int(help="Channels an axis.").tag(sync=True)
    aspect = traitlets.Float(help="Height of the photograph over its width.").tag(sync=True)
    picture = traitlets.Unicode(help="The photograph, as a data URI.").tag(sync=True)

    def __init__(
        self,
        image: Float[Tensor, "3 H W"],
        size: tuple[int, int] = (15, 21),
        num_features_per_axis: int = 32,
        cell: tuple[int, int] | None = None,
    ) -> None:
        require_tensor("image", image, "3 H W")
        if not bool(((image >= 0) & (image <= 1)).all()):
            raise ValueError("image must lie in [0, 1], got values outside it (or NaN)")
        height, width = require_size("size", size)
        require_int("num_features_per_axis", num_features_per_axis)
        require_divisible("num_features_per_axis", num_features_per_axis, "channels in a pair", 2)
        self._image = image
        chosen = [height // 2, width // 2] if cell is None else list(cell)
        super().__init__(
            size=[height, width],
            cell=chosen,
            features=num_features_per_axis,
            aspect=round(image.shape[1] / image.shape[2], 6),
            picture=photo_uri(image),
        )

    @traitlets.validate("cell")
    def _cell_on_the_map(self, proposal: dict[str, Any]) -> list[int]:
        value = proposal["value"]
        whole = len(value) == 2 and all(type(place) is int for place in value)
        limits = self.size or [float("inf")] * 2
        if not whole or not all(0 <= place < limit for place, limit in zip(value, limits, strict=True)):
            raise traitlets.TraitError(f"cell must be [row, column] on a map of {self.size}, got {value}")
        return value

    @traitlets.validate("channel")
    def _known_channel(self, proposal: dict[str, Any]) -> int:
        last = 2 * self.features - 1 if self.features else proposal["value"]
        if not SIMILARITY <= proposal["value"] <= last:
            raise traitlets.TraitError(f"channel must be -1 to {last}, got {proposal['value']}")
        return proposal["value"]

    def values(self) -> Float[Tensor, "H W"]:
        """What the map shows: similarities to the chosen cell, or one channel of all cells."""
        encoding = self._encoding()
        if self.channel != SIMILARITY:
            return encoding[self.channel]
        row, column = self.cell
        return torch.einsum("c,chw->hw", encoding[:, row, column], encoding) / self.features

    def _encoding(self) -> Tensor:
        height, width = self.size
        encode = SinePositionEncoding(self.features, require_number("temperature", self.temperature))
        return encode(torch.zeros(1, height, width, dtype=torch.bool), torch.float64)[0]

    def figure(self) -> Figure:
        """Draw the same picture with matplotlib, for print."""
        vector = self._encoding()[:, self.cell[0], self.cell[1]]
        return _figure(self._image, self.values(), (self.cell[0], self.cell[1]), vector, self.channel)

    def __repr__(self) -> str:
        state = f"cell={tuple(self.cell)}, temperature={self.temperature:g}, channel={self.channel}"
        return f"PositionExplorer({state})"

    def _page_state(self) -> dict[str, Any]:
        return {
            name: getattr(self, name)
            for name in ("cell", "temperature", "channel", "size", "features", "aspect")
        }

    def _fallback(self) -> str:
        height, width = self.size
        row, column = self.cell
        values = self.values()
        whole = self.channel == SIMILARITY
        box = (WIDTH / width, WIDTH * self.aspect / height)  # of a cell
        cells = "".join(
            f'<rect class="poe-cell" x="{x * box[0]:.1f}" y="{y * box[1]:.1f}" width="{box[0]:.1f}" '
            f'height="{box[1]:.1f}" fill="{_color(values[y, x].item(), whole)}"/>'
            for y in range(height)
            for x in range(width)
        )
        place = f"translate({(column + 0.5) * box[0]:.2f},{(row + 0.5) * box[1]:.2f})"
        reach = max(box) / 4
        cross = f"M{-reach:.2f} 0H{reach:.2f}M0 {-reach:.2f}V{reach:.2f}"
        ends = ("0", "similarity") if whole else ("−1", f"channel {self.channel}")
        stops = ",".join(_color(end * 0.25 if whole else end * 0.5 - 1, whole) for end in range(5))
        label = f"The photograph under its cells; the chosen cell is row {row}, column {column}"
        status = f"Cell ({row}, {column}). Another cell can be chosen by hand where scripts are on."
        asleep = (
            '<fieldset class="dw-chips"><legend>Show</legend>'
            '<span class="dw-chip"><span>similarity</span></span>'
            '<span class="dw-chip"><span>one channel</span></span></fieldset>'
            + "".join(
                f'<div class="dw-slider"><label>{name}</label><span class="dw-slider-value">0</span>'
                '<input type="range" tabindex="-1"></div>'
                for name in ("Temperature T", "Channel")
            )
        )
        return (
            '<div class="dw poe"><div class="dw-body">'
            f'<div class="poe-controls poe-asleep" aria-hidden="true">{asleep}</div>'
            f'<figure class="poe-figure"><svg class="poe-stage" viewBox="0 0 {WIDTH} {WIDTH * self.aspect}" '
            f'role="img" aria-label="{escape(label)}">'
            f'<image href="{self.picture}" width="{WIDTH}" height="{WIDTH * self.aspect}" '
            f'preserveAspectRatio="none"/>{cells}<g transform="{place}">'
            f'<path class="poe-cross-rim" d="{cross}"/><path class="poe-cross" d="{cross}"/></g></svg>'
            f'<figcaption class="poe-legend"><span>{ends[0]}</span><span class="poe-ramp" '
            f'style="background:linear-gradient(to right,{stops})"></span><span>1</span>'
            f'<span class="dw-muted">{ends[1]}</span></figcaption></figure>'
            f'{self._bars()}<p class="poe-status">{status}</p></div></div>'
        )

    def _bars(self) -> str:
        """The vector of the chosen cell as bars, in the place and size of the live ones."""
        vector = self._encoding()[:, self.cell[0], self.cell[1]].tolist()
        slot, middle = BARS_WIDTH / len(vector), BARS_HEIGHT / 2
        bars = "".join(
            f'<rect class="poe-{"y" if channel < self.features else "x"}" x="{(channel + 0.12) * slot:.1f}" '
            f'y="{middle - max(number, 0) * BARS_REACH:.1f}" width="{slot * 0.76:.1f}" '
            f'height="{abs(number) * BARS_REACH:.1f}"/>'
            for channel, number in enumerate(vector)
        )
        return (
            f'<svg class="poe-bars" viewBox="0 0 {BARS_WIDTH} {BARS_HEIGHT}" role="img" '
            f'aria-label="The vector of the chosen cell as bars, the y half on the left">{bars}</svg>'
        )


def _color(number: float, whole: bool) -> str:
    """The color of a similarity in [0, 1] or of a number in [-1, 1], as on the page."""
    stops, share = (AMOUNT, number) if whole else (SIGNED, (number + 1) / 2)
    place = min(max(share, 0.0), 1.0) * (len(stops) - 1)
    low = min(int(place), len(stops) - 2)
    mixed = (
        round(start + (end - start) * (place - low))
        for start, end in zip(stops[low], stops[low + 1], strict=True)
    )
    return "#" + "".join(f"{part:02x}" for part in mixed)


@styled
def _figure(image: Tensor, values: Tensor, cell: tuple[int, int], vector: Tensor, channel: int) -> Figure:
    """The map over the photograph, and the vector of the chosen cell."""
    height, width = image.shape[1:]
    figure, grid = new_figure(6.4, 5.6, rows=2, image_format="jpeg", height_ratios=(3.2, 1))
    axes, bars = grid[:, 0]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    axes.imshow(image.permute(1, 2, 0).clamp(0, 1).numpy(), extent=extent)
    whole = channel == SIMILARITY
    look = {"cmap": "viridis", "vmin": 0} if whole else {"cmap": "PuOr", "vmin": -1}
    shown = axes.imshow(values.numpy(), vmax=1, extent=extent, alpha=0.78, **look)
    rows, columns = values.shape
    x, y = (cell[1] + 0.5) / columns * width - 0.5, (cell[0] + 0.5) / rows * height - 0.5
    draw_reference_point(axes, x, y)
    axes.set(xticks=[], yticks=[], xlim=extent[:2], ylim=extent[2:])
    axes.set_title("similarity to the marked cell" if whole else f"channel {channel}")
    figure.colorbar(shown, ax=axes, pad=0.02)
    half = len(vector) // 2
    for name, first, color in (("y half", 0, "#0072B2"), ("x half", half, "#D55E00")):
        bars.bar(range(first, first + half), vector[first : first + half].tolist(), color=color, label=name)
    bars.set_title("the vector of the marked cell")
    bars.set_xlabel("channel")
    bars.legend(loc="lower right", ncols=2)
    return figure
