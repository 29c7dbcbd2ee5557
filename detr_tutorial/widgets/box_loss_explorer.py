"""The losses between two boxes, and where each of them pulls, while the reader moves the boxes.

Taught in notebooks/17_matching_and_losses.ipynb.
"""

import base64
import io
from html import escape
from typing import Any

import numpy as np
import torch
import traitlets
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from torch import Tensor

from detr_tutorial._validation import require_tensor
from detr_tutorial.boxes import cxcywh_to_xyxy, paired_giou
from detr_tutorial.plots._style import WRONG_COLOR, new_figure, styled
from detr_tutorial.widgets._book_widget import BookWidget
from detr_tutorial.widgets.position_explorer import AMOUNT

SIDE, CELLS = 600, 48  # of the drawing and of its map, as in js/src/boxloss/picture.js
SMALLEST, LARGEST = 0.04, 0.8  # side of a box
NAMES = {"l1": "L1", "iou": "1 − IoU", "giou": "1 − GIoU", "sum": "5 L1 + 2 (1 − GIoU)"}
COLUMNS = ("value", "cx", "cy", "w", "h")
KEY = (
    "Solid, P: the prediction. Dashed, O: the object. Arrows point downhill, longer where it is steeper. "
    "Hatched: moving the prediction there meets no slope. Arrow keys move, Shift makes larger steps."
)
ASLEEP = "The boxes can be moved by hand where scripts are on. "


def _losses(boxes: Tensor, others: Tensor) -> dict[str, Tensor]:
    """Each loss of (N, 4) boxes as (cx, cy, w, h), by name."""
    one, two = cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(others)
    sides = torch.minimum(one[:, 2:], two[:, 2:]) - torch.maximum(one[:, :2], two[:, :2])
    common = sides.clamp(min=0).prod(1)
    union = boxes[:, 2:].prod(1) + others[:, 2:].prod(1) - common
    distance, giou = (boxes - others).abs().sum(1), 1 - paired_giou(one, two)
    return {"l1": distance, "iou": 1 - common / union, "giou": giou, "sum": 5 * distance + 2 * giou}


class BoxLossExplorer(BookWidget, bundle="box_loss_explorer"):
    """Move two boxes, and see the losses between them, their slopes, and where there is no slope.

    Nothing is computed in Python while the reader plays; `values` says what the page shows.

    Args:
        box: the prediction, (4,) as (cx, cy, w, h), fractions of the picture.
        other: the object, the same.
        loss: the loss that is shown at the start.
    Attributes:
        box, other: [cx, cy, w, h]; centers lie in [0, 1], sides in [0.04, 0.8].
        loss: "l1", "iou" (1 - IoU), "giou" (1 - GIoU) or "sum" (5 L1 + 2 (1 - GIoU)).
    Raises:
        TypeError, ValueError: if an argument is not what is described above.
    Source: Generalized IoU (arXiv 1902.09630); taught in notebooks/17_matching_and_losses.ipynb.
    """

    box = traitlets.List(help="[cx, cy, w, h] of the prediction.").tag(sync=True)
    other = traitlets.List(help="[cx, cy, w, h] of the object.").tag(sync=True)
    loss = traitlets.Unicode("iou", help="l1, iou, giou or sum.").tag(sync=True)
    scene = traitlets.Dict(help="Where the boxes begin, and the key.").tag(sync=True)

    def __init__(self, box: Float[Tensor, "4"], other: Float[Tensor, "4"], loss: str = "iou") -> None:
        start = {}
        for name, given in (("box", box), ("other", other)):
            require_tensor(name, given, "4")
            centers, sides = given[:2], given[2:]
            inside = bool(((centers >= 0) & (centers <= 1)).all())
            if not (inside and bool(((sides >= SMALLEST) & (sides <= LARGEST)).all())):
                raise ValueError(
                    f"{name} must have its center in [0, 1] and sides in [{SMALLEST}, {LARGEST}], "
                    f"got {given.tolist()}"
                )
            start[name] = [round(float(number), 6) for number in given]
        if loss not in NAMES:
            raise ValueError(f"loss must be one of {tuple(NAMES)}, got {loss!r}")
        super().__init__(**start, loss=loss, scene={**start, "key": KEY})

    @traitlets.validate("box", "other")
    def _a_box(self, proposal: dict[str, Any]) -> list[float]:
        name, value = proposal["trait"].name, proposal["value"]
        if len(value) != 4 or not all(isinstance(number, int | float) for number in value):
            raise traitlets.TraitError(f"{name} must be 4 numbers, got {value}")
        centers, sides = value[:2], value[2:]
        if not all(0 <= number <= 1 for number in centers):
            raise traitlets.TraitError(f"{name} must have its center in [0, 1], got {value}")
        if not all(SMALLEST <= number <= LARGEST for number in sides):
            raise traitlets.TraitError(f"{name} must have sides in [{SMALLEST}, {LARGEST}], got {value}")
        return [float(number) for number in value]

    @traitlets.validate("loss")
    def _known_loss(self, proposal: dict[str, Any]) -> str:
        if proposal["value"] not in NAMES:
            raise traitlets.TraitError(f"loss must be one of {tuple(NAMES)}, got {proposal['value']!r}")
        return proposal["value"]

    def values(self) -> dict[str, tuple[float, list[float]]]:
        """Each loss by name: its value, and its slopes along cx, cy, w and h of the prediction."""
        other = torch.tensor([self.other], dtype=torch.float64)
        found = {}
        for name in NAMES:
            box = torch.tensor([self.box], dtype=torch.float64, requires_grad=True)
            value = _losses(box, other)[name].sum()
            (slopes,) = torch.autograd.grad(value, box)
            found[name] = (value.item(), slopes[0].tolist())
        return found

    def figure(self) -> Figure:
        """Draw the same picture with matplotlib, for print."""
        return _figure(self.box, self.other, self._map(), self.values(), self.loss)

    def __repr__(self) -> str:
        value, _ = self.values()[self.loss]
        return f"BoxLossExplorer(loss={self.loss!r}, value={value:.3f})"

    def _map(self) -> Tensor:
        """The chosen loss over the place of the prediction's center, (CELLS, CELLS)."""
        steps = (torch.arange(CELLS, dtype=torch.float64) + 0.5) / CELLS
        ys, xs = torch.meshgrid(steps, steps, indexing="ij")
        size = torch.tensor(self.box[2:], dtype=torch.float64).expand(CELLS**2, 2)
        boxes = torch.cat([torch.stack([xs, ys], dim=-1).flatten(0, 1), size], dim=1)
        others = torch.tensor(self.other, dtype=torch.float64).expand_as(boxes)
        return _losses(boxes, others)[self.loss].unflatten(0, (CELLS, CELLS))

    def _page_state(self) -> dict[str, Any]:
        return {"box": self.box, "other": self.other, "loss": self.loss, "scene": self.scene}

    def _fallback(self) -> str:
        chips = "".join(f'<span class="dw-chip"><span>{name}</span></span>' for name in NAMES.values())
        buttons = "".join(
            f'<button type="button" class="dw-button" tabindex="-1">{word}</button>'
            for word in ("Step", "Reset")
        )
        table = self._map()
        stops = ",".join("rgb(" + ",".join(map(str, stop)) + ")" for stop in AMOUNT)
        return (
            '<div class="dw bx"><div class="dw-body"><div class="bx-controls bx-asleep" aria-hidden="true">'
            f'<fieldset class="dw-chips"><legend>Loss</legend>{chips}</fieldset>'
            f'<div class="bx-buttons">{buttons}</div></div><div class="bx-main"><figure class="bx-figure">'
            f'<div class="bx-stage"><img class="bx-map" alt="" aria-hidden="true" src="{_picture(table)}">'
            f"{self._svg()}</div>"
            f'<figcaption class="bx-legend"><span>{_number(table.min())}</span><span class="bx-ramp" '
            f'style="background:linear-gradient(to right,{stops})"></span><span>{_number(table.max())}</span>'
            '<span class="dw-muted">loss, by place</span></figcaption></figure>'
            f'<div class="bx-side">{self._table()}<p class="bx-status">{ASLEEP}</p></div></div>'
            f'<p class="dw-muted bx-key">{escape(KEY)}</p></div></div>'
        )

    def _svg(self) -> str:
        drawn = ""
        for name, numbers in (("other", self.other), ("box", self.box)):
            cx, cy, w, h = (number * SIDE for number in numbers)
            sides = f'x="{cx - w / 2:.1f}" y="{cy - h / 2:.1f}" width="{w:.1f}" height="{h:.1f}"'
            letter = "P" if name == "box" else "O"
            drawn += (
                f'<g class="bx-{name}"><rect class="bx-rim" {sides}/><rect class="bx-edge" {sides}/>'
                f'<g class="bx-grip" transform="translate({cx:.1f},{cy:.1f})"><circle r="15"/>'
                f'<text y="1">{letter}</text></g></g>'
            )
        return (
            f'<svg class="bx-photo" role="img" viewBox="0 0 {SIDE} {SIDE}" '
            f'aria-label="Prediction and object, over {escape(NAMES[self.loss])} by place">{drawn}</svg>'
        )

    def _table(self) -> str:
        head = "".join(f'<th scope="col">{name}</th>' for name in ("loss", *COLUMNS))
        rows = ""
        for name, (value, slopes) in self.values().items():
            cells = "".join(f"<td>{_number(number)}</td>" for number in (value, *slopes))
            chosen = ' class="bx-chosen"' if name == self.loss else ""
            word = "sum" if name == "sum" else NAMES[name]
            rows += f'<tr{chosen}><th scope="row">{word}</th>{cells}</tr>'
        return (
            '<table class="dw-table bx-table"><caption>Losses and their slopes</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        )


def _number(number: float | Tensor) -> str:
    return f"{float(number) + 0.0:.2f}".replace("-0.00", "0.00").replace("-", "−")


def _picture(table: Tensor) -> str:
    """A map as a small picture, colored as on the page, as a data URI."""
    share = ((table - table.min()) / (table.max() - table.min()).clamp(min=1e-12)).numpy()
    stops = np.array(AMOUNT, dtype=float)
    place = share * (len(stops) - 1)
    colors = np.stack(
        [np.interp(place, np.arange(len(stops)), stops[:, channel]) for channel in range(3)], -1
    )
    buffer = io.BytesIO()
    Image.fromarray(np.rint(colors).astype(np.uint8)).quantize(64).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


@styled
def _figure(
    box: list[float],
    other: list[float],
    table: Tensor,
    values: dict[str, tuple[float, list[float]]],
    loss: str,
) -> Figure:
    figure, grid = new_figure(7.2, 3.6, columns=2, width_ratios=(1, 1))
    left, right = grid[0]
    shown = left.imshow(table.numpy(), extent=(0, 1, 1, 0), cmap="viridis", interpolation="bilinear")
    figure.colorbar(shown, ax=left, pad=0.02, shrink=0.9)
    for (cx, cy, w, h), color, style in ((other, "white", (0, (4, 2))), (box, "#56B4E9", "-")):
        edge = Rectangle((cx - w / 2, cy - h / 2), w, h, fill=False, ec=color, lw=2.2, linestyle=style)
        left.add_patch(edge)
    slopes = torch.tensor(values[loss][1])
    if bool(slopes[:2].any()):
        dx, dy = (-0.2 * slopes[:2] / slopes[:2].norm()).tolist()
        left.annotate(
            "",
            (box[0] + dx, box[1] + dy),
            (box[0], box[1]),
            arrowprops={"arrowstyle": "-|>", "color": WRONG_COLOR, "lw": 2.4},
        )
    left.set(xticks=[], yticks=[], title=f"{NAMES[loss]}, by place of the prediction")
    lines = [
        [NAMES[name].split(" +")[0] if name != "sum" else "sum", *(f"{number:.2f}" for number in (value, *s))]
        for name, (value, s) in values.items()
    ]
    right.set_axis_off()
    right.table(lines, colLabels=["loss", *COLUMNS], loc="center", cellLoc="right", edges="horizontal").scale(
        1, 1.6
    )
    right.set_title("losses and their slopes")
    return figure
