"""Boxes against torchvision.ops."""

import torch
import torchvision.ops
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from detr_tutorial import boxes

FEW = settings(deadline=None, derandomize=True, max_examples=40, database=None)


def random_corners(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner, size = torch.rand(count, 2, generator=generator), torch.rand(count, 2, generator=generator)
    return torch.cat([corner, corner + size + 1e-3], dim=1).double()


def convert(values: torch.Tensor, of: str, to: str) -> torch.Tensor:
    return torchvision.ops.box_convert(values, of, to)


@FEW
@given(st.integers(0, 7), st.integers(0, 5), st.integers(0, 10_000))
def test_overlaps_are_those_of_torchvision(count, other_count, seed):
    some, others = random_corners(count, seed), random_corners(other_count, seed + 1)
    assert_close(boxes.box_area(some), torchvision.ops.box_area(some))
    assert_close(boxes.pairwise_iou(some, others), torchvision.ops.box_iou(some, others))
    assert_close(boxes.pairwise_giou(some, others), torchvision.ops.generalized_box_iou(some, others))


@FEW
@given(st.integers(0, 7), st.integers(0, 10_000))
def test_notations_are_those_of_torchvision(count, seed):
    xyxy = random_corners(count, seed)
    cxcywh, xywh = convert(xyxy, "xyxy", "cxcywh"), convert(xyxy, "xyxy", "xywh")
    assert_close(boxes.xyxy_to_cxcywh(xyxy), cxcywh)
    assert_close(boxes.cxcywh_to_xyxy(cxcywh), convert(cxcywh, "cxcywh", "xyxy"))
    assert_close(boxes.xyxy_to_xywh(xyxy), xywh)
    assert_close(boxes.xywh_to_xyxy(xywh), convert(xywh, "xywh", "xyxy"))


def test_gradients_of_the_generalized_overlap_are_those_of_torchvision():
    gradients = []
    for function in (boxes.pairwise_giou, torchvision.ops.generalized_box_iou):
        some, others = random_corners(5, 3).requires_grad_(), random_corners(4, 4).requires_grad_()
        gradients.append(torch.autograd.grad(function(some, others).diagonal().sum(), (some, others)))
    for ours, theirs in zip(*gradients, strict=True):
        assert_close(ours, theirs)
