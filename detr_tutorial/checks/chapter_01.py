"""Checks for notebooks/01_set_prediction.ipynb: greedy matching, and the classes that slots learn to say.

Each check is a slow reference made of loops, random inputs, and the mistakes people make, every one with the
sentence that names it.
"""

from collections.abc import Callable

import torch
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from detr_tutorial.checks._check import Check

# ---------------------------------------------------------------- greedy matching


def greedy_by_loops(cost: Tensor) -> Tensor:
    """The slot of every object, the smallest entry first: (n,)."""
    num_slots, num_objects = cost.shape
    chosen = [-1] * num_objects
    for _ in range(num_objects):
        smallest = None
        for slot in range(num_slots):
            for item in range(num_objects):
                free = slot not in chosen and chosen[item] < 0
                if free and (smallest is None or cost[slot, item] < cost[smallest]):
                    smallest = (slot, item)
        assert smallest is not None
        chosen[smallest[1]] = smallest[0]
    return torch.tensor(chosen)


def _object_by_object(cost: Tensor) -> Tensor:
    left, chosen = cost.clone(), []
    for item in range(cost.shape[1]):
        chosen.append(int(left[:, item].argmin()))
        left[chosen[-1]] = torch.inf
    return torch.tensor(chosen)


def _cheapest(cost: Tensor) -> Tensor:
    slots, items = linear_sum_assignment(cost)
    return torch.from_numpy(slots)[torch.from_numpy(items).argsort()]


def _largest_first(cost: Tensor) -> Tensor:
    return greedy_by_loops(-cost)


def _by_slot(cost: Tensor) -> Tensor:
    """One answer a slot: the object it got, or -1."""
    answer = torch.full((len(cost),), -1)
    chosen = greedy_by_loops(cost)
    answer[chosen] = torch.arange(len(chosen))
    return answer


def _in_order_of_choice(cost: Tensor) -> Tensor:
    """The slots as they were taken, the cheapest pair first."""
    chosen = greedy_by_loops(cost)
    return chosen[cost[chosen, torch.arange(len(chosen))].argsort()]


GREEDY_MISTAKES = (
    (
        "each object took its cheapest slot, so that a slot may answer twice: strike out the row of a slot "
        "that is taken",
        lambda cost: cost.argmin(dim=0),
    ),
    (
        "you went through the objects in order: take the smallest entry of the whole matrix each time, "
        "whichever object it belongs to",
        _object_by_object,
    ),
    (
        "this is the cheapest pairing of all, the Hungarian one: greedy takes the smallest entry even when "
        "that costs more in the end",
        _cheapest,
    ),
    (
        "you took the largest entry first: entries are costs, so smaller is better",
        _largest_first,
    ),
    (
        "each slot took its cheapest object: the answer is one slot for each object",
        lambda cost: cost.argmin(dim=1),
    ),
    (
        "your answer has one entry for each slot: it should be the slot of each object",
        _by_slot,
    ),
    (
        "your slots come in the order in which you took them: entry i is the slot of object i",
        _in_order_of_choice,
    ),
)


@st.composite
def _costs(draw: Callable) -> dict:
    """More slots than objects, or as many; all entries differ, so that there are no ties."""
    num_objects = draw(st.integers(1, 3))
    num_slots = num_objects + draw(st.integers(0, 2))
    entries = draw(st.permutations(range(num_slots * num_objects)))
    return {"cost": torch.tensor(entries, dtype=torch.float32).reshape(num_slots, num_objects) / 4 - 1}


greedy_match = Check(
    name="greedy_match",
    reference=greedy_by_loops,
    inputs=_costs(),
    mistakes=GREEDY_MISTAKES,
    example={
        "cost": torch.tensor([[2.75, 4.75, -1.5], [-1.0, 0.25, 2.25], [7.25, 9.75, 6.0], [-0.25, 3.5, 2.5]])
    },
    letters="(n,)",
)


# ---------------------------------------------------------------- what every slot should say


def class_targets_by_loops(
    slots: Tensor, items: Tensor, labels: Tensor, num_slots: int, nothing: int
) -> Tensor:
    """The class of the object that a slot answers for, `nothing` for the others: (Q,)."""
    wanted = []
    for slot in range(num_slots):
        wanted.append(nothing)
        for matched, item in zip(slots.tolist(), items.tolist(), strict=True):
            if matched == slot:
                wanted[slot] = int(labels[item])
    return torch.tensor(wanted)


def _targets(
    fill: Callable[[int], int] = lambda nothing: nothing,
    where: Callable[[Tensor, Tensor], Tensor] = lambda slots, items: slots,
    what: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda slots, items, labels: labels[items],
) -> Callable[[Tensor, Tensor, Tensor, int, int], Tensor]:
    """The right answer with one part replaced."""

    def variant(slots: Tensor, items: Tensor, labels: Tensor, num_slots: int, nothing: int) -> Tensor:
        wanted = torch.full((num_slots,), fill(nothing))
        wanted[where(slots, items)] = what(slots, items, labels)
        return wanted

    return variant


CLASS_TARGET_MISTAKES = (
    (
        "the slots that are left over should say class 0: they should say `nothing`, or every empty place "
        "in a picture becomes an object of the first class",
        _targets(fill=lambda nothing: 0),
    ),
    (
        "the labels are in the order of the annotation: slot slots[i] gets labels[items[i]], not labels[i]",
        _targets(what=lambda slots, items, labels: labels[: len(items)]),
    ),
    (
        "you swapped the two indices: slots say where to write, items say which label",
        _targets(where=lambda slots, items: items, what=lambda slots, items, labels: labels[slots]),
    ),
    (
        "you wrote the number of the object instead of its label",
        _targets(what=lambda slots, items, labels: items),
    ),
    (
        "you paired slot i with object i: use the pairs of the matching",
        _targets(
            where=lambda slots, items: torch.arange(len(items)),
            what=lambda slots, items, labels: labels[: len(items)],
        ),
    ),
    (
        "you left the unmatched slots out: the answer has one class for each slot",
        lambda slots, items, labels, num_slots, nothing: labels[items],
    ),
)


@st.composite
def _matchings(draw: Callable) -> dict:
    """Slots in ascending order, as the matching gives them; labels may repeat; no objects is a case too."""
    num_objects, classes = draw(st.integers(0, 3)), draw(st.integers(2, 4))
    num_slots = num_objects + draw(st.integers(1, 2))
    slots = sorted(draw(st.permutations(range(num_slots)))[:num_objects])
    labels = [draw(st.integers(0, classes - 1)) for _ in range(num_objects)]
    return {
        "slots": torch.tensor(slots, dtype=torch.int64),
        "items": torch.tensor(draw(st.permutations(range(num_objects))), dtype=torch.int64),
        "labels": torch.tensor(labels, dtype=torch.int64),
        "num_slots": num_slots,
        "nothing": classes,
    }


class_targets = Check(
    name="class_targets",
    reference=class_targets_by_loops,
    inputs=_matchings(),
    mistakes=CLASS_TARGET_MISTAKES,
    example={
        "slots": torch.tensor([0, 1, 3]),
        "items": torch.tensor([2, 0, 1]),
        "labels": torch.tensor([4, 1, 2]),
        "num_slots": 5,
        "nothing": 6,
    },
    letters="(Q,)",
)
