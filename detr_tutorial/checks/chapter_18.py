"""The exercises of notebooks/18_training.ipynb: a batch in parts, and how fast a parameter learns."""

from collections.abc import Callable

import torch
from hypothesis import strategies as st
from matplotlib.figure import Figure
from torch import Tensor

from detr_tutorial.checks._check import Check, Inputs
from detr_tutorial.plots.chapter_18 import your_factors

# ---------------------------------------------------------------- a batch in parts


def part_factors_by_loops(objects: list[int]) -> Tensor:
    """Undo the division of each part by its own objects, and divide by those of the batch: (parts,)."""
    of_the_batch = 0
    for count in objects:
        of_the_batch += count
    if of_the_batch == 0:
        of_the_batch = 1
    factors = []
    for count in objects:
        divided_by = count if count > 0 else 1
        factors.append(divided_by / of_the_batch)
    return torch.tensor(factors)


def _of_parts(factors: Callable[[list[int]], list[float]]) -> Callable[[list[int]], Tensor]:
    return lambda objects: torch.tensor(factors(objects))


PART_MISTAKES = [
    (
        "you take the mean over the parts, as if all had as many objects",
        _of_parts(lambda objects: [1 / len(objects)] * len(objects)),
    ),
    (
        "you add the losses up as they are: each is divided by the objects of its own part only",
        _of_parts(lambda objects: [1.0] * len(objects)),
    ),
    (
        "a part without objects counts 0: its loss of the classes, divided by 1, is lost",
        _of_parts(lambda objects: [count / max(1, sum(objects)) for count in objects]),
    ),
    (
        "you divide by the objects of each part once more, where its own division has to be undone",
        _of_parts(lambda objects: [1 / max(1, count) for count in objects]),
    ),
    (
        "you undo the division of each part, and do not divide by the objects of the batch",
        _of_parts(lambda objects: [float(max(1, count)) for count in objects]),
    ),
    (
        "you make the factors add up to 1, which they do not where a part is empty",
        _of_parts(lambda objects: [max(1, n) / sum(max(1, m) for m in objects) for n in objects]),
    ),
]


def _draw_parts(inputs: Inputs, yours: Tensor, target: Tensor) -> Figure:
    del inputs
    return your_factors(torch.as_tensor(yours).tolist(), target.tolist())


part_factors = Check(
    name="part_factors",
    reference=part_factors_by_loops,
    inputs=st.fixed_dictionaries({"objects": st.lists(st.integers(0, 9), min_size=1, max_size=5)}),
    mistakes=PART_MISTAKES,
    example={"objects": [6, 3, 0, 1]},
    letters="(parts,)",
    draw=_draw_parts,
)


# ---------------------------------------------------------------- how fast a parameter learns

NAMES = (
    "decoder.class_heads.1.weight",
    "encoder.layers.0.self_attention.sampling_offsets.weight",
    "reference_points.bias",
    "backbone.stages.1.0.0.weight",
    "level_embedding",
    "encoder.layers.0.self_attention.attention_weights.bias",
    "decoder.layers.2.cross_attention.sampling_offsets.bias",
    "projection.projections.3.1.bias",
)


def learning_factor_by_steps(name: str, pretrained: bool, step: int, steps: int, warmup_steps: int) -> Tensor:
    """One question after the other: a number."""
    factor = 1.0
    modules = name.split(".")
    if modules[0] == "backbone":
        if pretrained:
            factor = factor * 0.1
    elif "sampling_offsets" in modules or "reference_points" in modules:
        factor = factor * 0.1
    if warmup_steps > 0 and step + 1 < warmup_steps:
        factor = factor * (step + 1) / warmup_steps
    if 10 * step >= 8 * steps:
        factor = factor * 0.1
    return torch.tensor(factor)


Factor = Callable[[str, bool, int, int, int], Tensor]


def _variant(
    *,
    slow: tuple[str, ...] = ("sampling_offsets", "reference_points"),
    backbone: Callable[[bool], float] = lambda pretrained: 0.1 if pretrained else 1.0,
    first: int = 1,
    rises: bool = True,
    drops: Callable[[int, int], bool] = lambda step, steps: 10 * step >= 8 * steps,
) -> Factor:
    def factor(name: str, pretrained: bool, step: int, steps: int, warmup_steps: int) -> Tensor:
        modules = name.split(".")
        rate = 0.1 if set(slow) & set(modules) else 1.0
        if modules[0] == "backbone":
            rate = backbone(pretrained)
        if rises and warmup_steps > 0:
            rate *= min(1.0, (step + first) / warmup_steps)
        return torch.tensor(rate * (0.1 if drops(step, steps) else 1.0))

    return factor


FACTOR_MISTAKES = [
    (
        "the first step has a rate of 0: `step` counts the steps done, and the next one is step + 1",
        _variant(first=0),
    ),
    ("you leave out the warm-up", _variant(rises=False)),
    ("you leave out the drop in the last fifth", _variant(drops=lambda step, steps: False)),
    (
        "the rate drops one step too late: when 0.8 of the run is over, it is over",
        _variant(drops=lambda step, steps: 10 * step > 8 * steps),
    ),
    ("`sampling_offsets` learn at the full rate", _variant(slow=("reference_points",))),
    ("`reference_points` learn at the full rate", _variant(slow=("sampling_offsets",))),
    (
        "the attention weights learn slowly too: only the modules that say *where* do",
        _variant(slow=("sampling_offsets", "reference_points", "attention_weights")),
    ),
    (
        "the backbone learns slowly even from a random start",
        _variant(backbone=lambda pretrained: 0.1),
    ),
    (
        "the backbone learns at the full rate even with ImageNet weights",
        _variant(backbone=lambda pretrained: 1.0),
    ),
]

learning_factor = Check(
    name="learning_factor",
    reference=learning_factor_by_steps,
    inputs=st.tuples(
        st.sampled_from(NAMES), st.booleans(), st.integers(0, 9), st.sampled_from([10, 20]), st.integers(0, 5)
    ).map(
        lambda drawn: {
            "name": drawn[0],
            "pretrained": drawn[1],
            "step": drawn[2] * drawn[3] // 10,
            "steps": drawn[3],
            "warmup_steps": drawn[4],
        }
    ),
    mistakes=FACTOR_MISTAKES,
    example={"name": NAMES[1], "pretrained": True, "step": 16, "steps": 20, "warmup_steps": 3},
    tolerance=1e-6,
    num_inputs=120,
)
