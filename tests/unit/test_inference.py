"""From detections to boxes in pixels, and from images to detections."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close
from torchvision.transforms import v2

from detr_tutorial.boxes import cxcywh_to_xyxy
from detr_tutorial.detections import Detections
from detr_tutorial.inference import postprocess, predict
from detr_tutorial.padding import IMAGENET_MEAN, IMAGENET_STD, PaddedBatch

FEW = settings(deadline=None, derandomize=True, max_examples=30, database=None)
B, Q, CLASSES = 2, 7, 5
SIZES = [(60, 100), (33, 21)]


def make_detections(background: bool = False, seed: int = 0, queries: int = Q) -> Detections:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(B, queries, CLASSES + background, generator=generator)
    boxes = torch.rand(B, queries, 4, generator=generator)
    return Detections(logits, boxes, [], background_class=background)


def one_query(logits: list[float], box: list[float]) -> Detections:
    return Detections(torch.tensor([[logits]]), torch.tensor([[box]]), [])


# Post-processing


@FEW
@given(st.integers(1, 60), st.integers(0, 10_000))
def test_the_best_pairs_of_query_and_class_are_found_one_by_one(top_k, seed):
    """Mistake 63: the best class of every query only, or query and class mixed up in the flat index."""
    detections = make_detections(seed=seed)
    for image, found in enumerate(postprocess(detections, SIZES, top_k)):
        pairs = [
            (detections.logits[image, query, label].sigmoid().item(), query, label)
            for query in range(Q)
            for label in range(CLASSES)
        ]
        best = sorted(pairs, reverse=True)[:top_k]
        assert len(found["scores"]) == min(top_k, Q * CLASSES)
        assert_close(found["scores"], torch.tensor([score for score, _, _ in best]))
        assert found["labels"].tolist() == [label for _, _, label in best]
        height, width = SIZES[image]
        expected = cxcywh_to_xyxy(detections.boxes[image, [query for _, query, _ in best]])
        assert_close(found["boxes"], expected * torch.tensor([width, height, width, height]))


def test_one_query_may_answer_with_two_classes():
    """Mistake 63: one class a query, which is DETR's form."""
    (found,) = postprocess(one_query([3.0, -9, 2, -9], [0.5, 0.5, 0.2, 0.4]), [(100, 50)], top_k=2)
    assert found["labels"].tolist() == [0, 2]
    assert_close(found["boxes"], torch.tensor([[20.0, 30, 30, 70]]).expand(2, 4))


def test_scores_of_a_sigmoid_head_do_not_compete():
    """Mistake 53: a softmax over the classes of a sigmoid head."""
    (found,) = postprocess(one_query([3.0, 3, 3], [0.5] * 4), [(10, 10)])
    assert_close(found["scores"], torch.tensor([3.0, 3, 3]).sigmoid())
    assert found["scores"].sum() > 2


@FEW
@given(st.integers(1, 12), st.integers(0, 10_000))
def test_with_a_background_class_every_query_answers_once(top_k, seed):
    detections = make_detections(background=True, seed=seed)
    for image, found in enumerate(postprocess(detections, SIZES, top_k)):
        probabilities = detections.logits[image].softmax(dim=-1)
        answers = sorted(
            (
                (row[:-1].max().item(), query, int(row[:-1].argmax()))
                for query, row in enumerate(probabilities)
            ),
            reverse=True,
        )[:top_k]
        assert_close(found["scores"], torch.tensor([score for score, _, _ in answers]))
        assert found["labels"].tolist() == [label for _, _, label in answers]
        height, width = SIZES[image]
        expected = cxcywh_to_xyxy(detections.boxes[image, [query for _, query, _ in answers]])
        assert_close(found["boxes"], expected * torch.tensor([width, height, width, height]))


def test_the_background_is_never_a_label():
    detections = make_detections(background=True)
    sure = detections.logits.clone()
    sure[..., -1] = 20
    for found in postprocess(detections._replace(logits=sure), SIZES):
        assert (found["labels"] < CLASSES).all()
        assert (found["scores"] < 1e-3).all()


def test_boxes_are_scaled_by_width_then_height_of_the_original_image():
    """Mistakes 64 and 65: size of the padded batch, or (height, width) order."""
    (found,) = postprocess(one_query([0.0], [0.5, 0.25, 0.2, 0.1]), [(40, 1000)])
    assert_close(found["boxes"], torch.tensor([[400.0, 8, 600, 12]]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("background", [False, True])
def test_half_precision_is_scored_in_float32(dtype, background):
    detections = make_detections(background)
    half = detections._replace(logits=detections.logits.to(dtype), boxes=detections.boxes.to(dtype))
    same = detections._replace(logits=half.logits.float(), boxes=half.boxes.float())
    for found, expected in zip(postprocess(half, SIZES), postprocess(same, SIZES), strict=True):
        assert found["scores"].dtype == found["boxes"].dtype == torch.float32
        assert_close(found, expected)


def test_results_carry_no_gradient_and_the_arguments_stay():
    detections = make_detections()
    detections.logits.requires_grad_()
    detections.boxes.requires_grad_()
    before = detections.boxes.detach().clone()
    for found in postprocess(detections, SIZES):
        assert not found["scores"].requires_grad
        assert not found["boxes"].requires_grad
        found["boxes"].zero_()
    assert torch.equal(detections.boxes, before)


# Prediction


class Stub(nn.Module):
    """Answers the same for every image, and remembers what it was asked."""

    def __init__(self, logits: list[list[float]], boxes: list[list[float]], background: bool = False) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))
        self.boxes = nn.Parameter(torch.tensor(boxes))
        self.background = background
        self.frozen = nn.BatchNorm2d(3).eval()
        self.batch = PaddedBatch(torch.zeros(1), torch.zeros(1, dtype=torch.bool))
        self.modes: list[bool] = []
        self.gradient = True

    def forward(self, batch: PaddedBatch) -> Detections:
        self.batch = batch
        self.modes = [module.training for module in self.modules()]
        self.gradient = torch.is_grad_enabled()
        count = len(batch.pixels)
        return Detections(
            self.logits.expand(count, -1, -1),
            self.boxes.expand(count, -1, -1),
            [],
            None,
            None,
            self.background,
        )


LOGITS = [[-3.0, 2.0], [0.5, -3.0], [-1.0, -0.1]]
BOXES = [[0.5, 0.5, 0.4, 0.2], [0.25, 0.5, 0.5, 1.0], [0.9, 0.1, 0.4, 0.4]]


def random_image(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


def test_boxes_come_back_in_pixels_of_each_image():
    images = [random_image(60, 100), random_image(90, 40)]
    found = predict(Stub(LOGITS, BOXES), images, short_side=32, max_side=64)
    for image, answer in zip(images, found, strict=True):
        _, height, width = image.shape
        assert answer["labels"].tolist() == [1, 0]
        assert_close(answer["scores"], torch.tensor([2.0, 0.5]).sigmoid())
        expected = torch.tensor([[0.3, 0.4, 0.7, 0.6], [0, 0, 0.5, 1]])
        assert_close(answer["boxes"], expected * torch.tensor([width, height, width, height]))


def test_boxes_end_at_the_edge_of_the_image():
    (found,) = predict(Stub(LOGITS, BOXES), [random_image(60, 100)], 0.4, 32, 64)
    assert found["labels"].tolist() == [1, 0, 1]
    assert_close(found["boxes"][2], torch.tensor([70.0, 0, 100, 18]))


@pytest.mark.parametrize(("threshold", "count"), [(0, 6), (0.5, 2), (1.0, 0)])
def test_only_scores_above_the_threshold_are_returned(threshold, count):
    (found,) = predict(Stub(LOGITS, BOXES), [random_image(6, 10)], threshold, 32, 64)
    assert found["scores"].shape == found["labels"].shape == (count,)
    assert found["boxes"].shape == (count, 4)
    assert (found["scores"] > threshold).all()
    (few,) = predict(Stub(LOGITS, BOXES), [random_image(6, 10)], threshold, 32, 64, top_k=1)
    assert len(few["scores"]) == min(count, 1)


def test_a_score_that_equals_the_threshold_is_not_above_it():
    (found,) = predict(Stub([[0.0]], [[0.5] * 4]), [random_image(6, 10)], 0.5, 32, 64)
    assert len(found["scores"]) == 0


def test_a_background_class_is_left_out():
    model = Stub([[0.0, 1.0, 3.0], [2.0, 0.0, -1.0]], [[0.5] * 4, [0.25] * 4], background=True)
    (found,) = predict(model, [random_image(6, 10)], 0.5, 32, 64)
    assert found["labels"].tolist() == [0]
    assert_close(found["boxes"], torch.tensor([[1.25, 0.75, 3.75, 2.25]]))


@FEW
@given(st.integers(1, 90), st.integers(1, 90), st.integers(8, 48), st.integers(1, 60))
def test_images_are_resized_as_torchvision_does(height, width, short_side, longer_by):
    """Sides of at least one pixel; where torchvision has an answer, the same."""
    max_side = short_side + longer_by
    image = random_image(height, width)
    model = Stub(LOGITS, BOXES)
    predict(model, [image], short_side=short_side, max_side=max_side)
    pixels = model.batch.pixels[0]
    assert min(pixels.shape[1:]) >= 1
    assert max(pixels.shape[1:]) <= max_side
    assert not model.batch.mask.any()
    if max(height, width) / min(height, width) < max_side:
        resized = v2.functional.resize(image, [short_side], max_size=max_side, antialias=True)
        expected = v2.functional.normalize(resized, list(IMAGENET_MEAN), list(IMAGENET_STD))
        assert_close(pixels, expected)


def test_images_of_different_sizes_are_padded_right_and_below():
    model = Stub(LOGITS, BOXES)
    predict(model, [random_image(60, 100), random_image(50, 25)], short_side=30, max_side=60)
    assert model.batch.pixels.shape == (2, 3, 60, 50)
    assert (~model.batch.mask[0]).nonzero().amax(dim=0).tolist() == [29, 49]
    assert (~model.batch.mask[1]).nonzero().amax(dim=0).tolist() == [59, 29]
    assert (model.batch.pixels[0, :, 30:] == 0).all()


@pytest.mark.parametrize("size", [(1, 500), (500, 1), (1, 1)], ids=str)
def test_an_image_of_one_row_or_column_is_fine(size):
    (found,) = predict(Stub(LOGITS, BOXES), [random_image(*size)], short_side=32, max_side=64)
    height, width = size
    assert_close(found["boxes"][0], torch.tensor([0.3, 0.4, 0.7, 0.6]) * torch.tensor([width, height] * 2))


def test_sizes_of_the_model_are_the_default():
    class Config:
        short_side, max_side = 24, 30

    model = Stub(LOGITS, BOXES)
    model.config = Config()  # type: ignore[assignment]
    predict(model, [random_image(60, 90)])
    assert model.batch.pixels.shape == (1, 3, 20, 30)
    predict(model, [random_image(60, 90)], max_side=40)
    assert model.batch.pixels.shape == (1, 3, 24, 36)
    predict(model, [random_image(60, 90)], short_side=12)
    assert model.batch.pixels.shape == (1, 3, 12, 18)


@pytest.mark.parametrize("training", [True, False])
def test_every_module_is_in_its_mode_again_afterwards(training):
    model = Stub(LOGITS, BOXES)
    model.training = training  # the frozen part stays in evaluation mode
    predict(model, [random_image(6, 10)], short_side=32, max_side=64)
    assert not any(model.modes)
    assert not model.gradient
    assert model.training is training
    assert not model.frozen.training
    assert torch.is_grad_enabled()


def test_the_mode_comes_back_after_an_error_too():
    class Broken(Stub):
        def forward(self, batch: PaddedBatch) -> Detections:
            raise RuntimeError("out of memory")

    model = Broken(LOGITS, BOXES).train()
    with pytest.raises(RuntimeError, match="out of memory"):
        predict(model, [random_image(6, 10)], short_side=32, max_side=64)
    assert model.training


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_images_take_the_precision_of_the_model(dtype):
    model = Stub(LOGITS, BOXES).to(dtype)
    (found,) = predict(model, [random_image(6, 10)], short_side=32, max_side=64)
    assert model.batch.pixels.dtype == dtype
    assert found["labels"].tolist() == [1, 0]
    predict(Stub(LOGITS, BOXES), [random_image(6, 10).to(dtype)], short_side=32, max_side=64)


def test_images_stay_as_they_are():
    image = random_image(6, 10)
    before = image.clone()
    for sides in ((32, 64), (6, 10)):  # the second needs no resizing
        predict(Stub(LOGITS, BOXES), [image], short_side=sides[0], max_side=sides[1])
        assert torch.equal(image, before)
