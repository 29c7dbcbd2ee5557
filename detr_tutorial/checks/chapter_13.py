"""The exercises of notebooks/13_encoder.ipynb: the layer after its attention, and how far a token hears."""

import math
from collections.abc import Callable

import torch
from hypothesis import strategies as st
from torch import Tensor

from detr_tutorial.checks._check import Check, tensors

# ---------------------------------------------------------------- the layer after its attention


def _normalized(vector: list[float], eps: float = 1e-5) -> list[float]:
    mean = sum(vector) / len(vector)
    variance = sum((number - mean) ** 2 for number in vector) / len(vector)
    return [(number - mean) / math.sqrt(variance + eps) for number in vector]


def rest_of_layer_by_loops(tokens: Tensor, attended: Tensor, expand: Tensor, contract: Tensor) -> Tensor:
    """Add, normalize, feed forward, add, normalize, one token at a time: (B, S, C)."""
    output = torch.zeros_like(tokens)
    into, out_of = expand.tolist(), contract.tolist()
    for b in range(tokens.shape[0]):
        for s in range(tokens.shape[1]):
            summed = [x + a for x, a in zip(tokens[b, s].tolist(), attended[b, s].tolist(), strict=True)]
            token = _normalized(summed)
            hidden = [
                max(0.0, sum(token[c] * into[c][f] for c in range(len(into)))) for f in range(len(out_of))
            ]
            answer = [
                token[c] + sum(hidden[f] * out_of[f][c] for f in range(len(out_of)))
                for c in range(len(token))
            ]
            output[b, s] = torch.tensor(_normalized(answer))
    return output


Rest = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def normalize(x: Tensor, dim: int | tuple[int, ...] = -1, correction: int = 0, eps: float = 1e-5) -> Tensor:
    """Subtract the mean and divide by the standard deviation."""
    centered = x - x.mean(dim, keepdim=True)
    variance = centered.square().sum(dim, keepdim=True)
    sides = [x.shape[axis] for axis in ((dim,) if isinstance(dim, int) else dim)]
    return centered / (variance / max(math.prod(sides) - correction, 1) + eps).sqrt()


def _rest(
    *,
    first: Callable[[Tensor, Tensor], Tensor] = lambda tokens, attended: tokens + attended,
    norm: Callable[[Tensor], Tensor] = normalize,
    second: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda normed, answer, tokens: normed + answer,
    activation: Callable[[Tensor], Tensor] = torch.relu,
    activation_after: Callable[[Tensor], Tensor] = lambda answer: answer,
    norm_after: Callable[[Tensor], Tensor] | None = None,
) -> Rest:
    """The right layer with one step done otherwise."""

    def rest(tokens: Tensor, attended: Tensor, expand: Tensor, contract: Tensor) -> Tensor:
        normed = norm(first(tokens, attended))
        answer = activation_after(activation(normed @ expand) @ contract)
        return (norm_after or norm)(second(normed, answer, tokens))

    return rest


def _nothing(x: Tensor) -> Tensor:
    return x


def _pre_norm(tokens: Tensor, attended: Tensor, expand: Tensor, contract: Tensor) -> Tensor:
    summed = tokens + attended
    return summed + torch.relu(normalize(summed) @ expand) @ contract


def _norm_before_adding(tokens: Tensor, attended: Tensor, expand: Tensor, contract: Tensor) -> Tensor:
    normed = tokens + normalize(attended)
    return normed + normalize(torch.relu(normed @ expand) @ contract)


REST_MISTAKES: tuple[tuple[str, Rest], ...] = (
    (
        "you left out the shortcut around the attention: add what was attended to the token",
        _rest(first=lambda tokens, attended: attended),
    ),
    (
        "you did not use what the attention gave",
        _rest(first=lambda tokens, attended: tokens),
    ),
    (
        "you left out the shortcut around the feed-forward network",
        _rest(second=lambda normed, answer, tokens: answer),
    ),
    (
        "your second shortcut begins at the token that came in: it begins after the first norm",
        _rest(second=lambda normed, answer, tokens: tokens + answer),
    ),
    ("you left out the first norm", _rest(norm=_nothing, norm_after=normalize)),
    ("you left out the second norm", _rest(norm_after=_nothing)),
    ("you left out both norms", _rest(norm=_nothing)),
    (
        "this is the other order, pre-norm: the published layer adds first and normalizes the sum",
        _pre_norm,
    ),
    (
        "you normalized before adding: add first, then normalize the sum",
        _norm_before_adding,
    ),
    (
        "you normalized over the tokens: each token is normalized by itself, over its channels",
        _rest(norm=lambda x: normalize(x, dim=1)),
    ),
    (
        "you normalized over the images: each token is normalized by itself, over its channels",
        _rest(norm=lambda x: normalize(x, dim=0)),
    ),
    (
        "you normalized each image as a whole: each token is normalized by itself",
        _rest(norm=lambda x: normalize(x, dim=(1, 2))),
    ),
    (
        "you divided by C - 1 in the variance: a layer norm divides by C (unbiased=False)",
        _rest(norm=lambda x: normalize(x, correction=1)),
    ),
    (
        "you divided by the variance: divide by its square root",
        _rest(norm=lambda x: (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-5)),
    ),
    (
        "you did not subtract the mean",
        _rest(norm=lambda x: x / (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()),
    ),
    (
        "you left out the ReLU: without it, the two matrices are one",
        _rest(activation=_nothing),
    ),
    (
        "your ReLU comes after the second matrix: it stands between the two",
        _rest(activation=_nothing, activation_after=torch.relu),
    ),
)


@st.composite
def _layer_inputs(draw: Callable) -> dict:
    batch, number, channels, hidden = (draw(st.integers(low, most)) for low, most in _RANGES)
    return {
        "tokens": draw(tensors(batch, number, channels, simplest=1.0)),
        "attended": draw(tensors(batch, number, channels, simplest=1.0)),
        "expand": draw(tensors(channels, hidden, simplest=1.0)),
        "contract": draw(tensors(hidden, channels, simplest=1.0)),
    }


_RANGES = ((1, 2), (1, 3), (2, 3), (1, 3))


def _wave(*shape: int, step: float) -> Tensor:
    return (torch.arange(math.prod(shape)) * step).sin().reshape(shape) * 2


rest_of_layer = Check(
    name="rest_of_layer",
    reference=rest_of_layer_by_loops,
    inputs=_layer_inputs(),
    mistakes=REST_MISTAKES,
    example={
        "tokens": _wave(2, 3, 4, step=0.7),
        "attended": _wave(2, 3, 4, step=1.3),
        "expand": _wave(4, 5, step=2.1),
        "contract": _wave(5, 4, step=0.9),
    },
    letters="(B, S, C)",
    tolerance=1e-3,
)


# ---------------------------------------------------------------- how far a token hears


DIRECTIONS = tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0))


def cells_heard_by_loops(height: int, width: int, row: int, column: int, layers: int, points: int) -> int:
    """Follow every look of every layer, cell by cell."""
    heard = {(row, column)}
    for _ in range(layers):
        further = set(heard)  # the shortcut: what a token knew it still knows
        for r, c in heard:
            for down, right in DIRECTIONS:
                for k in range(1, points + 1):
                    cell = (r + k * down, c + k * right)
                    if 0 <= cell[0] < height and 0 <= cell[1] < width:
                        further.add(cell)
        heard = further
    return len(heard)


Count = Callable[[int, int, int, int, int, int], int]


def _walk(
    *,
    directions: tuple[tuple[int, int], ...] = DIRECTIONS,
    shortcut: bool = True,
    edge: bool = True,
    reach: Callable[[int], range] = lambda points: range(1, points + 1),
    whole_square: bool = False,
) -> Count:
    """The right count with one step done otherwise."""

    def count(height: int, width: int, row: int, column: int, layers: int, points: int) -> int:
        steps = {(k * down, k * right) for down, right in directions for k in reach(points)}
        if whole_square:
            around = range(-points, points + 1)
            steps = {(down, right) for down in around for right in around}
        if shortcut:
            steps.add((0, 0))
        heard = {(row, column)}
        for _ in range(layers):
            cells = {(r + down, c + right) for r, c in heard for down, right in steps}
            heard = {(r, c) for r, c in cells if not edge or (0 <= r < height and 0 <= c < width)}
        return len(heard)

    return count


def _sum_of_layers(height: int, width: int, row: int, column: int, layers: int, points: int) -> int:
    return 1 + layers * 8 * points


HEARD_MISTAKES: tuple[tuple[str, Count], ...] = (
    (
        "you forgot the shortcut: the token also keeps what it heard in the layers before, and itself",
        _walk(shortcut=False),
    ),
    ("you counted cells beyond the edge: nothing is read there", _walk(edge=False)),
    (
        "you filled the whole square: a star has eight rays, and the cells between them are not read",
        _walk(whole_square=True),
    ),
    (
        "you left out the diagonals: the star of eight heads has them",
        _walk(directions=tuple(step for step in DIRECTIONS if 0 in step)),
    ),
    (
        "you read only the end of each ray: the points lie 1, 2, ..., K cells away",
        _walk(reach=lambda points: range(points, points + 1)),
    ),
    (
        "your points begin at 0 cells and end at K - 1: they lie 1, 2, ..., K cells away",
        _walk(reach=lambda points: range(points)),
    ),
    (
        "you added up the points of the layers: each cell that was heard of brings its own star",
        _sum_of_layers,
    ),
)


@st.composite
def _map_inputs(draw: Callable) -> dict:
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 11))
    return {
        "height": height,
        "width": width,
        "row": draw(st.integers(0, height - 1)),
        "column": draw(st.integers(0, width - 1)),
        "layers": draw(st.integers(0, 3)),
        "points": draw(st.integers(1, 4)),
    }


cells_heard = Check(
    name="cells_heard",
    reference=cells_heard_by_loops,
    inputs=_map_inputs(),
    mistakes=HEARD_MISTAKES,
    example={"height": 9, "width": 14, "row": 4, "column": 6, "layers": 2, "points": 2},
)
