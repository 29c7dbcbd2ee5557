"""Where a detector looks: record every deformable attention of a model, ours or another, and draw it::

    with record_sampling(model) as attentions:
        model(pixels)
    draw_sampling(image, attentions[-1], query=7)

Used in notebooks/20_sampling_points_on_images.ipynb.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import wraps
from types import FunctionType
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from detr_tutorial._validation import require_int, require_size, require_tensor
from detr_tutorial.deformable_attention import MSDeformAttn
from detr_tutorial.plots._style import (
    REFERENCE_COLOR,
    draw_picture,
    draw_points,
    draw_reference_point,
    head_handles,
    level_handles,
    new_figure,
    reference_handle,
    styled,
)

Kind = Literal["encoder", "decoder", "attention"]
Call = Mapping[str, Any]  # the arguments of one call, by name

_STACK = re.compile(r"(?:^|\.)(encoder|decoder)\.(?:(?!(?:encoder|decoder)\.)\w+\.)*?(\d+)(?:\.|$)")
_POINTS, _WEIGHTS = "sampling_locations", "attention_weights"
_SUPPORTED = (
    "supported are detr_tutorial's DeformableDETR and MSDeformAttn, and modules with layers sampling_offsets "
    "and attention_weights that hand sampling_locations and attention_weights to a PyTorch function or "
    "submodule (transformers: Deformable DETR, RT-DETR, RT-DETRv2, D-FINE, Grounding DINO, Mask2Former, ...)"
)


class RecordedAttention(NamedTuple):
    """Where one deformable attention looked in one call, and how much each point counted.

    Fields:
        name: path of the module in the model, "" for the model itself.
        kind: "encoder" or "decoder", the innermost stack that the module stands in; "attention" outside one.
        layer: 0-based in its stack; outside one, a count of the model's attentions.
        locations: (B, Q, M, L, K, 2) as (x, y), 0 and 1 at the edges of the padded batch; points may lie
            outside. Where a level has fewer than K points (D-FINE), the rest is NaN and has weight 0.
        weights: (B, Q, M, L, K), after the softmax: summing to 1 over (L, K) for every query and head.
        references: (B, Q, L, 2) as (x, y) or (B, Q, L, 4) as (cx, cy, w, h): what the points lie around.
        spatial_shapes: (height, width) of each of the L levels, in cells.
    Taught in notebooks/20_sampling_points_on_images.ipynb.
    """

    name: str
    kind: Kind
    layer: int
    locations: Float[Tensor, "B Q M L K 2"]
    weights: Float[Tensor, "B Q M L K"]
    references: Float[Tensor, "B Q L refs"]
    spatial_shapes: tuple[tuple[int, int], ...]


@contextmanager
def record_sampling(model: nn.Module) -> Iterator[list[RecordedAttention]]:
    """Collect where every deformable attention of a model looks, while the model runs as always.

    Each call of an attention appends one record, in order; further forward calls append theirs. Records are
    detached copies. The model's results do not change, and nothing is left on it afterwards, also after an
    exception. Custom CUDA operators that are called directly are not seen into.

    Args:
        model: any model with deformable attention; its class need not be known. See the error for which.
    Yields:
        A list, empty at first, of `RecordedAttention`.
    Raises:
        TypeError: if `model` is not an nn.Module.
        ValueError: if it is compiled, holds no deformable attention, or one that cannot be looked into.
    Source: ours; taught in notebooks/20_sampling_points_on_images.ipynb.
    """
    given: Any = model
    if not isinstance(given, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(given).__name__}")
    if any(_is_compiled(module) for module in model.modules()):
        raise ValueError(
            "model is compiled, which hides its attentions: pass it as it is without torch.compile"
        )
    found = {name: module for name, module in model.named_modules() if _is_attention(module)}
    if not found:
        raise ValueError(f"{type(model).__name__} has no deformable attention; {_SUPPORTED}")
    records: list[RecordedAttention] = []
    with ExitStack() as stack:
        outside = 0
        for name, module in found.items():
            place = _STACK.findall(name)
            kind, layer = place[-1] if place else ("attention", outside)
            outside += not place
            _watch(module, _Watch(name, kind, int(layer), records), stack)
        yield records


class _Watch:
    """What is known of the call that an attention is in."""

    def __init__(self, name: str, kind: Any, layer: int, records: list[RecordedAttention]) -> None:
        self.name, self.kind, self.layer, self.records = name, kind, layer, records
        self.references: Tensor | None = None  # None: the attention is not running

    def enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.references = _arguments(module.forward, args, kwargs)["reference_points"]

    def leave(self, *_: Any) -> None:
        self.references = None

    def core(self, call: Call) -> None:
        """Take down what the function that reads the points is called with."""
        if self.references is None:  # another model of the same class is running
            return
        shapes, locations, weights = _spatial_shapes(call), call[_POINTS], call[_WEIGHTS]
        if locations.dim() == 5:  # B Q M (L K) 2, perhaps with a K for each level
            counts = call.get("num_points_list") or [locations.shape[3] // len(shapes)] * len(shapes)
            locations = _by_level(locations, counts, float("nan"))
            weights = _by_level(weights, counts, 0.0)
        self.add(locations, weights, shapes)

    def add(self, locations: Tensor, weights: Tensor, shapes: tuple[tuple[int, int], ...]) -> None:
        assert self.references is not None
        references = self.references.detach().expand(-1, -1, len(shapes), -1)  # some share one for all levels
        points, parts, around = (tensor.detach().clone() for tensor in (locations, weights, references))
        self.records.append(
            RecordedAttention(self.name, self.kind, self.layer, points, parts, around, shapes)
        )


# How to look into an attention ----------------------------------------------------------------------------


def _is_attention(module: nn.Module) -> bool:
    return all(isinstance(getattr(module, name, None), nn.Module) for name in ("sampling_offsets", _WEIGHTS))


def _is_compiled(module: nn.Module) -> bool:
    return hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None


def _watch(module: nn.Module, watch: _Watch, stack: ExitStack) -> None:
    """Hook an attention, and the function or submodule in it that is handed the points and their weights."""

    def hook(register: Callable[..., Any], function: Callable[..., Any], **options: Any) -> None:
        stack.callback(register(function, **options).remove)

    hook(module.register_forward_pre_hook, watch.enter, with_kwargs=True)
    if isinstance(module, MSDeformAttn):  # it returns its record

        def own(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            shapes = _spatial_shapes(_arguments(module.forward, args, kwargs))
            watch.add(output[1].locations, output[1].weights, shapes)

        hook(module.register_forward_hook, own, with_kwargs=True)
    else:
        _watch_core(module, watch, stack, hook)
    hook(module.register_forward_hook, watch.leave, always_call=True)


def _watch_core(module: nn.Module, watch: _Watch, stack: ExitStack, hook: Callable[..., Any]) -> None:
    for child in module.children():
        if _takes_points(child.forward):

            def before(core: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
                watch.core(_arguments(core.forward, args, kwargs))

            hook(child.register_forward_pre_hook, before, with_kwargs=True)
            return

    def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def reading(*args: Any, **kwargs: Any) -> Any:
            watch.core(_arguments(function, args, kwargs))
            return function(*args, **kwargs)

        return reading

    forward = inspect.unwrap(type(module).forward)
    for owner in (module, sys.modules[forward.__module__]):
        for name in forward.__code__.co_names:
            function = vars(owner).get(name)
            if isinstance(function, FunctionType) and _takes_points(function):
                stack.callback(setattr, owner, name, function)
                setattr(owner, name, wrapped(function))
                return
    raise ValueError(f"cannot see what {type(module).__name__} does with its points; {_SUPPORTED}")


def _takes_points(function: Callable[..., Any]) -> bool:
    parameters = inspect.signature(function).parameters
    return _POINTS in parameters and _WEIGHTS in parameters


def _arguments(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
    return inspect.signature(function).bind(*args, **kwargs).arguments


def _spatial_shapes(call: Call) -> tuple[tuple[int, int], ...]:
    """The sizes of the levels, from whichever argument holds them: a list where there is one, or a tensor."""
    names = sorted((name for name in call if "spatial_shapes" in name), key=lambda name: "list" not in name)
    return tuple((int(height), int(width)) for height, width in call[names[0]])


def _by_level(flat: Tensor, counts: list[int], missing: float) -> Tensor:
    """From B Q M (L K) to B Q M L K; a level with fewer points than another is filled up."""
    levels = []
    for level, count in zip(flat.split(counts, dim=3), counts, strict=True):
        rest = level.new_full((*level.shape[:3], max(counts) - count, *level.shape[4:]), missing)
        levels.append(torch.cat([level, rest], dim=3))
    return torch.stack(levels, dim=3)


# How to see it --------------------------------------------------------------------------------------------


@styled
def draw_sampling(
    image: Float[Tensor, "3 _ _"],
    attention: RecordedAttention,
    query: int,
    head: int | None = None,
    level: int | None = None,
    *,
    image_index: int = 0,
    padded_size: tuple[int, int] | None = None,
) -> Figure:
    """Draw the sampling points of one query over the picture: level by color, head by marker, weight by area.

    The green cross is the query's reference point, and a dashed green box its reference box if it has one.

    Args:
        image: (3, H, W) in [0, 1], as it was before it was normalized.
        attention: what `record_sampling` collected of one attention.
        query: which of its Q queries; a token's index in an encoder, finest level first, row by row.
        head: draw only this head's points; None draws all.
        level: draw only this level's points; None draws all.
        image_index: which image of the batch it is.
        padded_size: (height, width) in pixels of the batch that the model saw, if it was larger than the
            image; the image lies in its upper left corner.
    Returns:
        The figure.
    Raises:
        TypeError, ValueError: if an argument is not what is described above, or an index is out of range.
    Source: ours; taught in notebooks/20_sampling_points_on_images.ipynb.
    """
    require_tensor("image", image, "3 H W")
    batch, queries, heads, levels, points = attention.weights.shape
    _require_index("image_index", image_index, batch)
    _require_index("query", query, queries)
    for name, index, count in (("head", head, heads), ("level", level, levels)):
        if index is not None:
            _require_index(name, index, count)
    size = (image.shape[1], image.shape[2])
    height, width = size if padded_size is None else require_size("padded_size", padded_size)
    if height < size[0] or width < size[1]:
        raise ValueError(f"padded_size {(height, width)} is smaller than the image, {size}")
    scale = torch.tensor([width, height])
    locations = attention.locations[image_index, query].float().cpu() * scale - 0.5
    weights = attention.weights[image_index, query].float().cpu().clamp_min(1e-6)
    reference = attention.references[image_index, query, level or 0].float().cpu()
    shown = [(m, each) for m in range(heads) for each in range(levels)]
    shown = [(m, each) for m, each in shown if head in (None, m) and level in (None, each)]

    figure, axes = new_figure(5.4, 5.4 * height / width + 0.9, image_format="jpeg")
    picture = axes[0, 0]
    draw_picture(picture, image)
    for m, each in shown:
        real = weights[m, each][locations[m, each, :, 0].isfinite()]
        draw_points(
            picture,
            locations[m, each, : len(real)],
            level=each,
            head=m,
            weights=real,
            area=float(real.mean()) * levels * points * 20,  # 20 is the area of the average weight
            clip_on=True,
        )
    x, y = (reference[:2] * scale - 0.5).tolist()
    draw_reference_point(picture, x, y)
    if len(reference) == 4:
        w, h = (reference[2:] * scale).tolist()
        box = Rectangle((x - w / 2, y - h / 2), w, h, fill=False, linestyle="--", linewidth=1.6, zorder=4)
        box.set_edgecolor(REFERENCE_COLOR)
        picture.add_patch(box)
    picture.set(
        xlim=(-0.5 - width * 0.05, width * 1.05 - 0.5), ylim=(height * 1.05 - 0.5, -0.5 - height * 0.05)
    )
    picture.set_title(f"{attention.kind}, layer {attention.layer}, query {query}")
    handles = level_handles(sorted({each for _, each in shown}))
    handles += [reference_handle("reference"), *head_handles(sorted({m for m, _ in shown}))]
    figure.legend(handles=handles, loc="outside lower center", ncols=5)
    return figure


def _require_index(name: str, value: Any, count: int) -> None:
    if require_int(name, value, minimum=0) >= count:
        raise ValueError(f"{name} must be below {count}, got {value}")
