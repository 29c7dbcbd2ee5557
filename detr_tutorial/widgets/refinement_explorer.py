"""Boxes and sampling points that move from layer to layer of a trained detector.

Taught in notebooks/15_box_refinement.ipynb.
"""

from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np
import torch
import traitlets
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from detr_tutorial._validation import require_list, require_number, require_tensor
from detr_tutorial.boxes import cxcywh_to_xyxy, pairwise_iou
from detr_tutorial.decoder import DecoderOutput
from detr_tutorial.deformable_detr import DeformableDETR
from detr_tutorial.padding import normalize_image, pad_images
from detr_tutorial.plots._style import INK, draw_picture, draw_points, level_handles, new_figure, styled
from detr_tutorial.widgets._book_widget import BookWidget
from detr_tutorial.widgets._packing import pack
from detr_tutorial.widgets._scene import photo_uri

SIDE = 400  # of the picture and of its enlarged part, as in js/src/refinement/index.js
STARTS = ("proposed", "pushed aside")
MOST_QUERIES = 8
SURE = 0.3  # queries with a score above it are shown
SMALLEST_WINDOW = 0.22  # of the picture's longer side
COORDINATE_UNITS = 10000  # locations travel in ten-thousandths of the picture
WEIGHT_UNITS = 255
KEY = (
    "Yellow: the box that a query stands on; thin lines: where it stood before; white: the object. "
    "Points: where the next layer will look, color by level, shape by head, area by attention weight."
)
ASLEEP = "The layers can be changed by hand where scripts are on. "


class _Run(NamedTuple):
    boxes: Float[Tensor, "steps Q 4"]  # the start, and after every layer
    scores: Float[Tensor, "layers Q classes"]
    locations: Float[Tensor, "layers Q M L K 2"]
    weights: Float[Tensor, "layers Q M L K"]


class RefinementExplorer(BookWidget, bundle="refinement_explorer"):
    """Go through the decoder layers of a two-stage detector, and see boxes and sampling points move.

    Everything is computed once, in Python: from the proposals, and from proposals that were pushed aside.

    Args:
        model: a trained two-stage model.
        image: (3, H, W) in [0, 1], in the size that the model sees.
        objects: (n, 4) what there is, as (cx, cy, w, h) in [0, 1]; at least one.
        names: of the model's classes.
        push: how far the pushed start lies off, as a part of each box.
        seed: of the push.
    Attributes:
        layer: 0 shows the start, l the boxes after layer l.
        query: which of the queries is enlarged, 0 is the surest.
        start: "proposed" or "pushed aside".
    Raises:
        TypeError, ValueError: if an argument is not what is described above, or the model finds nothing.
    Source: ours; taught in notebooks/15_box_refinement.ipynb.
    """

    layer = traitlets.Int(0, help="0 is the start, l the boxes after layer l.").tag(sync=True)
    query = traitlets.Int(0, help="Which query is enlarged.").tag(sync=True)
    start = traitlets.Unicode("proposed", help="proposed or pushed aside.").tag(sync=True)
    scene = traitlets.Dict(help="The part of the picture that never changes.").tag(sync=True)

    def __init__(
        self,
        model: DeformableDETR,
        image: Float[Tensor, "3 _ _"],
        objects: Float[Tensor, "_ 4"],
        names: Sequence[str],
        push: int | float = 0.1,
        seed: int = 0,
    ) -> None:
        given: Any = model
        if not isinstance(given, DeformableDETR) or not model.config.two_stage:
            raise TypeError("model must be a DeformableDETR with two_stage=True")
        require_tensor("image", image, "3 H W")
        if not bool(((image >= 0) & (image <= 1)).all()):
            raise ValueError("image must lie in [0, 1], got values outside it (or NaN)")
        require_tensor("objects", objects, "n 4")
        words = require_list("names", names, "strings", minimum=model.config.num_classes)
        runs = _run(model, image, require_number("push", push), seed)
        shown = _surest(runs[0])
        if not len(shown):
            raise ValueError(f"the model finds nothing with a score above {SURE} in this image")
        runs = [_Run(*(part[:, shown] for part in run)) for run in runs]
        self._image, self._objects, self._runs = image.detach().cpu(), objects.detach().cpu(), runs
        nearest = _overlaps(runs[0].boxes[-1], objects).argmax(dim=1)
        self._nearest = objects.cpu()[nearest]
        self._windows = _windows(runs, self._nearest, (image.shape[1], image.shape[2]))
        last = runs[0].scores[-1]
        super().__init__(
            scene={
                "photo": photo_uri(image),
                "size": list(image.shape[1:]),
                "objects": _rounded(objects),
                "windows": _rounded(self._windows),
                "names": [words[label] for label in last.argmax(dim=1).tolist()],
                "shape": list(runs[0].weights.shape[2:]),
                "starts": {name: _packed(run, self._nearest) for name, run in zip(STARTS, runs, strict=True)},
                "key": KEY,
            }
        )

    @property
    def num_layers(self) -> int:
        """How many layers there are to go through."""
        return len(self._runs[0].weights)

    @traitlets.validate("layer", "query", "start")
    def _in_range(self, proposal: dict[str, Any]) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        allowed = {
            "layer": range(self.num_layers + 1),
            "query": range(len(self.scene["names"])),
            "start": STARTS,
        }[name]
        if value not in allowed:
            raise traitlets.TraitError(f"{name} must be one of {tuple(allowed)}, got {value!r}")
        return value

    def figure(self) -> Figure:
        """Draw the same picture with matplotlib, for print."""
        return _figure(self)

    def __repr__(self) -> str:
        return f"RefinementExplorer(layer={self.layer}, query={self.query}, start={self.start!r})"

    def _page_state(self) -> dict[str, Any]:
        # the picture travels once, in what is shown without scripts
        scene = {name: part for name, part in self.scene.items() if name != "photo"}
        return {"layer": self.layer, "query": self.query, "start": self.start, "scene": scene}

    def _fallback(self) -> str:
        chips = "".join(f'<span class="dw-chip"><span>{start}</span></span>' for start in STARTS)
        names = "".join(
            f'<span class="dw-chip"><span>{number} {escape(name)}</span></span>'
            for number, name in enumerate(self.scene["names"])
        )
        run = self._runs[STARTS.index(self.start)]
        return (
            '<div class="dw rx"><div class="dw-body"><div class="rx-controls rx-asleep" aria-hidden="true">'
            '<div class="dw-slider"><label>Layer</label><span class="dw-slider-value"></span>'
            '<input type="range" disabled></div>'
            f'<fieldset class="dw-chips"><legend>Start</legend>{chips}</fieldset></div>'
            f'<div class="rx-main">{_svg(self.scene, run.boxes[self.layer].tolist())}'
            '<div class="rx-zoom-room"></div></div>'
            '<fieldset class="dw-chips rx-asleep" aria-hidden="true"><legend>Query</legend>'
            f"{names}</fieldset>"
            f'<p class="rx-status">{ASLEEP}</p><p class="dw-muted rx-key">{escape(KEY)}</p></div></div>'
        )


@torch.no_grad()
def _run(model: DeformableDETR, image: Tensor, push: float, seed: int) -> list[_Run]:
    """What the decoder makes of the proposals, and of proposals that were pushed aside."""
    training = model.training
    try:
        model.eval()
        flattened = model.flatten(pad_images([normalize_image(image)]))
        memory, _ = model.encoder(flattened, False)
        first = model.proposal_stage(memory, flattened)
        noise = push * torch.randn(first.references.shape, generator=torch.Generator().manual_seed(seed))
        noise = noise.to(first.references)
        centers = first.references[..., :2] + noise[..., :2] * first.references[..., 2:]
        aside = torch.cat([centers, first.references[..., 2:] * noise[..., 2:].exp()], -1).clamp(0.001, 0.999)
        outputs = [
            model.decoder(first.queries, first.query_positions, references, memory, flattened, True)
            for references in (first.references, aside)
        ]
    finally:
        model.train(training)
    return [_of_first_image(output) for output in outputs]


def _of_first_image(output: DecoderOutput) -> _Run:
    boxes = [output.references[0][0], *(layer.boxes[0] for layer in output.layers)]
    return _Run(
        torch.stack(boxes).cpu(),
        torch.stack([layer.logits[0].sigmoid() for layer in output.layers]).cpu(),
        torch.stack([record.locations[0] for record in output.records]).cpu(),
        torch.stack([record.weights[0] for record in output.records]).cpu(),
    )


def _surest(run: _Run) -> Tensor:
    scores = run.scores[-1].amax(dim=1)
    order = scores.argsort(descending=True)[:MOST_QUERIES]
    return order[scores[order] > SURE]


def _overlaps(boxes: Tensor, others: Tensor) -> Tensor:
    return pairwise_iou(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(others.to(boxes)))


def _windows(runs: list[_Run], nearest: Tensor, size: tuple[int, int]) -> Tensor:
    """The square part of the picture around each query, (x, y, side) in parts of the longer side."""
    scale = torch.tensor([size[1], size[0]]) / max(size)
    boxes = torch.cat([nearest[None], *(run.boxes for run in runs)]) * torch.cat([scale, scale])
    corners = cxcywh_to_xyxy(boxes)
    low, high = corners[..., :2].amin(dim=0), corners[..., 2:].amax(dim=0)
    side = (1.25 * (high - low).amax(dim=1)).clamp(SMALLEST_WINDOW)
    return torch.cat([(low + high) / 2 - side[:, None] / 2, side[:, None]], dim=1)


def _packed(run: _Run, nearest: Tensor) -> dict[str, Any]:
    overlap = [_overlaps(boxes, nearest).diagonal() for boxes in run.boxes]
    # far outside of the picture nothing is read: points there may as well be nearer
    locations = (run.locations.clamp(-2, 3) * COORDINATE_UNITS).round().numpy()
    weights = (run.weights.clamp(0, 1) * WEIGHT_UNITS).round().numpy()
    return {
        "boxes": [_rounded(boxes) for boxes in run.boxes],
        "overlaps": _rounded(torch.stack(overlap)),
        "scores": _rounded(run.scores.amax(dim=2)),
        "locations": pack(locations.astype(np.int16), "int16"),
        "weights": pack(weights, "uint8"),
    }


def _rounded(numbers: Tensor) -> list[list[float]]:
    return [[round(float(number), 4) for number in row] for row in numbers]


def _svg(scene: dict[str, Any], boxes: list[list[float]]) -> str:
    height, width = (side * SIDE / max(scene["size"]) for side in scene["size"])

    def rect(name: str, box: list[float]) -> str:
        cx, cy, w, h = box
        x, y = (cx - w / 2) * width, (cy - h / 2) * height
        sides = f'x="{x:.1f}" y="{y:.1f}" width="{w * width:.1f}" height="{h * height:.1f}"'
        return f'<rect class="{name}" {sides}/>'

    drawn = "".join(rect("rx-rim", box) + rect("rx-object", box) for box in scene["objects"])
    drawn += "".join(rect("rx-box", box) for box in boxes)
    return (
        f'<svg class="rx-photo" role="img" viewBox="0 0 {width:.6g} {height:.6g}" '
        'aria-label="Picture with objects, white, and the boxes of queries, yellow">'
        f'<image href="{scene["photo"]}" width="{width:.6g}" height="{height:.6g}" '
        f'preserveAspectRatio="none"/>{drawn}</svg>'
    )


@styled
def _figure(explorer: RefinementExplorer) -> Figure:
    run = explorer._runs[STARTS.index(explorer.start)]
    height, width = explorer._image.shape[1:]
    figure, grid = new_figure(7.2, 4.1, columns=2, image_format="jpeg")
    photo, enlarged = grid[0]

    def draw(axes: Any, box: Tensor, **style: Any) -> None:
        cx, cy, w, h = box.tolist()
        corner = ((cx - w / 2) * width - 0.5, (cy - h / 2) * height - 0.5)
        axes.add_patch(Rectangle(corner, w * width, h * height, fill=False, **style))

    for axes in (photo, enlarged):
        draw_picture(axes, explorer._image)
        for target in explorer._objects:
            draw(axes, target, edgecolor="white", linewidth=1.2)
    for box in run.boxes[explorer.layer]:
        draw(photo, box, edgecolor="#FFD000", linewidth=1.8)
    for before in run.boxes[: explorer.layer, explorer.query]:
        draw(enlarged, before, edgecolor=INK, linewidth=0.9, linestyle=":")
    draw(enlarged, run.boxes[explorer.layer, explorer.query], edgecolor="#FFD000", linewidth=2.4)
    if explorer.layer < explorer.num_layers:
        locations = run.locations[explorer.layer, explorer.query] * torch.tensor([width, height]) - 0.5
        weights = run.weights[explorer.layer, explorer.query]
        for head, level in np.ndindex(*weights.shape[:2]):
            area = (weights[head, level] * 400 + 4).tolist()
            for point, size in zip(locations[head, level], area, strict=True):
                draw_points(enlarged, point[None], level=level, head=head, area=size, clip_on=True)
    x, y, side = (float(number) * max(height, width) for number in explorer._windows[explorer.query])
    enlarged.set(xlim=(x - 0.5, x + side - 0.5), ylim=(y + side - 0.5, y - 0.5))
    name = explorer.scene["names"][explorer.query]
    photo.set_title("start" if explorer.layer == 0 else f"after layer {explorer.layer}", loc="center")
    enlarged.set_title(f"query {explorer.query}: {name}", loc="center")
    figure.legend(handles=level_handles(), loc="outside lower center", ncols=4)
    return figure
