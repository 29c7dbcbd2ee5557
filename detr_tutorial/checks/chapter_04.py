"""Checks for notebooks/04_position_encoding.ipynb: angles, the sine encoding, and back.

Each check is a slow reference made of loops, random inputs, and the mistakes people make, every one with the
sentence that names it. Only valid cells are compared: nobody reads the positions of the padding.
"""

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from einops import rearrange
from hypothesis import strategies as st
from matplotlib.figure import Figure
from torch import Tensor

from detr_tutorial.checks._check import Check, CheckResult, Inputs, tensors
from detr_tutorial.plots.chapter_04 import your_angles, your_encoding

Angles = tuple[Tensor, Tensor]  # y and x, each (B, H, W)


def _on_valid_cells(function: Callable) -> Callable:
    """The function's answer with 0 in the padding; what has no cells to blank out stays as it is."""

    @wraps(function)
    def blanked(mask: Tensor, *others: Any) -> Any:
        return _blank(function(mask.clone(), *others), mask)

    return blanked


def _blank(answer: Any, mask: Tensor) -> Any:
    if isinstance(answer, tuple | list):
        return tuple(_blank(part, mask) for part in answer)
    if not isinstance(answer, Tensor):
        return answer
    if answer.shape == mask.shape:
        return answer.masked_fill(mask, 0.0)
    fits = answer.ndim == 4 and (answer.shape[0], *answer.shape[2:]) == tuple(mask.shape)
    return answer.masked_fill(mask[:, None], 0.0) if fits else answer


class _MaskedCheck(Check):
    """A check that compares valid cells only."""

    def __call__(self, your_function: Any) -> CheckResult:
        return super().__call__(_on_valid_cells(your_function) if callable(your_function) else your_function)


def _mistakes(*pairs: tuple[str, Callable]) -> tuple[tuple[str, Callable], ...]:
    return tuple((sentence, _on_valid_cells(wrong)) for sentence, wrong in pairs)


@st.composite
def masks(draw: Callable) -> Tensor:
    """One or two images in the top left corner of a map that is large enough for both."""
    sizes = [(draw(st.integers(1, 4)), draw(st.integers(1, 5))) for _ in range(draw(st.integers(1, 2)))]
    height = max(height for height, _ in sizes) + draw(st.integers(0, 2))
    width = max(width for _, width in sizes) + draw(st.integers(0, 2))
    return mask_of(sizes, height, width)


def mask_of(sizes: list[tuple[int, int]], height: int, width: int) -> Tensor:
    """True where a map of `height` x `width` cells is not covered by its image."""
    mask = torch.ones(len(sizes), height, width, dtype=torch.bool)
    for image, (rows, columns) in enumerate(sizes):
        mask[image, :rows, :columns] = False
    return mask


_EXAMPLE = mask_of([(3, 6), (4, 4)], 4, 6)


# ---------------------------------------------------------------- the angles


def angles_by_loops(mask: Tensor) -> Angles:
    """The formula, one cell at a time; 0 in the padding."""
    y, x = torch.zeros(mask.shape), torch.zeros(mask.shape)
    for image, row, column in (~mask).nonzero().tolist():
        rows = sum(not padding for padding in mask[image, :, column].tolist())
        columns = sum(not padding for padding in mask[image, row].tolist())
        y[image, row, column] = (row + 0.5) / rows * 2 * math.pi
        x[image, row, column] = (column + 0.5) / columns * 2 * math.pi
    return y, x


def _counted(
    angle: Callable[[Tensor, Tensor, int], Tensor] = lambda count, last, size: (
        (count - 0.5) / last * 2 * math.pi
    ),
    valid: Callable[[Tensor], Tensor] = lambda mask: ~mask,
) -> Callable[[Tensor], Angles]:
    """Counts 1, 2, 3, ... of cells that are `valid`, turned into angles by count, last count, padded size."""

    def variant(mask: Tensor) -> Angles:
        counts = [valid(mask).float().cumsum(dim=axis) for axis in (1, 2)]
        lasts = [
            count.amax(dim=axis, keepdim=True).clamp(min=1) for axis, count in enumerate(counts, start=1)
        ]
        sizes = mask.shape[1:]
        y, x = (angle(*parts) for parts in zip(counts, lasts, sizes, strict=True))
        return y, x

    return variant


def _swapped(mask: Tensor) -> Angles:
    y, x = angles_by_loops(mask)
    return x, y


ANGLE_MISTAKES = _mistakes(
    (
        "you took the mask the other way round: it is True where a cell is padding",
        _counted(valid=lambda mask: mask),
    ),
    (
        "you divided by the size of the padded map: count valid cells only, and divide by their number",
        _counted(lambda count, last, size: (count - 0.5) / size * 2 * math.pi),
    ),
    (
        "the offset of -0.5 is missing, as in DETR: your positions are the far edges of the cells",
        _counted(lambda count, last, size: count / last * 2 * math.pi),
    ),
    (
        "you counted from 0 without half a cell: your positions are the near edges of the cells",
        _counted(lambda count, last, size: (count - 1) / last * 2 * math.pi),
    ),
    (
        "you put the first and last cell at 0 and 2 pi: positions are centers, so (count - 0.5) / number",
        _counted(lambda count, last, size: (count - 1) / (last - 1).clamp(min=1) * 2 * math.pi),
    ),
    (
        "you subtracted 0.5 after the division: subtract it from the count",
        _counted(lambda count, last, size: (count / last - 0.5) * 2 * math.pi),
    ),
    (
        "the factor 2 pi is missing: your positions run from 0 to 1",
        _counted(lambda count, last, size: (count - 0.5) / last),
    ),
    (
        "your angles end at pi: the whole picture is 2 pi",
        _counted(lambda count, last, size: (count - 0.5) / last * math.pi),
    ),
    (
        "you did not divide by the number of valid cells: your positions are counts",
        _counted(lambda count, last, size: count - 0.5),
    ),
    (
        "you swapped y and x: y counts the rows (axis 1 of the mask) and comes first",
        _swapped,
    ),
)


def _draw_angles(inputs: Inputs, yours: Angles, target: Angles) -> Figure:
    mask = inputs["mask"]
    return your_angles((yours[0][0], yours[1][0]), (target[0][0], target[1][0]), mask[0])


angles_of_cells = _MaskedCheck(
    name="angles_of_cells",
    reference=angles_by_loops,
    inputs=st.fixed_dictionaries({"mask": masks()}),
    mistakes=ANGLE_MISTAKES,
    example={"mask": _EXAMPLE},
    letters="(B, H, W)",
    draw=_draw_angles,
)


# ---------------------------------------------------------------- the sine encoding


def encoding_by_loops(mask: Tensor, num_features: int, temperature: float) -> Tensor:
    """The formula, one number at a time: (B, 2 num_features, H, W); 0 in the padding."""
    batch, height, width = mask.shape
    encoding = torch.zeros(batch, 2 * num_features, height, width)
    y, x = angles_by_loops(mask)
    for image, row, column in (~mask).nonzero().tolist():
        for axis, angles in enumerate((y, x)):
            for pair in range(num_features // 2):
                angle = angles[image, row, column].item() / temperature ** (2 * pair / num_features)
                channel = axis * num_features + 2 * pair
                encoding[image, channel, row, column] = math.sin(angle)
                encoding[image, channel + 1, row, column] = math.cos(angle)
    return encoding


def _encoded(
    angles: Callable[[Tensor], Angles] = angles_by_loops,
    exponent: Callable[[Tensor, int], Tensor] = lambda pair, num_features: 2 * pair / num_features,
    later: Callable[[Tensor, int], Tensor] | None = None,
    waves: tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]] = (torch.sin, torch.cos),
    layout: str = "two half pair B H W -> B (half pair two) H W",
) -> Callable[[Tensor, int, float], Tensor]:
    """The right encoding with one part replaced; `later` is the exponent of the second wave of a pair."""

    def variant(mask: Tensor, num_features: int, temperature: float) -> Tensor:
        pair = torch.arange(num_features // 2)[:, None, None, None]
        parts = []
        for wave, power in zip(waves, (exponent, later or exponent), strict=True):
            of_axes = [wave(angle / temperature ** power(pair, num_features)) for angle in angles(mask)]
            parts.append(torch.stack(of_axes))  # half pair B H W
        return rearrange(torch.stack(parts), layout)

    return variant


ENCODING_MISTAKES = _mistakes(
    (
        "you put x before y: the first half of the channels belongs to y",
        _encoded(angles=_swapped),
    ),
    (
        "you put all sines before all cosines: within a half, sine and cosine take turns",
        _encoded(layout="two half pair B H W -> B (half two pair) H W"),
    ),
    (
        "you put all sines of both axes before all cosines: y comes first, then x",
        _encoded(layout="two half pair B H W -> B (two half pair) H W"),
    ),
    (
        "your y and x take turns: the first half of the channels is y, the second half is x",
        _encoded(layout="two half pair B H W -> B (pair two half) H W"),
    ),
    (
        "your cosine comes before its sine",
        _encoded(waves=(torch.cos, torch.sin)),
    ),
    (
        "you have sines only: each wavelength has a sine and a cosine",
        _encoded(waves=(torch.sin, torch.sin)),
    ),
    (
        "your cosine has another wavelength than its sine: channels 2i and 2i + 1 share the exponent 2i",
        _encoded(later=lambda pair, num_features: (2 * pair + 1) / num_features),
    ),
    (
        "your exponent is i / F, so the wavelengths grow half as fast: it is 2i / F",
        _encoded(exponent=lambda pair, num_features: pair / num_features),
    ),
    (
        "your exponent is 4i / F: you counted channels in steps of two twice, it is 2i / F",
        _encoded(exponent=lambda pair, num_features: 4 * pair / num_features),
    ),
    (
        "you multiplied by the wavelength: divide the angle by it, so that later pairs are slower",
        _encoded(exponent=lambda pair, num_features: -2 * pair / num_features),
    ),
    (
        "your positions ignore the mask: they are counted over valid cells only",
        _encoded(angles=_counted(valid=torch.ones_like)),
    ),
    (
        "the offset of -0.5 is missing, as in DETR",
        _encoded(angles=_counted(lambda count, last, size: count / last * 2 * math.pi)),
    ),
    (
        "the factor 2 pi is missing",
        _encoded(angles=_counted(lambda count, last, size: (count - 0.5) / last)),
    ),
    (
        "your positions are counts: divide by the number of valid cells, and multiply by 2 pi",
        _encoded(angles=_counted(lambda count, last, size: count - 0.5)),
    ),
    (
        "your axes are (B, H, W, C): channels come second",
        _encoded(layout="two half pair B H W -> B H W (half pair two)"),
    ),
)


def _draw_encoding(inputs: Inputs, yours: Tensor, target: Tensor) -> Figure:
    return your_encoding(yours[0], target[0], inputs["mask"][0])


sine_encoding = _MaskedCheck(
    name="sine_encoding",
    reference=encoding_by_loops,
    inputs=st.fixed_dictionaries(
        {
            "mask": masks(),
            "num_features": st.sampled_from([4, 6]),
            "temperature": st.sampled_from([4.0, 20.0]),
        }
    ),
    mistakes=ENCODING_MISTAKES,
    example={"mask": _EXAMPLE, "num_features": 4, "temperature": 4.0},
    letters="(B, C, H, W)",
    draw=_draw_encoding,
)


# ---------------------------------------------------------------- any point, and back


def points_by_loops(points: Tensor, num_features: int, temperature: float) -> Tensor:
    """The formula, one number at a time: (N, 2 num_features)."""
    encoding = torch.zeros(len(points), 2 * num_features)
    for number, (x, y) in enumerate(points.tolist()):
        for half, place in enumerate((y, x)):
            for pair in range(num_features // 2):
                angle = 2 * math.pi * place / temperature ** (2 * pair / num_features)
                channel = half * num_features + 2 * pair
                encoding[number, channel] = math.sin(angle)
                encoding[number, channel + 1] = math.cos(angle)
    return encoding


def _halves_turned(points: Tensor, num_features: int, temperature: float) -> Tensor:
    return points_by_loops(points.flip(-1), num_features, temperature)


def _points_laid_out(layout: str) -> Callable[[Tensor, int, float], Tensor]:
    def variant(points: Tensor, num_features: int, temperature: float) -> Tensor:
        right = points_by_loops(points, num_features, temperature)
        return rearrange(right, f"N (half pair two) -> {layout}", half=2, two=2)

    return variant


def _points_scaled(scale: float) -> Callable[[Tensor, int, float], Tensor]:
    def variant(points: Tensor, num_features: int, temperature: float) -> Tensor:
        return points_by_loops(points * scale, num_features, temperature)

    return variant


def _points_with_exponent(factor: int) -> Callable[[Tensor, int, float], Tensor]:
    def variant(points: Tensor, num_features: int, temperature: float) -> Tensor:
        return points_by_loops(points, num_features, temperature**factor)

    return variant


POINT_MISTAKES = (
    ("you put x before y: points are (x, y), but the first half of the channels is y", _halves_turned),
    (
        "you put all sines before all cosines: within a half, sine and cosine take turns",
        _points_laid_out("N (half two pair)"),
    ),
    (
        "your cosine comes before its sine",
        lambda *inputs: _points_laid_out("N half pair two")(*inputs).flip(-1).flatten(1),
    ),
    (
        "your y and x take turns: first all channels of y, then those of x",
        _points_laid_out("N (pair two half)"),
    ),
    ("the factor 2 pi is missing: a point at 1 is a whole turn", _points_scaled(1 / (2 * math.pi))),
    ("your point at 1 is half a turn: the whole picture is 2 pi", _points_scaled(0.5)),
    ("you multiplied by the wavelength: divide the angle by it", _points_with_exponent(-1)),
    ("your exponent is 4i / F: it is 2i / F", _points_with_exponent(2)),
)

point_encoding = Check(
    name="point_encoding",
    reference=points_by_loops,
    inputs=st.fixed_dictionaries(
        {
            "points": st.integers(1, 3).flatmap(
                lambda number: tensors(number, 2, low=0.0, high=1.0, denominator=8, simplest=0.5)
            ),
            "num_features": st.sampled_from([4, 6]),
            "temperature": st.sampled_from([4.0, 20.0]),
        }
    ),
    mistakes=POINT_MISTAKES,
    example={"points": torch.tensor([[0.75, 0.375], [0.25, 0.5]]), "num_features": 6, "temperature": 4.0},
    letters="(N, 2F)",
)


def places_by_search(encoding: Tensor, num_features: int) -> Tensor:
    """The point (x, y) whose fastest hands are the given ones, by trying many: (N, 2)."""
    candidates = torch.arange(1024) / 1024
    hands = torch.stack([(2 * math.pi * candidates).sin(), (2 * math.pi * candidates).cos()])
    y, x = (candidates[(encoding[:, first : first + 2] @ hands).argmax(dim=1)] for first in (0, num_features))
    return torch.stack([x, y], dim=-1)


def _places(
    turns: Callable[[Tensor, Tensor], Tensor], order: tuple[int, int] = (1, 0)
) -> Callable[[Tensor, int], Tensor]:
    """The answer with `turns(sine, cosine)`; `order` is which half x and y are read from."""

    def variant(encoding: Tensor, num_features: int) -> Tensor:
        halves = (encoding[:, half * num_features : half * num_features + 2].unbind(-1) for half in order)
        return torch.stack([turns(sine, cosine) for sine, cosine in halves], dim=-1)

    return variant


def _turns(sine: Tensor, cosine: Tensor) -> Tensor:
    return torch.atan2(sine, cosine) / (2 * math.pi) % 1


PLACE_MISTAKES = (
    (
        "your points are (y, x): the first half of the channels is y, but points are (x, y)",
        _places(_turns, (0, 1)),
    ),
    (
        "your angles are between -pi and pi: add a whole turn to negative ones",
        _places(lambda sine, cosine: torch.atan2(sine, cosine) / (2 * math.pi)),
    ),
    (
        "your answer is an angle: divide it by 2 pi",
        _places(lambda sine, cosine: _turns(sine, cosine) * 2 * math.pi),
    ),
    (
        "you swapped sine and cosine: it is atan2(sine, cosine), and the sine is the first channel of a pair",
        _places(lambda sine, cosine: _turns(cosine, sine)),
    ),
    (
        "you took the arcsine: two angles have the same sine, and the cosine tells them apart",
        _places(lambda sine, cosine: sine.clamp(-1, 1).asin() / (2 * math.pi) % 1),
    ),
    (
        "you took the arccosine: two angles have the same cosine, and the sine tells them apart",
        _places(lambda sine, cosine: cosine.clamp(-1, 1).acos() / (2 * math.pi)),
    ),
)


@st.composite
def _encodings(draw: Callable) -> dict:
    number, num_features = draw(st.integers(1, 3)), draw(st.sampled_from([2, 4, 6]))
    points = draw(tensors(number, 2, low=1 / 16, high=15 / 16, denominator=16, simplest=0.25))
    return {"encoding": points_by_loops(points, num_features, 20.0), "num_features": num_features}


place_of_encoding = Check(
    name="place_of_encoding",
    reference=places_by_search,
    inputs=_encodings(),
    mistakes=PLACE_MISTAKES,
    example={
        "encoding": points_by_loops(torch.tensor([[0.75, 0.375], [0.25, 0.625]]), 6, 20.0),
        "num_features": 6,
    },
    letters="(N, 2)",
)
