"""Average precision: against pycocotools' own reading of files, and on cases one can count by hand."""

import contextlib
import io
import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import nn

from detr_tutorial.boxes import cxcywh_to_xyxy, to_absolute, to_relative, xyxy_to_cxcywh
from detr_tutorial.data.shapes import CLASSES, ShapesDataset
from detr_tutorial.detections import Detections
from detr_tutorial.evaluation import choose_area_ranges, class_table, coco_metrics, evaluate
from detr_tutorial.padding import PaddedBatch

NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl")
FEW = settings(deadline=None, derandomize=True, max_examples=15, database=None)
SIZES = [(100, 130), (128, 90), (64, 64), (200, 110), (120, 120)]


def world(seed: int, labels=(0, 3, 17, 90), crowds: bool = True) -> tuple[list, list]:
    """Random targets, and detections that hit some of them, miss others, and repeat themselves."""
    generator = torch.Generator().manual_seed(seed)
    targets, predictions = [], []
    for size in SIZES:
        count = int(torch.randint(0, 6, (1,), generator=generator))
        label = torch.tensor(labels)[torch.randint(0, len(labels), (count,), generator=generator)]
        half = torch.rand(count, 2, generator=generator) * 0.25 + 0.02
        center = half + torch.rand(count, 2, generator=generator) * (1 - 2 * half)
        boxes = torch.cat([center, 2 * half], dim=1)
        target = {"labels": label, "boxes": boxes, "image_id": 7}
        if crowds:
            target["iscrowd"] = torch.rand(count, generator=generator) < 0.25
        targets.append(target)
        corners = to_absolute(cxcywh_to_xyxy(boxes), size).repeat(3, 1)
        corners = corners + torch.randn(corners.shape, generator=generator) * 4
        corners[:, 2:] = torch.maximum(corners[:, 2:], corners[:, :2] + 1)
        guessed = torch.where(torch.rand(3 * count, generator=generator) < 0.8, label.repeat(3), labels[0])
        scores = torch.rand(3 * count, generator=generator)
        predictions.append({"scores": scores, "labels": guessed, "boxes": corners})
    return predictions, targets


def perfect(targets: list, sizes: list) -> list:
    return [
        {
            "scores": torch.ones(len(target["labels"])),
            "labels": target["labels"],
            "boxes": to_absolute(cxcywh_to_xyxy(target["boxes"]), size),
        }
        for target, size in zip(targets, sizes, strict=True)
    ]


def by_pycocotools(predictions: list, targets: list, folder) -> dict:
    """The usual way: write a file of truth and a file of results, let pycocotools read and summarize them."""
    images = [{"id": 10 * i + 3, "height": h, "width": w} for i, (h, w) in enumerate(SIZES)]
    truth, results = [], []
    for image, (prediction, target) in enumerate(zip(predictions, targets, strict=True)):
        corners = to_absolute(cxcywh_to_xyxy(target["boxes"].double()), SIZES[image])
        for row, (x1, y1, x2, y2) in enumerate(corners.tolist()):
            truth.append(
                {
                    "id": len(truth) + 1,
                    "image_id": 10 * image + 3,
                    "category_id": int(target["labels"][row]),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": int(target["iscrowd"][row]),
                }
            )
        for row, (x1, y1, x2, y2) in enumerate(prediction["boxes"].double().tolist()):
            results.append(
                {
                    "image_id": 10 * image + 3,
                    "category_id": int(prediction["labels"][row]),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "score": float(prediction["scores"][row]),
                }
            )
    categories = [{"id": label} for label in range(91)]
    files = {"truth": {"images": images, "annotations": truth, "categories": categories}, "results": results}
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(folder / "truth.json"))
        evaluation = COCOeval(coco, coco.loadRes(str(folder / "results.json")), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(NAMES, evaluation.stats[:6].tolist(), strict=True))


@pytest.mark.parametrize("seed", range(6))
def test_the_numbers_are_those_of_pycocotools_reading_files(tmp_path, seed):
    predictions, targets = world(seed)
    expected = by_pycocotools(predictions, targets, tmp_path)
    metrics = coco_metrics(predictions, targets, SIZES, area_ranges=(32, 96))
    assert 0 < metrics["AP"] < 1
    for name in NAMES:
        if expected[name] == -1:
            assert math.isnan(metrics[name])
        else:
            assert metrics[name] == pytest.approx(expected[name], abs=1e-11)


@FEW
@given(st.integers(0, 10**6))
def test_ground_truth_as_prediction_gives_one_exactly(seed):
    """Sizes differ in height and width, ids have gaps, and nothing was normalized by the padded size."""
    _, targets = world(seed, crowds=False)
    if sum(len(target["labels"]) for target in targets) == 0:
        return
    metrics = coco_metrics(perfect(targets, SIZES), targets, SIZES)
    for name in NAMES:
        assert metrics[name] == 1 or math.isnan(metrics[name])
    assert metrics["AP"] == 1
    for row in metrics["classes"]:
        assert row["AP"] == 1


def test_ground_truth_scaled_by_height_and_width_swapped_is_not_perfect():
    _, targets = world(1, crowds=False)
    swapped = [(width, height) for height, width in SIZES]
    assert coco_metrics(perfect(targets, swapped), targets, SIZES)["AP"] < 0.8


def test_no_detections_give_zero():
    _, targets = world(2, crowds=False)
    nothing = {
        "scores": torch.zeros(0),
        "labels": torch.zeros(0, dtype=torch.int64),
        "boxes": torch.zeros(0, 4),
    }
    metrics = coco_metrics([nothing] * len(SIZES), targets, SIZES)
    assert metrics["AP"] == metrics["AP50"] == metrics["AP75"] == 0
    assert {row["AP"] for row in metrics["classes"]} == {0}


def test_without_any_object_there_is_no_precision():
    empty = {"labels": torch.zeros(0, dtype=torch.int64), "boxes": torch.zeros(0, 4)}
    predictions, _ = world(3)
    metrics = coco_metrics(predictions, [empty] * len(SIZES), SIZES)
    assert all(math.isnan(metrics[name]) for name in NAMES)
    assert metrics["classes"] == []
    assert class_table(metrics).splitlines()[-1].split() == ["all", "0"] + ["-"] * 6


def test_average_precision_counted_by_hand():
    """Two objects of a class: found first, a false alarm, then the other: precision 1, 1/2, 2/3."""
    size = [(100, 100)]
    corners = torch.tensor([[10.0, 10, 30, 30], [60, 60, 80, 80]])
    target = {"labels": torch.tensor([4, 4]), "boxes": xyxy_to_cxcywh(to_relative(corners, size[0]))}
    prediction = {
        "scores": torch.tensor([0.9, 0.8, 0.7]),
        "labels": torch.tensor([4, 4, 4]),
        "boxes": torch.stack([corners[0], torch.tensor([40.0, 10, 55, 30]), corners[1]]),
    }
    metrics = coco_metrics([prediction], [target], size)
    # recall .00 to .50 (51 of 101 points) at precision 1, the rest at 2/3
    assert metrics["AP50"] == pytest.approx((51 + 50 * 2 / 3) / 101, abs=1e-11)
    assert metrics["AP"] == metrics["AP50"]


def test_the_first_object_can_be_matched_although_ids_start_somewhere():
    """pycocotools takes a match with the id 0 for none."""
    target = {"labels": torch.tensor([0]), "boxes": torch.tensor([[0.5, 0.5, 0.2, 0.4]])}
    assert coco_metrics(perfect([target], [(50, 80)]), [target], [(50, 80)])["AP"] == 1


def test_a_detection_on_a_crowd_is_neither_right_nor_wrong():
    size = [(100, 100)]
    boxes = torch.tensor([[0.2, 0.2, 0.2, 0.2], [0.7, 0.7, 0.5, 0.5]])
    target = {"labels": torch.tensor([1, 1]), "boxes": boxes, "iscrowd": torch.tensor([0, 1])}
    on_crowd = torch.tensor([[50.0, 50, 60, 60], [70, 70, 90, 90]])
    on_object = torch.tensor([[10.0, 10, 30, 30]])
    prediction = {
        "scores": torch.tensor([0.9, 0.8, 0.7]),
        "labels": torch.tensor([1, 1, 1]),
        "boxes": torch.cat([on_crowd, on_object]),
    }
    metrics = coco_metrics([prediction], [target], size)
    assert metrics["AP"] == 1
    assert metrics["classes"][0]["objects"] == 1
    without = {**target, "iscrowd": torch.tensor([0, 0])}
    assert coco_metrics([prediction], [without], size)["AP"] < 1


def test_labels_with_gaps_keep_their_names():
    names = [f"class {label}" for label in range(18)]
    predictions, targets = world(0)
    rows = coco_metrics(predictions, targets, SIZES, class_names=names)["classes"]
    assert [(row["label"], row["name"]) for row in rows] == [
        (0, "class 0"),
        (3, "class 3"),
        (17, "class 17"),
        (90, "90"),
    ]
    crowds = [int(((t["labels"] == 17) & ~t["iscrowd"]).sum()) for t in targets]
    assert rows[2]["objects"] == sum(crowds)


def test_a_class_counts_as_much_as_any_other():
    predictions, targets = world(0)
    metrics = coco_metrics(predictions, targets, SIZES)
    each = [row["AP"] for row in metrics["classes"] if not math.isnan(row["AP"])]
    assert metrics["AP"] == pytest.approx(sum(each) / len(each))


def test_only_the_best_detections_of_an_image_and_class_count():
    predictions, targets = world(0, labels=(2,), crowds=False)
    best = [
        {key: value[prediction["scores"].argsort(descending=True)[:2]] for key, value in prediction.items()}
        for prediction in predictions
    ]
    two = coco_metrics(predictions, targets, SIZES, max_detections=2)
    assert (
        two["AP"]
        == coco_metrics(best, targets, SIZES)["AP"]
        != coco_metrics(predictions, targets, SIZES)["AP"]
    )


# Area ranges -----------------------------------------------------------------------------------------------


def test_mistake_74_small_images_have_large_objects():
    """With COCO's own ranges, nothing in an image of 128 x 128 is above 96 squared."""
    dataset = ShapesDataset(40, seed=3)
    targets = [target for _, target in (dataset[i] for i in range(40))]
    sizes = [(128, 128)] * 40
    metrics = coco_metrics(perfect(targets, sizes), targets, sizes)
    assert metrics["area_ranges"] == (16, 32)
    assert metrics["APs"] == metrics["APm"] == metrics["APl"] == 1
    assert math.isnan(coco_metrics(perfect(targets, sizes), targets, sizes, area_ranges=(32, 96))["APl"])


def test_images_as_large_as_cocos_are_measured_by_cocos_ranges():
    assert choose_area_ranges([(480, 640), (427, 640), (640, 400)]) == (32, 96)
    assert choose_area_ranges([(320, 200)]) == (32, 96)
    assert choose_area_ranges([(200, 300), (40, 40), (80, 256)]) == (32, 64)


def test_small_is_told_by_the_area_of_the_target_where_it_has_one():
    size = [(100, 100)]
    target = {"labels": torch.tensor([0]), "boxes": torch.tensor([[0.5, 0.5, 0.5, 0.5]])}  # 50 x 50 pixels
    for area, name in ((None, "APl"), (9.0**2, "APs"), (15.0**2, "APm")):
        known = target if area is None else {**target, "area": torch.tensor([area])}
        metrics = coco_metrics(perfect([known], size), [known], size, area_ranges=(10, 20))
        assert [key for key in ("APs", "APm", "APl") if metrics[key] == 1] == [name]


def test_a_miss_among_the_large_objects_lowers_only_their_precision():
    size = [(100, 100)]
    boxes = torch.tensor([[0.2, 0.2, 0.1, 0.1], [0.7, 0.7, 0.5, 0.5]])
    target = {"labels": torch.tensor([0, 0]), "boxes": boxes}
    found = {key: value[:1] for key, value in perfect([target], size)[0].items()}
    metrics = coco_metrics([found], [target], size, area_ranges=(20, 40))
    assert metrics["APs"] == 1
    assert metrics["APl"] == 0
    assert math.isnan(metrics["APm"])


# A model over a data set -----------------------------------------------------------------------------------


class Oracle(nn.Module):
    """Answers what the data set holds: knows an image by its order."""

    def __init__(self, dataset, background_class: bool = False, num_classes: int = len(CLASSES)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.dropout = nn.Dropout(0.5)
        self.dataset, self.seen, self.modes = dataset, 0, []
        self.background_class, self.num_classes = background_class, num_classes

    def forward(self, batch: PaddedBatch) -> Detections:
        self.modes.append((self.training, self.dropout.training, torch.is_grad_enabled()))
        count = len(batch.pixels)
        logits = torch.full((count, 12, self.num_classes + self.background_class), -20.0)
        boxes = torch.full((count, 12, 4), 0.5)
        if self.background_class:
            logits[..., -1] = 0
        for row in range(count):
            _, target = self.dataset[self.seen]
            for query, (label, box) in enumerate(zip(target["labels"], target["boxes"], strict=True)):
                logits[row, query, label] = 20
                boxes[row, query] = box
            self.seen += 1
        return Detections(logits, boxes + self.weight, [], background_class=self.background_class)


class Resized:
    """Items as a resizing transform leaves them, of different sizes, that tell the original size."""

    classes = ("left", "right")

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int):
        target = {
            "labels": torch.tensor([index % 2]),
            "boxes": torch.tensor([[0.5, 0.4, 0.2 + 0.1 * index, 0.3]]),
            "original_size": (200 + index, 400),
        }
        return torch.rand(3, 20 + index, 40 - index), target


@pytest.mark.parametrize("background_class", [False, True])
def test_a_model_that_knows_the_truth_reaches_one(background_class):
    dataset = ShapesDataset(23, seed=8, size=(96, 130))
    metrics = evaluate(Oracle(dataset, background_class), dataset, batch_size=5)
    assert metrics["AP"] == 1
    assert metrics["area_ranges"] == (130 / 8, 130 / 4)
    assert [row["name"] for row in metrics["classes"]] == list(CLASSES)


def test_boxes_are_compared_at_the_original_size():
    dataset = Resized()
    metrics = evaluate(Oracle(dataset, num_classes=2), dataset, batch_size=2)
    assert metrics["AP"] == 1
    assert metrics["area_ranges"] == (32, 96)  # the originals are 400 pixels wide
    assert math.isnan(metrics["APs"])
    assert [row["name"] for row in metrics["classes"]] == ["left", "right"]


def test_the_modes_of_the_model_are_restored_and_no_gradient_is_recorded():
    dataset = ShapesDataset(3)
    model = Oracle(dataset).train()
    model.dropout.eval()
    evaluate(model, dataset, batch_size=2)
    assert model.modes == [(False, False, False)] * 2
    assert model.training
    assert not model.dropout.training


def test_the_global_random_state_stays_as_it_is():
    dataset, before = ShapesDataset(3), torch.get_rng_state()
    evaluate(Oracle(dataset), dataset)
    assert torch.equal(before, torch.get_rng_state())


def test_nothing_is_printed(capsys):
    predictions, targets = world(0)
    coco_metrics(predictions, targets, SIZES)
    assert capsys.readouterr() == ("", "")


def test_workers_read_ahead_without_changing_the_numbers():
    dataset = ShapesDataset(7, seed=8)
    assert evaluate(Oracle(dataset), dataset, batch_size=3, num_workers=1)["AP"] == 1


def test_the_table_has_a_row_a_class_and_one_for_all():
    predictions, targets = world(0)
    metrics = coco_metrics(predictions, targets, SIZES, class_names=["a long name"])
    lines = class_table(metrics).splitlines()
    assert lines[0].split() == ["class", "objects", *NAMES]
    assert len({len(line) for line in lines}) == 1
    assert [line[:11].strip() for line in lines] == ["class", "a long name", "3", "17", "90", "all"]
    assert lines[-1].split()[2] == f"{metrics['AP']:.3f}"
