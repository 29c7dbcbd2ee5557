"""Boxes: notations, scaling, overlap."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from detr_tutorial import boxes

FEW = settings(deadline=None, derandomize=True, max_examples=60, database=None)


@st.composite
def corners(draw):
    """(n, 4) boxes with whole numbers as corners, some of them without area."""
    number = draw(st.integers(0, 5))
    side = st.integers(0, 9)
    rows = [[draw(side), draw(side), draw(side), draw(side)] for _ in range(number)]
    found = torch.tensor(rows, dtype=torch.float64).reshape(number, 4)
    return torch.cat([found[:, :2], found[:, :2] + found[:, 2:]], dim=1)


def test_the_notations_of_one_box():
    xyxy = torch.tensor([10.0, 20.0, 40.0, 80.0])
    assert boxes.xyxy_to_cxcywh(xyxy).tolist() == [25, 50, 30, 60]
    assert boxes.xyxy_to_xywh(xyxy).tolist() == [10, 20, 30, 60]
    assert boxes.cxcywh_to_xyxy(torch.tensor([25.0, 50.0, 30.0, 60.0])).tolist() == xyxy.tolist()
    assert boxes.xywh_to_xyxy(torch.tensor([10.0, 20.0, 30.0, 60.0])).tolist() == xyxy.tolist()


@FEW
@given(corners())
def test_there_and_back_is_where_it_started(xyxy):
    assert_close(boxes.cxcywh_to_xyxy(boxes.xyxy_to_cxcywh(xyxy)), xyxy)
    assert_close(boxes.xywh_to_xyxy(boxes.xyxy_to_xywh(xyxy)), xyxy)
    assert_close(boxes.to_absolute(boxes.to_relative(xyxy, (6, 11)), (6, 11)), xyxy)


def test_any_number_of_leading_axes_and_no_boxes_at_all():
    assert boxes.xyxy_to_cxcywh(torch.zeros(2, 3, 5, 4)).shape == (2, 3, 5, 4)
    assert boxes.cxcywh_to_xyxy(torch.zeros(0, 4)).shape == (0, 4)


def test_x_is_scaled_by_the_width_and_y_by_the_height():
    relative = torch.tensor([[0.5, 0.5, 0.1, 0.2]])
    assert_close(boxes.to_absolute(relative, (100, 300)), torch.tensor([[150.0, 50.0, 30.0, 20.0]]))
    assert_close(boxes.to_relative(torch.tensor([[150.0, 50.0, 30.0, 20.0]]), (100, 300)), relative)


def brute_force_overlap(one: list[float], other: list[float]) -> tuple[int, int, int]:
    """Count unit squares: in both, in either, in the smallest box around both."""
    low = [int(min(one[axis], other[axis])) for axis in (0, 1)]
    high = [int(max(one[axis + 2], other[axis + 2])) for axis in (0, 1)]
    both = either = 0
    for x in range(low[0], high[0]):
        for y in range(low[1], high[1]):
            inside = [box[0] <= x < box[2] and box[1] <= y < box[3] for box in (one, other)]
            both, either = both + all(inside), either + any(inside)
    return both, either, (high[0] - low[0]) * (high[1] - low[1])


@FEW
@given(corners(), corners())
def test_overlap_is_what_counting_squares_gives(some, others):
    iou, giou = boxes.pairwise_iou(some, others), boxes.pairwise_giou(some, others)
    assert iou.shape == giou.shape == (len(some), len(others))
    for i, one in enumerate(some.tolist()):
        for j, other in enumerate(others.tolist()):
            both, either, around = brute_force_overlap(one, other)
            expected = both / either if either else 0.0
            assert abs(iou[i, j].item() - expected) < 1e-12
            assert abs(giou[i, j].item() - (expected - ((around - either) / around if around else 0))) < 1e-12


@FEW
@given(corners(), corners())
def test_generalized_overlap_lies_between_minus_one_and_the_overlap(some, others):
    iou, giou = boxes.pairwise_iou(some, others), boxes.pairwise_giou(some, others)
    assert (giou <= iou + 1e-12).all()
    assert (giou >= -1).all()
    assert_close(boxes.pairwise_giou(others, some), giou.T)


def test_a_box_covers_itself():
    some = torch.tensor([[1.0, 2.0, 4.0, 7.0], [0.0, 0.0, 2.0, 3.0]])
    assert boxes.pairwise_iou(some, some).diagonal().tolist() == [1, 1]
    assert boxes.pairwise_giou(some, some).diagonal().tolist() == [1, 1]
    assert boxes.box_area(some).tolist() == [15, 6]


def test_boxes_without_area_give_finite_numbers_and_gradients():
    points = torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 3.0, 1.0]], requires_grad=True)
    total = boxes.pairwise_iou(points, points).sum() + boxes.pairwise_giou(points, points).sum()
    total.backward()
    assert total.item() == 0
    assert points.grad is not None
    assert torch.isfinite(points.grad).all()


def test_half_precision_does_not_overflow():
    large = torch.tensor([[0.0, 0.0, 1000.0, 500.0]], dtype=torch.float16)
    assert boxes.box_area(large).item() == 500_000  # the largest half is 65,504
    assert boxes.pairwise_giou(large, large).item() == 1


def test_nothing_changes_its_argument():
    xyxy = torch.tensor([[1.0, 2.0, 4.0, 7.0]])
    before = xyxy.clone()
    for function in (boxes.xyxy_to_cxcywh, boxes.xyxy_to_xywh, boxes.cxcywh_to_xyxy, boxes.xywh_to_xyxy):
        function(xyxy).add_(1)
    boxes.to_absolute(xyxy, (2, 3)).add_(1)
    assert torch.equal(xyxy, before)
