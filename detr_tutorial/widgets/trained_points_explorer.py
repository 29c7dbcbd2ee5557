"""Where every attention of a trained detector looks: encoder and decoder, layer by layer, head by head.

Taught in notebooks/20_sampling_points_on_images.ipynb.
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

from detr_tutorial._validation import require_list
from detr_tutorial.boxes import cxcywh_to_xyxy
from detr_tutorial.deformable_detr import DeformableDETR
from detr_tutorial.detections import Detections, all_layers
from detr_tutorial.inference import _fitted_size, _require_image, _resize
from detr_tutorial.padding import normalize_image, pad_images
from detr_tutorial.plots._style import (
    INK,
    REFERENCE_COLOR,
    draw_picture,
    draw_points,
    draw_reference_point,
    level_handles,
    new_figure,
    styled,
)
from detr_tutorial.plots.recording import RecordedAttention, record_sampling
from detr_tutorial.widgets._book_widget import BookWidget
from detr_tutorial.widgets._packing import pack
from detr_tutorial.widgets._scene import ALL, photo_uri

SIDE, RIM = 400, 20  # of the picture, as in js/src/trained/panel.js
MOST_DETECTIONS = 8
SURE = 0.3  # queries with a score above it are listed; the surest one always is
SMALLEST_WINDOW = 0.24  # of the picture's longer side
TOKEN_WINDOW = 0.42  # the same, around a token
COORDINATE_UNITS = 10000  # reference points and boxes travel in ten-thousandths of the picture
WEIGHT_UNITS = 255
BOX_COLOR = "#FFD000"
KEY = (
    "Green cross: what the query looks around; dashed: the box it starts from. Yellow: predicted boxes. "
    "Points: color by level, shape by head, area by attention weight, hollow where only zeros are read; "
    "far ones stand at the rim."
)
ASLEEP = "Attention, head, level and query can be changed by hand where scripts are on. "


class _Run(NamedTuple):
    image: Tensor  # 3 H W, as the model saw it before it was normalized
    attentions: list[RecordedAttention]  # those of the decoder hold the listed queries only
    boxes: Float[Tensor, "layers n 4"]  # of the listed queries after every decoder layer
    scores: Float[Tensor, "layers n classes"]


class TrainedPointsExplorer(BookWidget, bundle="trained_points_explorer"):
    """See where every query of every attention of a trained detector looks, on one picture.

    Queries of the encoder are tokens, chosen on the picture; those of the decoder are the surest detections.
    Everything is computed once, in Python, and travels with the page: 245 KB for 128 x 128 pixels, 370 KB
    for 128 x 213. Where a kernel runs, `explorer.image = picture` shows any picture of your own.

    Args:
        model: a trained model.
        image: (3, H, W) in [0, 1], of any size; resized as `predict` does.
        names: of the model's classes.
    Attributes:
        attention: which one is shown: "encoder 0", ..., "decoder 0", ...; the last one at the start.
        head: only this head's points, -1 for all.
        level: only this level's points, -1 for all.
        token: the encoder's query, an index into its tokens, finest level first, row by row.
        detection: the decoder's query, an index into the detections listed, 0 is the surest.
        image: set it to another picture, and everything is computed anew.
    Raises:
        TypeError, ValueError: if an argument is not what is described above.
    Source: ours; taught in notebooks/20_sampling_points_on_images.ipynb.
    """

    attention = traitlets.Unicode(help='"encoder 0", ..., "decoder 0", ...').tag(sync=True)
    head = traitlets.Int(ALL, help="Which head is drawn, -1 for all.").tag(sync=True)
    level = traitlets.Int(ALL, help="Which level is drawn, -1 for all.").tag(sync=True)
    token = traitlets.Int(0, help="The encoder's query.").tag(sync=True)
    detection = traitlets.Int(0, help="The decoder's query.").tag(sync=True)
    scene = traitlets.Dict(help="The picture and all records.").tag(sync=True)

    def __init__(self, model: DeformableDETR, image: Float[Tensor, "3 _ _"], names: Sequence[str]) -> None:
        given: Any = model
        if not isinstance(given, DeformableDETR):
            raise TypeError(f"model must be a DeformableDETR, got {type(given).__name__}")
        self._model = model
        self._names = require_list("names", names, "strings", minimum=model.config.num_classes)
        self._run = _run(model, image)
        super().__init__(
            attention=_name(self._run.attentions[-1]),
            token=_middle(self._run),
            scene=_scene(self._run, self._names),
        )

    @property
    def image(self) -> Tensor:
        """The picture as the model sees it, (3, H, W) in [0, 1]; set it to any other."""
        return self._run.image

    @image.setter
    def image(self, image: Float[Tensor, "3 _ _"]) -> None:
        self._run = _run(self._model, image)
        with self.hold_sync():
            self.scene = _scene(self._run, self._names)
            self.token, self.detection = _middle(self._run), 0

    @property
    def attentions(self) -> list[str]:
        """What `attention` may be."""
        return [_name(attention) for attention in self._run.attentions]

    @traitlets.validate("attention", "head", "level", "token", "detection")
    def _in_range(self, proposal: dict[str, Any]) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        first = self._run.attentions[0].weights
        allowed = {
            "attention": self.attentions,
            "head": range(ALL, first.shape[2]),
            "level": range(ALL, first.shape[3]),
            "token": range(first.shape[1]),
            "detection": range(self._run.boxes.shape[1]),
        }[name]
        if value not in allowed:
            choice = (
                f"in {allowed[0]} to {allowed[-1]}" if isinstance(allowed, range) else f"one of {allowed}"
            )
            raise traitlets.TraitError(f"{name} must be {choice}, got {value!r}")
        return value

    def figure(self) -> Figure:
        """Draw the same picture with matplotlib, for print."""
        return _figure(self)

    def __repr__(self) -> str:
        name = "token" if self.attention.startswith("encoder") else "detection"
        shown = f"attention={self.attention!r}, head={self.head}, level={self.level}"
        return f"TrainedPointsExplorer({shown}, {name}={getattr(self, name)})"

    def _page_state(self) -> dict[str, Any]:
        names = ("attention", "head", "level", "token", "detection")
        # the picture travels once, in what is shown without scripts
        scene = {name: part for name, part in self.scene.items() if name != "photo"}
        return {**{name: getattr(self, name) for name in names}, "scene": scene}

    def _fallback(self) -> str:
        heads, levels = self.scene["numHeads"], self.scene["numLevels"]
        queries = [f"{number} {name}" for number, name in enumerate(self.scene["detections"])]
        glyph, swatch = '<svg class="dw-glyph"></svg>', '<span class="dw-swatch"></span>'
        return (
            '<div class="dw tpx"><div class="dw-body">'
            f"{_chips('Attention', self.attentions)}"
            '<div class="tpx-choices">'
            f"{_chips('Head', ['all', *range(heads)], glyph)}"
            f"{_chips('Level', ['all', *range(levels)], swatch)}"
            '</div><div class="tpx-queries">'
            f"{_chips('Query', queries)}{_chips('Query: a token of level', range(levels), swatch)}"
            f'</div><div class="tpx-main">{_svg(self)}<div class="tpx-zoom-room"></div></div>'
            f'<p class="tpx-status">{ASLEEP}</p><p class="dw-muted tpx-key">{escape(KEY)}</p></div></div>'
        )


def _name(attention: RecordedAttention) -> str:
    return f"{attention.kind} {attention.layer}"


def _middle(run: _Run) -> int:
    """The token in the middle of the finest level."""
    height, width = run.attentions[0].spatial_shapes[0]
    return height // 2 * width + width // 2


@torch.no_grad()
def _run(model: DeformableDETR, image: Tensor) -> _Run:
    """What the model sees in one picture, and where all its attentions look."""
    _require_image("image", image)
    like = next(model.parameters())
    size = _fitted_size((image.shape[1], image.shape[2]), model.config.short_side, model.config.max_side)
    seen = _resize(image.detach().to(like), size).clamp(0, 1)
    training = model.training
    try:
        with record_sampling(model.eval()) as attentions:
            found: Detections = model(pad_images([normalize_image(seen)]))
    finally:
        model.train(training)
    layers = all_layers(found)
    scores = torch.stack([layer.logits[0].sigmoid() for layer in layers]).cpu()
    best = scores[-1].amax(dim=1)
    listed = best.argsort(descending=True)[:MOST_DETECTIONS]
    listed = listed[: max(1, int((best[listed] > SURE).sum()))]
    boxes = torch.stack([layer.boxes[0] for layer in layers]).cpu()
    attentions = [_of_queries(each, listed if each.kind == "decoder" else None) for each in attentions]
    return _Run(seen.cpu(), attentions, boxes[:, listed], scores[:, listed])


def _of_queries(attention: RecordedAttention, listed: Tensor | None) -> RecordedAttention:
    def take(tensor: Tensor) -> Tensor:
        return tensor.cpu() if listed is None else tensor.cpu()[:, listed]

    locations, weights, references = map(take, (attention.locations, attention.weights, attention.references))
    return attention._replace(locations=locations, weights=weights, references=references)


def _scene(run: _Run, names: list[str]) -> dict[str, Any]:
    """All that the front-end draws; JSON types only."""
    first = run.attentions[0]
    heads, levels, points = first.weights.shape[2:]
    last = [names[label] for label in run.scores[-1].argmax(dim=1).tolist()]
    return {
        "photo": photo_uri(run.image),
        "size": list(run.image.shape[1:]),
        "spatialShapes": [list(shape) for shape in first.spatial_shapes],
        "numHeads": heads,
        "numLevels": levels,
        "numPoints": points,
        "detections": last,
        "windows": _rounded(_windows(run)),
        "attentions": [_packed(attention) | _answer(run, attention, names) for attention in run.attentions],
        "key": KEY,
    }


def _answer(run: _Run, attention: RecordedAttention, names: list[str]) -> dict[str, Any]:
    """What the listed queries answer after a decoder layer."""
    if attention.kind == "encoder":
        return {}
    scores, labels = run.scores[attention.layer].max(dim=1)
    return {
        "boxes": _rounded(run.boxes[attention.layer]),
        "scores": [round(score, 4) for score in scores.tolist()],
        "labels": [names[label] for label in labels.tolist()],
    }


def _packed(attention: RecordedAttention) -> dict[str, Any]:
    """One record, a byte a number: points relative to the reference, each of the M L K with its own range."""
    references = attention.references[0, :, 0].numpy().astype(np.float64)  # Q 2 or 4, alike on all levels
    around = np.rint(references * COORDINATE_UNITS)
    points = attention.locations[0].numpy().astype(np.float64)  # Q M L K 2
    # far outside of the picture nothing is read: points there may as well be nearer
    points = points.clip(-2, 3).reshape(len(points), -1, 2) - around[:, None, :2] / COORDINATE_UNITS
    points = points.reshape(len(points), -1)
    low = points.min(axis=0).astype(np.float32)
    step = (np.ptp(points, axis=0) / 255).astype(np.float32)
    codes = np.rint((points - low) / np.where(step > 0, step, 1)).clip(0, 255)
    weights = np.rint(attention.weights[0].numpy() * WEIGHT_UNITS)
    return {
        "name": _name(attention),
        "referenceSize": references.shape[1],
        "references": pack(around, "int16"),
        "points": pack(codes, "uint8"),
        "low": pack(low, "float32"),
        "step": pack(step, "float32"),
        "weights": pack(weights, "uint8"),
    }


def _windows(run: _Run) -> Tensor:
    """The square part of the picture around each detection, (x, y, side) in parts of the longer side."""
    height, width = run.image.shape[1:]
    scale = torch.tensor([width, height, width, height]) / max(height, width)
    starts = [each.references[0, :, 0] for each in run.attentions if each.kind == "decoder"]
    boxes = torch.stack([*(start for start in starts if start.shape[1] == 4), *run.boxes]) * scale
    corners = cxcywh_to_xyxy(boxes)
    low, high = corners[..., :2].amin(dim=0), corners[..., 2:].amax(dim=0)
    side = (1.8 * (high - low).amax(dim=1)).clamp(SMALLEST_WINDOW, 1.2)
    return torch.cat([(low + high) / 2 - side[:, None] / 2, side[:, None]], dim=1)


def _rounded(numbers: Tensor) -> list[list[float]]:
    return [[round(float(number), 4) for number in row] for row in numbers]


def _chips(legend: str, texts: Sequence[Any], mark: str = "") -> str:
    """Chips as large as the live ones, and not to be touched."""
    chips = "".join(
        f'<span class="dw-chip">{"" if text == "all" else mark}<span>{escape(str(text))}</span></span>'
        for text in texts
    )
    group = '<fieldset class="dw-chips tpx-asleep" aria-hidden="true">'
    return f"{group}<legend>{escape(legend)}</legend>{chips}</fieldset>"


def _shown(explorer: TrainedPointsExplorer) -> tuple[RecordedAttention, int, list[tuple[int, int]], Tensor]:
    """The attention, the query, the pairs of head and level that are drawn, and all boxes."""
    attention = explorer._run.attentions[explorer.attentions.index(explorer.attention)]
    encoder = attention.kind == "encoder"
    heads, levels = attention.weights.shape[2:4]
    pairs = [
        (head, level)
        for head in range(heads)
        for level in range(levels)
        if explorer.head in (ALL, head) and explorer.level in (ALL, level)
    ]
    query = explorer.token if encoder else explorer.detection
    return attention, query, pairs, explorer._run.boxes[-1 if encoder else attention.layer]


def _svg(explorer: TrainedPointsExplorer) -> str:
    attention, query, pairs, boxes = _shown(explorer)
    height, width = (side * SIDE / max(explorer.image.shape[1:]) for side in explorer.image.shape[1:])
    drawn = ""
    for cx, cy, w, h in boxes.tolist():
        sides = f'x="{(cx - w / 2) * width:.1f}" y="{(cy - h / 2) * height:.1f}" '
        sides += f'width="{w * width:.1f}" height="{h * height:.1f}"'
        drawn += f'<rect class="tpx-rim" {sides}/><rect class="tpx-box" {sides}/>'
    for head, level in pairs:
        color = level_handles([level])[0].get_color()
        points = attention.locations[0, query, head, level] * torch.tensor([width, height])
        for (x, y), weight in zip(
            points.tolist(), attention.weights[0, query, head, level].tolist(), strict=True
        ):
            if -RIM < x < width + RIM and -RIM < y < height + RIM:
                radius = max(900 * weight, 6) ** 0.5 / 1.77
                drawn += f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{color}" stroke="#fff"/>'
    x, y = (attention.references[0, query, 0, :2] * torch.tensor([width, height])).tolist()
    cross = f"M{x - 10:.1f} {y:.1f}h20M{x:.1f} {y - 10:.1f}v20"
    view = f"{-RIM} {-RIM} {width + 2 * RIM:.6g} {height + 2 * RIM:.6g}"
    return (
        f'<svg class="tpx-panel" role="img" viewBox="{view}" '
        'aria-label="Picture with the boxes of detections, and the sampling points of a query by level">'
        f'<image href="{explorer.scene["photo"]}" width="{width:.6g}" height="{height:.6g}" '
        f'preserveAspectRatio="none"/>{drawn}'
        f'<path class="tpx-cross tpx-cross-rim" d="{cross}"/>'
        f'<path class="tpx-cross tpx-cross-core" d="{cross}"/></svg>'
    )


@styled
def _figure(explorer: TrainedPointsExplorer) -> Figure:
    attention, query, pairs, boxes = _shown(explorer)
    height, width = explorer.image.shape[1:]
    scale = torch.tensor([width, height])
    reference = attention.references[0, query, 0]
    figure, grid = new_figure(7.2, 4.1, columns=2, image_format="jpeg")

    def draw(axes: Any, box: Tensor, **style: Any) -> None:
        cx, cy, w, h = box.tolist()
        corner = ((cx - w / 2) * width - 0.5, (cy - h / 2) * height - 0.5)
        axes.add_patch(Rectangle(corner, w * width, h * height, fill=False, **style))

    for axes in grid[0]:
        draw_picture(axes, explorer.image)
        for index, box in enumerate(boxes):
            chosen = attention.kind == "decoder" and index == query
            draw(axes, box, edgecolor=BOX_COLOR, linewidth=2.4 if chosen else 1.0)
        if len(reference) == 4:
            draw(axes, reference, edgecolor=REFERENCE_COLOR, linewidth=1.2, linestyle="--")
        x, y = (reference[:2] * scale - 0.5).tolist()
        draw_reference_point(axes, x, y, size=10)
        for head, level in pairs:
            points = attention.locations[0, query, head, level] * scale - 0.5
            areas = (attention.weights[0, query, head, level] * 300 + 4).tolist()
            for point, area in zip(points, areas, strict=True):
                draw_points(axes, point[None], level=level, head=head, area=area, clip_on=True)
    photo, enlarged = grid[0]
    photo.set(
        xlim=(-0.5 - 0.05 * width, 1.05 * width - 0.5), ylim=(1.05 * height - 0.5, -0.5 - 0.05 * height)
    )
    if attention.kind == "decoder":
        left, top, side = (float(number) * max(height, width) for number in _windows(explorer._run)[query])
    else:
        side = TOKEN_WINDOW * max(height, width)
        left, top = (reference[:2] * scale - side / 2).tolist()
    enlarged.set(xlim=(left - 0.5, left + side - 0.5), ylim=(top + side - 0.5, top - 0.5))
    what = f"token {query}" if attention.kind == "encoder" else f"detection {query}"
    photo.set_title(_name(attention), loc="center", color=INK)
    enlarged.set_title(what, loc="center", color=INK)
    figure.legend(
        handles=level_handles(sorted({level for _, level in pairs})), loc="outside lower center", ncols=4
    )
    return figure
