"""Which prediction slot answers for which object, while the reader moves the slots.

Taught in notebooks/01_set_prediction.ipynb.
"""

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import torch
import traitlets
from jaxtyping import Float, Int64
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import interpolate

from detr_tutorial._validation import require_list, require_tensor
from detr_tutorial.boxes import cxcywh_to_xyxy, pairwise_giou
from detr_tutorial.matching import MatchCost
from detr_tutorial.plots._style import INK, draw_picture, new_figure, styled
from detr_tutorial.plots.chapter_01 import draw_boxes, slot_color
from detr_tutorial.widgets._book_widget import BookWidget
from detr_tutorial.widgets._scene import photo_uri

WIDTH = 600  # of the picture, as in js/src/matching/picture.js
LONGEST_SHOWN = 420  # pixels of the photograph that travel to the page
WEIGHTS = MatchCost(label=1.0, boxes=5.0, giou=2.0)  # DETR's
KEY = (
    "Dashed: objects. Solid: slots, moved by hand or with the arrow keys (Shift: larger steps). "
    "A line and a framed number: a pair."
)
ASLEEP = "The picture can be changed by hand where scripts are on. "


def cheapest(cost: Float[Tensor, "Q n"]) -> list[int]:
    """The slot of every object in the pairing with the smallest sum."""
    slots, items = linear_sum_assignment(cost)
    return [int(slots[items == item][0]) for item in range(cost.shape[1])]


def greedy(cost: Float[Tensor, "Q n"]) -> list[int]:
    """The slot of every object when the smallest entry is taken again and again."""
    left, chosen = cost.clone(), [-1] * cost.shape[1]
    for _ in chosen:
        slot, item = divmod(int(left.argmin()), cost.shape[1])
        chosen[item] = slot
        left[slot], left[:, item] = torch.inf, torch.inf
    return chosen


def nearest(cost: Float[Tensor, "Q n"]) -> list[int]:
    """The cheapest slot of every object, whoever has it already."""
    return cost.argmin(dim=0).tolist()


RULES: dict[str, Callable[[Tensor], list[int]]] = {"cheapest": cheapest, "greedy": greedy, "nearest": nearest}


class MatchingExplorer(BookWidget, bundle="matching_explorer"):
    """Move prediction slots over a photograph, and see their costs and who answers for which object.

    Nothing is computed in Python while the reader plays; `cost` and `pairs` say what the page shows.

    Args:
        image: the photograph, (3, H, W) in [0, 1].
        probability: what each slot says, (Q, classes + 1), the last class is "nothing"; rows sum to 1.
        boxes: of the slots, (Q, 4) as (cx, cy, w, h), fractions of the photograph.
        labels: class of every object, (n,) int64; at most as many objects as slots, at least one.
        objects: their boxes, (n, 4) as (cx, cy, w, h), fractions of the photograph.
        names: of the classes, without "nothing".
    Attributes:
        boxes: [cx, cy, w, h] of each slot; the reader moves their centers within the photograph.
        rule: how pairs are chosen, "cheapest" (Hungarian), "greedy", or "nearest" (each object alone).
    Raises:
        TypeError, ValueError: if an argument is not what is described above.
    Source: DETR (arXiv 2005.12872), section 3.1; taught in notebooks/01_set_prediction.ipynb.
    """

    boxes = traitlets.List(help="[cx, cy, w, h] of each slot, fractions of the photograph.").tag(sync=True)
    rule = traitlets.Unicode("cheapest", help="cheapest, greedy or nearest.").tag(sync=True)
    scene = traitlets.Dict(help="The part of the picture that never changes.").tag(sync=True)

    def __init__(
        self,
        image: Float[Tensor, "3 _ _"],
        probability: Float[Tensor, "_ _"],
        boxes: Float[Tensor, "_ 4"],
        labels: Int64[Tensor, "_"],
        objects: Float[Tensor, "_ 4"],
        names: Sequence[str],
    ) -> None:
        require_tensor("image", image, "3 H W")
        if not bool(((image >= 0) & (image <= 1)).all()):
            raise ValueError("image must lie in [0, 1], got values outside it (or NaN)")
        words = require_list("names", names, "strings", minimum=1)
        require_tensor("boxes", boxes, "Q 4")
        require_tensor("objects", objects, "n 4")
        for name, given in (("boxes", boxes), ("objects", objects)):
            if not bool(((given >= 0) & (given <= 1)).all() and (given[:, 2:] > 0).all()):
                raise ValueError(f"{name} must lie in [0, 1] with sides above 0, got others (or NaN)")
        require_tensor("probability", probability, f"{len(boxes)} {len(words) + 1}")
        require_tensor("labels", labels, f"{len(objects)}", "integer")
        if len(objects) > len(boxes):
            raise ValueError(f"objects must be at most {len(boxes)}, one a slot, got {len(objects)}")
        if not bool(((labels >= 0) & (labels < len(words))).all()):
            raise ValueError(f"labels must be 0 to {len(words) - 1}, got {labels.tolist()}")
        self._image, self._objects = image.detach().cpu(), objects.detach().cpu().double()
        self._label_cost = -probability.detach().cpu().double()[:, labels.cpu()]
        start = _rounded(boxes)
        said = [*words, "nothing"]
        super().__init__(
            boxes=start,
            scene={
                "photo": photo_uri(_shrunk(image)),
                "size": list(image.shape[1:]),
                "objects": _rounded(objects),
                "names": [words[label] for label in labels.tolist()],
                "says": [said[index] for index in probability.argmax(dim=1).tolist()],
                "labelCost": _rounded(self._label_cost),
                "weights": {"boxes": WEIGHTS.boxes, "giou": WEIGHTS.giou},
                "start": start,
                "key": KEY,
            },
        )

    @traitlets.validate("boxes")
    def _boxes_in_range(self, proposal: dict[str, Any]) -> list[list[float]]:
        value = proposal["value"]
        rows = [row for row in value if isinstance(row, list | tuple) and len(row) == 4]
        if len(rows) != len(value) or len(value) != len(self._label_cost):
            raise traitlets.TraitError(
                f"boxes must be {len(self._label_cost)} rows of 4 numbers, got {value}"
            )
        if not all(isinstance(side, int | float) and 0 <= side <= 1 for row in rows for side in row):
            raise traitlets.TraitError(f"boxes must lie in [0, 1], got {value}")
        return [[float(side) for side in row] for row in rows]

    @traitlets.validate("rule")
    def _known_rule(self, proposal: dict[str, Any]) -> str:
        if proposal["value"] not in RULES:
            raise traitlets.TraitError(f"rule must be one of {tuple(RULES)}, got {proposal['value']!r}")
        return proposal["value"]

    def cost(self) -> Float[Tensor, "Q n"]:
        """The cost of every pair of a slot and an object, as the page shows it."""
        boxes = torch.tensor(self.boxes, dtype=torch.float64)
        distance = torch.cdist(boxes, self._objects, p=1)
        overlap = pairwise_giou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(self._objects))
        return self._label_cost + WEIGHTS.boxes * distance - WEIGHTS.giou * overlap

    def pairs(self) -> list[int]:
        """The slot that answers for each object, by the present rule."""
        return RULES[self.rule](self.cost())

    def figure(self) -> Figure:
        """Draw the same picture with matplotlib, for print."""
        return _figure(self._image, self.boxes, self.scene, self.cost(), self.pairs(), self.rule)

    def __repr__(self) -> str:
        return f"MatchingExplorer(rule={self.rule!r}, pairs={self.pairs()})"

    def _page_state(self) -> dict[str, Any]:
        # the photograph travels once, in the picture that is shown without scripts
        scene = {name: part for name, part in self.scene.items() if name != "photo"}
        return {"boxes": self.boxes, "rule": self.rule, "scene": scene}

    def _fallback(self) -> str:
        chips = "".join(f'<span class="dw-chip"><span>{rule}</span></span>' for rule in RULES)
        cost, pairs = self.cost(), self.pairs()
        return (
            '<div class="dw mx"><div class="dw-body"><div class="mx-controls mx-asleep" aria-hidden="true">'
            f'<fieldset class="dw-chips"><legend>Pairs</legend>{chips}</fieldset>'
            '<button type="button" class="dw-button" tabindex="-1">Reset</button></div>'
            f'<div class="mx-main"><div class="mx-stage">{_svg(self.scene, self.boxes, pairs)}</div>'
            f'<div class="mx-costs">{_table(self.scene, cost, pairs)}</div></div>'
            f'<p class="mx-status">{ASLEEP}{_sum_of(cost, pairs)}</p>'
            f'<p class="dw-muted mx-key">{escape(KEY)}</p></div></div>'
        )


def _rounded(numbers: Tensor) -> list[list[float]]:
    return [[round(float(number), 6) for number in row] for row in numbers]


def _shrunk(image: Tensor) -> Tensor:
    scale = LONGEST_SHOWN / max(image.shape[1:])
    if scale >= 1:
        return image
    size = [max(1, round(side * scale)) for side in image.shape[1:]]
    return interpolate(image[None], size=size, mode="bilinear", antialias=True)[0].clamp(0, 1)


def _number(number: float | Tensor) -> str:
    return f"{float(number) + 0.0:.2f}".replace("-0.00", "0.00").replace("-", "−")


def _sum_of(cost: Tensor, pairs: list[int]) -> str:
    return f"Sum of the costs {_number(cost[pairs, torch.arange(len(pairs))].sum())}."


def _svg(scene: dict[str, Any], boxes: list[list[float]], pairs: list[int]) -> str:
    height = WIDTH * scene["size"][0] / scene["size"][1]

    def sides(box: list[float]) -> str:
        cx, cy, w, h = box
        x, y = (cx - w / 2) * WIDTH, (cy - h / 2) * height
        return f'x="{x:.1f}" y="{y:.1f}" width="{w * WIDTH:.1f}" height="{h * height:.1f}"'

    drawn = "".join(f'<rect class="mx-object" {sides(box)}/>' for box in scene["objects"])
    for slot, box in enumerate(boxes):
        color = f"--mx-color:{slot_color(slot)}"
        idle = "" if slot in pairs else " mx-idle"
        drawn += (
            f'<g class="mx-slot{idle}" style="{color}"><rect class="mx-rim" {sides(box)}/>'
            f'<rect class="mx-edge" {sides(box)}/>'
            f'<g class="mx-badge" transform="translate({box[0] * WIDTH:.1f},{box[1] * height:.1f})">'
            f'<circle r="15"/><text y="1">{slot}</text></g></g>'
        )
    return (
        f'<svg class="mx-photo" role="img" viewBox="0 0 {WIDTH} {height:.6g}" '
        'aria-label="Photograph with the boxes of objects, dashed, and of slots, numbered">'
        f'<image href="{scene["photo"]}" width="{WIDTH}" height="{height:.6g}" preserveAspectRatio="none"/>'
        f"{drawn}</svg>"
    )


def _table(scene: dict[str, Any], cost: Tensor, pairs: list[int]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in scene["names"])
    rows = ""
    for slot, (word, prices) in enumerate(zip(scene["says"], cost.tolist(), strict=True)):
        cells = "".join(
            f'<td class="{"mx-chosen" if pairs[item] == slot else ""}">{_number(price)}</td>'
            for item, price in enumerate(prices)
        )
        swatch = f'<span class="dw-swatch" style="background:{slot_color(slot)}"></span>'
        rows += f'<tr><th scope="row">{swatch}<span> {slot} {escape(word)}</span></th>{cells}</tr>'
    total = _number(cost[pairs, torch.arange(len(pairs))].sum())
    return (
        '<table class="dw-table mx-table"><caption>Cost of every pair</caption>'
        f'<thead><tr><th scope="col">slot, says</th>{head}</tr></thead><tbody>{rows}</tbody>'
        f'<tfoot><tr><th scope="row">sum</th><td colspan="{len(pairs)}">{total}</td></tr></tfoot></table>'
    )


@styled
def _figure(
    image: Tensor, boxes: list[list[float]], scene: dict[str, Any], cost: Tensor, pairs: list[int], rule: str
) -> Figure:
    figure, grid = new_figure(8.4, 3.4, columns=2, image_format="jpeg", width_ratios=(1.7, 1))
    left, right = grid[0]
    height, width = image.shape[1:]
    size = torch.tensor([width, height, width, height])
    objects = torch.tensor(scene["objects"])
    corners = cxcywh_to_xyxy(torch.tensor(boxes)) * size
    draw_picture(left, image)
    draw_boxes(left, cxcywh_to_xyxy(objects) * size, dashed=True, labels=scene["names"])
    colors = [slot_color(slot) for slot in range(len(boxes))]
    draw_boxes(left, corners, colors=colors, width=2.2, labels=[str(slot) for slot in range(len(boxes))])
    for item, slot in enumerate(pairs):
        start, end = boxes[slot][:2], scene["objects"][item][:2]
        left.plot(
            [start[0] * width, end[0] * width],
            [start[1] * height, end[1] * height],
            color=colors[slot],
            linewidth=2.4,
            marker="o",
            markeredgecolor=INK,
        )
    left.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    right.imshow(cost.tolist(), cmap="Greys", vmax=float(cost.max()) * 2, aspect="auto")
    for slot in range(len(boxes)):
        for item in range(len(pairs)):
            chosen = pairs[item] == slot
            text = f"[{cost[slot, item]:.2f}]" if chosen else f"{cost[slot, item]:.2f}"
            right.text(item, slot, text, ha="center", va="center", fontweight="bold" if chosen else "normal")
    right.set_xticks(range(len(pairs)), scene["names"])
    right.set_yticks(range(len(boxes)), [f"slot {slot}" for slot in range(len(boxes))])
    right.set_title(f"{rule}: {_number(cost[pairs, torch.arange(len(pairs))].sum())}")
    right.tick_params(length=0)
    return figure
