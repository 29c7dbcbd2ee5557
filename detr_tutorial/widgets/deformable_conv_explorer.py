"""The nine points of a kernel over a photograph, moved by hand, and what the kernel answers.

Taught in notebooks/07_deformable_convolution.ipynb.
"""

import math
from collections.abc import Sequence
from html import escape
from typing import Any

import torch
import traitlets
from einops import repeat
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from detr_tutorial._validation import require_int, require_tensor
from detr_tutorial.plots._style import draw_picture, draw_reference_point, new_figure, styled
from detr_tutorial.sampling import deform_conv2d, kernel_grid
from detr_tutorial.widgets._book_widget import BookWidget
from detr_tutorial.widgets._packing import pack
from detr_tutorial.widgets._scene import photo_uri

WIDTH, BEYOND, STRONG = 640, 1, 0.4  # as in js/src/deformconv/index.js
NARROWEST, WIDEST = 12, 40  # cells: fewer show nothing, more are too small for a finger
# As in js/src/common/ramp.js
AMOUNT = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
SIGNED = ((179, 88, 6), (241, 163, 64), (247, 247, 247), (153, 142, 195), (84, 39, 136))
KERNELS = {
    "edge": [-0.25, 0.0, 0.25, -0.5, 0.0, 0.5, -0.25, 0.0, 0.25],
    "mean": [1 / 9] * 9,
    "spot": [-0.125, -0.125, -0.125, -0.125, 1.0, -0.125, -0.125, -0.125, -0.125],
}
TURN = math.radians(45)


def _arrangements() -> dict[str, list[list[float]]]:
    """Where the nine points stand, relative to the place, for each chip."""
    grid = kernel_grid()
    turn = torch.tensor([[math.cos(TURN), -math.sin(TURN)], [math.sin(TURN), math.cos(TURN)]])
    moves = {
        "at rest": grid,
        "moved": grid + torch.tensor([3.0, 1.0]),
        "scaled": 2.5 * grid,
        "turned": 1.5 * grid @ turn.mT,
    }
    return {name: [[round(n, 2) + 0.0 for n in row] for row in move.tolist()] for name, move in moves.items()}


class DeformableConvExplorer(BookWidget, bundle="deformable_conv_explorer"):
    """Move the nine points of a 3 x 3 kernel over a photograph, and see what it answers.

    The same points are used at every cell of the response. Nothing is computed in Python while the reader
    plays; `response` says what the page shows.

    Args:
        image: the photograph, (3, H, W) in [0, 1]; the kernel reads its gray values, shrunk.
        columns: width of the map that the kernel reads, in cells, 12 to 40.
    Attributes:
        points: nine [x, y] relative to the place, in cells, row by row of the kernel.
        place: [x, y] of the cell whose response is taken apart.
        kernel: "edge", "mean" or "spot".
    Raises:
        TypeError, ValueError: if an argument is not what is described above.
    Source: Deformable Convolutional Networks (arXiv 1703.06211), equation 2; taught in
        notebooks/07_deformable_convolution.ipynb.
    """

    points = traitlets.List(help="Nine [x, y], relative to the place, in cells.").tag(sync=True)
    place = traitlets.List(help="[x, y] of a cell.").tag(sync=True)
    kernel = traitlets.Unicode("edge", help="edge, mean or spot.").tag(sync=True)
    size = traitlets.List(help="[height, width] of the map, in cells.").tag(sync=True)
    kernels = traitlets.Dict(help="The weights of each kernel.").tag(sync=True)
    arrangements = traitlets.Dict(help="Where the points stand, for each chip.").tag(sync=True)
    gray = traitlets.Dict(help="The map that the kernel reads, packed.").tag(sync=True)
    picture = traitlets.Unicode(help="The photograph, as a data URI.").tag(sync=True)

    def __init__(self, image: Float[Tensor, "3 H W"], columns: int = 24) -> None:
        require_tensor("image", image, "3 H W")
        if not bool(((image >= 0) & (image <= 1)).all()):
            raise ValueError("image must lie in [0, 1], got values outside it (or NaN)")
        require_int("columns", columns, minimum=NARROWEST)
        if columns > WIDEST:
            raise ValueError(f"columns must be at most {WIDEST}, got {columns}")
        rows = max(3, round(columns * image.shape[1] / image.shape[2]))
        shrunk = adaptive_avg_pool2d(image.detach().cpu().float().mean(0)[None, None], (rows, columns))[0, 0]
        self._image, self._map = image.detach().cpu(), (shrunk * 255).round().to(torch.float64)
        choices = _arrangements()
        super().__init__(
            size=[rows, columns],
            points=choices["at rest"],
            place=[round(columns * 0.38), round(rows * 0.38)],
            kernels=KERNELS,
            arrangements=choices,
            gray=pack(self._map.numpy(), "uint8"),
            picture=photo_uri(image),
        )

    @traitlets.validate("points")
    def _nine_points(self, proposal: dict[str, Any]) -> list[list[float]]:
        value = proposal["value"]
        pairs = [point for point in value if isinstance(point, Sequence) and len(point) == 2]
        if len(value) != 9 or len(pairs) != 9 or not all(_is_number(n) for point in pairs for n in point):
            raise traitlets.TraitError(f"points must be nine [x, y], got {value}")
        return [[float(number) for number in point] for point in value]

    @traitlets.validate("place")
    def _cell_on_the_map(self, proposal: dict[str, Any]) -> list[int]:
        value = proposal["value"]
        limits = self.size[::-1] or [math.inf] * 2
        whole = len(value) == 2 and all(type(number) is int for number in value)
        if not whole or not all(0 <= number < limit for number, limit in zip(value, limits, strict=True)):
            raise traitlets.TraitError(f"place must be [x, y] on a map of {self.size}, got {value}")
        return value

    @traitlets.validate("kernel")
    def _known_kernel(self, proposal: dict[str, Any]) -> str:
        if proposal["value"] not in KERNELS:
            raise traitlets.TraitError(f"kernel must be one of {tuple(KERNELS)}, got {proposal['value']!r}")
        return proposal["value"]

    def response(self) -> Float[Tensor, "H W"]:
        """What the kernel answers at every cell, with these points everywhere."""
        weight = torch.tensor(KERNELS[self.kernel], dtype=torch.float64).view(1, 1, 3, 3)
        offsets = torch.tensor(self.points, dtype=torch.float64) - kernel_grid()
        everywhere = repeat(offsets, "N xy -> 1 H W N xy", H=self.size[0], W=self.size[1])
        return deform_conv2d(self._map[None, None] / 255, everywhere, weight, padding=1)[0, 0]

    def figure(self) -> Figure:
        """Draw the same picture with matplotlib, for print."""
        place = (self.place[0], self.place[1])
        return _figure(self._image, self.response(), self.points, place, self.kernel)

    def __repr__(self) -> str:
        x, y = self.place
        answer = self.response()[y, x].item()
        return f"DeformableConvExplorer(kernel={self.kernel!r}, place=({x}, {y}), response={answer:.3f})"

    def _page_state(self) -> dict[str, Any]:
        # the photograph travels once, in the picture that is shown without scripts
        names = ("points", "place", "kernel", "size", "kernels", "arrangements", "gray")
        return {name: getattr(self, name) for name in names}

    def _fallback(self) -> str:
        rows, columns = self.size
        cell = WIDTH / columns
        tall = cell * rows
        x, y = self.place
        response, weights = self.response(), KERNELS[self.kernel]
        signed = min(weights) < 0
        answers = "".join(
            f'<rect class="dcx-answer" x="{column * cell:.1f}" y="{row * cell:.1f}" width="{cell + 0.5:.1f}" '
            f'height="{cell + 0.5:.1f}" fill="{_color(response[row, column].item(), signed)}"/>'
            for row in range(rows)
            for column in range(columns)
        )
        dots = ""
        for (dx, dy), weight in zip(self.points, weights, strict=True):
            name = "dcx-dot" + (" dcx-negative" if weight < 0 else " dcx-none" if weight == 0 else "")
            text = "+" if weight > 0 else "−" if weight < 0 else "0"
            move = f"translate({(x + dx + 0.5) * cell:.1f},{(y + dy + 0.5) * cell:.1f})"
            dots += f'<g class="{name}" transform="{move}"><circle r="11"/><text y="1">{text}</text></g>'
        chips = "".join(
            f'<fieldset class="dw-chips"><legend>{legend}</legend>'
            + "".join(f'<span class="dw-chip"><span>{name}</span></span>' for name in names)
            + "</fieldset>"
            for legend, names in (("Points", self.arrangements), ("Kernel", KERNELS))
        )
        box = f'viewBox="0 0 {WIDTH} {tall:g}" role="img"'
        legend = "response: orange below 0, violet above" if signed else "response: dark 0, bright 1"
        lines = ("<tr>" + "<td>0</td>" * 3 + "</tr>") * 3
        return (
            '<div class="dw dcx"><div class="dw-body">'
            f'<div class="dcx-controls dcx-asleep" aria-hidden="true">{chips}</div><div class="dcx-main">'
            f'<figure class="dcx-figure"><svg class="dcx-stage" {box} '
            'aria-label="Photograph with the nine points of a kernel">'
            f'<image href="{self.picture}" width="{WIDTH}" height="{tall:g}" preserveAspectRatio="none"/>'
            f"{dots}</svg>"
            '<figcaption class="dw-muted">nine points, with the sign of their weight</figcaption></figure>'
            f'<figure class="dcx-figure"><svg class="dcx-answers" {box} '
            f'aria-label="What the kernel answers at every cell">{answers}</svg>'
            f'<figcaption class="dw-muted">{legend}</figcaption></figure></div>'
            '<table class="dw-table dcx-table dcx-asleep" aria-hidden="true">'
            f"<caption>weight × reading, point by point</caption><tbody>{lines}</tbody></table>"
            f'<p class="dcx-status">At row {y}, column {x} the kernel “{escape(self.kernel)}” answers '
            f"{_number(response[y, x].item())}. Scripts move the points.</p></div></div>"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _number(number: float) -> str:
    text = f"{number:.3f}"
    return (text.replace("-", "") if float(text) == 0 else text).replace("-", "−")


def _color(number: float, signed: bool) -> str:
    """The color of a response, as on the page."""
    stops, share = (SIGNED, (number / STRONG + 1) / 2) if signed else (AMOUNT, number)
    place = min(max(share, 0.0), 1.0) * (len(stops) - 1)
    low = min(int(place), len(stops) - 2)
    pairs = zip(stops[low], stops[low + 1], strict=True)
    return "#" + "".join(f"{round(start + (end - start) * (place - low)):02x}" for start, end in pairs)


@styled
def _figure(
    image: Tensor, response: Tensor, points: list[list[float]], place: tuple[int, int], kernel: str
) -> Figure:
    figure, grid = new_figure(7.2, 2.9, columns=2, image_format="jpeg")
    photo, answers = grid[0]
    draw_picture(photo, image)
    (height, width), (rows, columns) = image.shape[1:], response.shape
    cell = torch.tensor([width / columns, height / rows])
    middle = torch.tensor(place)
    at = (torch.tensor(points) + middle + 0.5) * cell - 0.5
    for (x, y), weight in zip(at.tolist(), KERNELS[kernel], strict=True):
        color = "#542788" if weight > 0 else "#f1a340" if weight < 0 else "#f7f7f7"
        photo.plot([x], [y], marker="o", markersize=8, color=color, markeredgecolor="#10151a")
        sign = "+" if weight > 0 else "−" if weight < 0 else "0"
        photo.text(x, y, sign, ha="center", va="center", fontsize=7, color="white" if weight > 0 else "black")
    x, y = ((middle + 0.5) * cell - 0.5).tolist()
    draw_reference_point(photo, x, y, size=18)
    signed = min(KERNELS[kernel]) < 0
    look = {"cmap": "PuOr", "vmin": -STRONG, "vmax": STRONG} if signed else {"vmin": 0, "vmax": 1}
    shown = answers.imshow(response.numpy(), **look)
    draw_reference_point(answers, *place, size=9)
    answers.set(xticks=[], yticks=[])
    answers.set_title(f"response of the kernel “{kernel}”", fontsize=9)
    figure.colorbar(shown, ax=answers, shrink=0.8)
    return figure
