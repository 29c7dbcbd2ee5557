"""The COCO format from disk: gaps in ids, crowds, odd boxes, and the way back to a result file."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import nn
from torch.testing import assert_close
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.datasets import CocoDetection as TorchvisionCoco
from torchvision.transforms import v2

from detr_tutorial.boxes import cxcywh_to_xyxy, to_absolute
from detr_tutorial.data import shapes
from detr_tutorial.data.coco import CocoDetection
from detr_tutorial.data.transforms import evaluation_transforms, training_transforms
from detr_tutorial.detections import Detections
from detr_tutorial.evaluation import coco_metrics, evaluate
from detr_tutorial.inference import postprocess
from detr_tutorial.losses import SetCriterion

NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl")
SIZES = {"one.png": (40, 60), "two.jpg": (50, 30), "sub/three.png": (21, 33)}  # (height, width)


def annotation(number: int, image: int, category: int, bbox: list, **more) -> dict[str, Any]:
    area = more.pop("area", bbox[2] * bbox[3])
    return {"id": number, "image_id": image, "category_id": category, "bbox": bbox, "area": area, **more}


@pytest.fixture
def content() -> dict[str, Any]:
    """Ids with gaps and out of order, a crowd, boxes that leave the image or have no area, an empty image."""
    return {
        "images": [
            {"id": 139, "file_name": "one.png", "height": 40, "width": 60},
            {"id": 7, "file_name": "two.jpg", "height": 50, "width": 30},
            {"id": 8, "file_name": "sub/three.png", "height": 21, "width": 33},
        ],
        "annotations": [
            annotation(11, 139, 90, [10, 5, 20.5, 30], iscrowd=0, area=333.25),
            annotation(12, 139, 3, [-4, 30, 10, 20], iscrowd=0),
            annotation(13, 139, 17, [0, 0, 60, 40], iscrowd=1, segmentation={"counts": [], "size": [40, 60]}),
            annotation(20, 7, 17, [3, 4, 0, 9]),
            annotation(21, 7, 17, [3, 4, 5, -2]),
            annotation(22, 7, 3, [40, 4, 5, 6]),
            annotation(23, 7, 3, [1, 2, 3, 4]),
        ],
        "categories": [{"id": 90, "name": "kite"}, {"id": 3, "name": "cat"}, {"id": 17, "name": "dog"}],
    }


def write(folder: Path, content: dict[str, Any]) -> Path:
    """The layout of COCO: images in one folder, the json file in another."""
    generator = np.random.default_rng(0)
    for name, size in SIZES.items():
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
    file = folder / "labels" / "instances.json"
    file.parent.mkdir()
    file.write_text(json.dumps(content))
    return file


@pytest.fixture
def folder(tmp_path, content) -> Path:
    write(tmp_path, content)
    return tmp_path


def dataset(folder: Path, **options) -> CocoDetection:
    return CocoDetection(folder / "images", folder / "labels" / "instances.json", **options)


def corners(item) -> list[list[float]]:
    image, target = item
    return to_absolute(cxcywh_to_xyxy(target["boxes"]), tuple(image.shape[1:])).tolist()


# Ids and names ---------------------------------------------------------------------------------------------


def test_labels_are_contiguous_in_the_order_of_the_ids(folder):
    data = dataset(folder)
    assert data.category_ids == (3, 17, 90)
    assert data.classes == ("cat", "dog", "kite")
    assert data.num_classes == 3
    assert data[0][1]["labels"].tolist() == [2, 0, 1]
    assert data[0][1]["labels"].dtype == torch.int64


def test_mistake_50_raw_ids_need_the_highest_id_plus_one_outputs_and_no_background(folder):
    data = dataset(folder, raw_ids=True)
    assert data.num_classes == 91
    assert data[0][1]["labels"].tolist() == [90, 3, 17]
    assert data.classes[90] == "kite"
    assert data.classes[4] == "4"  # an id that no category has
    assert len(data.classes) == 91


@pytest.mark.parametrize("raw_ids", [False, True])
def test_mistake_50_the_criterion_accepts_the_last_label_with_num_classes_outputs(folder, raw_ids):
    data = dataset(folder, raw_ids=raw_ids)
    targets = [data[index][1] for index in range(3)]
    assert (
        max(int(target["labels"].max()) for target in targets if len(target["labels"]))
        == data.num_classes - 1
    )
    detections = Detections(torch.zeros(3, 7, data.num_classes), torch.full((3, 7, 4), 0.5), [])
    criterion = SetCriterion(data.num_classes)
    assert criterion.total(criterion(detections, targets)).isfinite()


# Images and boxes ------------------------------------------------------------------------------------------


def test_images_and_boxes_are_those_that_torchvision_reads(folder):
    data = dataset(folder)
    file = folder / "labels" / "instances.json"
    with contextlib.redirect_stdout(io.StringIO()):
        reference = TorchvisionCoco(str(folder / "images"), str(file))
    by_id = {reference.ids[index]: reference[index] for index in range(3)}
    for image, target in (data[index] for index in range(3)):
        picture, rows = by_id[target["image_id"]]
        assert_close(image, torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255)
        expected = [row for row in rows if row["bbox"][2] > 0 and row["bbox"][3] > 0 and row["bbox"][0] < 40]
        assert target["area"].tolist() == [row["area"] for row in expected]
        assert target["labels"].tolist() == [data.category_ids.index(row["category_id"]) for row in expected]
        assert target["original_size"] == tuple(image.shape[1:])


def test_boxes_are_clipped_to_their_image_as_the_field_does(folder):
    data = dataset(folder)
    assert data.images[0].boxes[1] == (0, 30, 6, 40)
    assert corners(data[0])[1] == pytest.approx([0, 30, 6, 40], abs=1e-4)


def test_area_is_the_one_of_the_file_not_that_of_the_box(folder):
    assert dataset(folder)[0][1]["area"].tolist() == [333.25, 200, 2400]


def test_boxes_without_area_or_outside_are_left_out_and_listed(folder):
    data = dataset(folder)
    assert corners(data[1]) == [pytest.approx([1, 2, 4, 6], abs=1e-4)]
    assert data.left_out == [
        "two.jpg: annotation 20 has no area, bbox [3, 4, 0, 9]",
        "two.jpg: annotation 21 has no area, bbox [3, 4, 5, -2]",
        "two.jpg: annotation 22 lies outside of the image, bbox [40, 4, 5, 6]",
    ]


def test_crowds_are_left_out_for_training_and_marked_for_evaluation(folder):
    training, evaluation = dataset(folder, train=True), dataset(folder)
    assert training[0][1]["labels"].tolist() == [2, 0]
    assert training[0][1]["iscrowd"].tolist() == [False, False]
    assert evaluation[0][1]["iscrowd"].tolist() == [False, False, True]


def test_an_image_without_objects_stays_with_no_rows(folder):
    for train in (False, True):
        image, target = dataset(folder, train=train)[2]
        assert image.shape == (3, 21, 33)
        assert target["boxes"].shape == (0, 4)
        assert target["labels"].shape == target["area"].shape == target["iscrowd"].shape == (0,)
        assert target["image_id"] == 8


def test_boxes_are_plain_tensors_relative_to_the_image(folder):
    _, target = dataset(folder)[0]
    assert type(target["boxes"]) is torch.Tensor
    assert target["boxes"].dtype == torch.float32
    assert_close(target["boxes"][0], torch.tensor([20.25 / 60, 20 / 40, 20.5 / 60, 30 / 40]))


def test_a_gray_image_becomes_rgb(tmp_path, content):
    write(tmp_path, content)
    Image.fromarray(np.full((40, 60), 51, dtype=np.uint8)).save(tmp_path / "images" / "one.png")
    assert_close(dataset(tmp_path)[0][0], torch.full((3, 40, 60), 0.2))


def test_an_image_is_turned_as_its_camera_says_only_where_the_json_file_gives_the_turned_size(
    tmp_path, content
):
    write(tmp_path, content)
    pixels = np.zeros((30, 50, 3), dtype=np.uint8)
    pixels[:, :10] = 255  # bright on the left; turned by a quarter to the right it is bright above
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "images" / "two.jpg", exif=exif, quality=95)
    image, _ = dataset(tmp_path)[1]  # the json file says 50 x 30
    assert image.shape == (3, 50, 30)
    assert image[:, :8].min() > 0.9
    assert image[:, 12:].max() < 0.1
    content["images"][1].update(height=30, width=50)
    (tmp_path / "labels" / "instances.json").write_text(json.dumps(content))
    assert dataset(tmp_path)[1][0][:, :, :8].min() > 0.9


# Transforms ------------------------------------------------------------------------------------------------


def test_an_image_is_resized_and_its_boxes_with_it(folder):
    plain, resized = dataset(folder), dataset(folder, transforms=evaluation_transforms(80, 100))
    for index, size in ((0, (66, 100)), (1, (100, 60)), (2, (64, 100))):
        image, target = resized[index]
        assert tuple(image.shape[1:]) == size
        assert type(image) is torch.Tensor
        assert_close(target["boxes"], plain[index][1]["boxes"])
        assert target["original_size"] == tuple(plain[index][0].shape[1:])
        assert_close(target["area"], plain[index][1]["area"])


def test_training_batches_go_through_collate(folder):
    data = dataset(folder, train=True, transforms=training_transforms(48, 80))
    torch.manual_seed(0)
    for _ in range(10):
        batch, targets = next(iter(DataLoader(data, batch_size=3, collate_fn=shapes.collate)))
        assert batch.pixels.shape[:2] == (3, 3)
        for target in targets:
            assert len(target["labels"]) == len(target["boxes"])
            assert (target["boxes"][:, 2:] > 0).all()


def test_own_transforms_may_crop_and_change_the_format_of_boxes(folder):
    def cut(image, target):
        image, boxes = (v2.functional.crop(part, 0, 0, 40, 8) for part in (image, target["boxes"]))
        boxes = v2.functional.convert_bounding_box_format(boxes, new_format=tv_tensors.BoundingBoxFormat.XYWH)
        return image, {**target, "boxes": boxes}

    item = dataset(folder, train=True, transforms=cut)[0]
    assert item[1]["labels"].tolist() == [0]  # the kite begins at x = 10
    assert corners(item) == [pytest.approx([0, 30, 6, 40], abs=1e-4)]


# There and back --------------------------------------------------------------------------------------------


def test_an_exported_set_is_read_back(tmp_path):
    shapes.export(tmp_path / "set", 6, seed=3, size=(48, 80))
    data, drawn = CocoDetection(tmp_path / "set"), shapes.ShapesDataset(6, seed=3, size=(48, 80))
    assert len(data) == 6
    assert data.classes == shapes.CLASSES
    assert data.left_out == []
    for index in range(6):
        (image, target), (expected, truth) = data[index], drawn[index]
        assert torch.equal(image, expected)
        assert torch.equal(target["labels"], truth["labels"])
        assert_close(target["boxes"], truth["boxes"], atol=1e-6, rtol=0)
        assert_close(target["area"], truth["area"], atol=1e-2, rtol=1e-4)


def summarized(file: Path, results: list) -> dict[str, float]:
    """What pycocotools says about a result file, given the raw file of annotations."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(file))
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")  # pyright: ignore[reportArgumentType]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(NAMES, evaluation.stats[:6].tolist(), strict=True))


class Oracle(nn.Module):
    """Answers the boxes of the data set, moved a little."""

    def __init__(self, data: CocoDetection, noise: float) -> None:
        super().__init__()
        self.data, self.noise, self.seen = data, noise, 0

    def forward(self, batch) -> Detections:
        generator = torch.Generator().manual_seed(self.seen)
        logits = torch.full((len(batch.pixels), 9, self.data.num_classes), -20.0)
        boxes = torch.full((len(batch.pixels), 9, 4), 0.5)
        for row in range(len(batch.pixels)):
            _, target = self.data[self.seen]
            for query, (label, box) in enumerate(zip(target["labels"], target["boxes"], strict=True)):
                logits[row, query, label] = float(torch.randn(1, generator=generator))
                boxes[row, query] = box * (1 + self.noise * torch.randn(4, generator=generator))
            self.seen += 1
        return Detections(logits, boxes, [])


@pytest.mark.parametrize("raw_ids", [False, True])
def test_mistake_64_ground_truth_as_prediction_gives_one_from_files_that_were_resized_and_padded(
    tmp_path, raw_ids
):
    """Original sizes, (w, h, w, h), category ids and (x, y, w, h) all have to be right for that."""
    shapes.export(tmp_path / "set", 8, seed=4, size=(70, 110))
    file = tmp_path / "set" / "annotations.json"
    content = json.loads(file.read_text())
    for row in content["categories"]:
        row["id"] = row["id"] * 3 + 10
    for row in content["annotations"]:
        row["category_id"] = row["category_id"] * 3 + 10
    file.write_text(json.dumps(content))
    data = CocoDetection(tmp_path / "set", transforms=evaluation_transforms(90, 300), raw_ids=raw_ids)
    assert evaluate(Oracle(data, noise=0), data, batch_size=3)["AP"] == 1
    perfect = [
        {
            "scores": torch.ones(len(target["labels"])),
            "labels": target["labels"],
            "boxes": to_absolute(cxcywh_to_xyxy(target["boxes"]), target["original_size"]),
        }
        for _, target in (data[index] for index in range(8))
    ]
    assert summarized(file, data.results(perfect))["AP"] == pytest.approx(1)


def test_a_model_gets_the_numbers_that_pycocotools_gives_for_the_raw_file(tmp_path):
    shapes.export(tmp_path / "set", 12, seed=6, size=(150, 330))
    file = tmp_path / "set" / "annotations.json"
    content = json.loads(file.read_text())
    for row in content["annotations"][::5]:
        row["iscrowd"] = 1
    for row in content["annotations"]:
        row["area"] *= 0.7  # as of an outline
    content["categories"] = content["categories"][::-1]
    file.write_text(json.dumps(content))
    data = CocoDetection(tmp_path / "set", transforms=evaluation_transforms(100, 300))
    found = evaluate(Oracle(data, noise=0.03), data, batch_size=5)
    assert found["area_ranges"] == (32, 96)

    predictions, model = [], Oracle(data, noise=0.03)
    for start in range(0, 12, 5):
        batch, targets = shapes.collate([data[index] for index in range(start, min(start + 5, 12))])
        predictions += postprocess(model(batch), [target["original_size"] for target in targets])
    expected = summarized(file, data.results(predictions))
    assert 0.1 < expected["AP"] < 0.95
    for name in NAMES:
        if expected[name] != -1:
            assert found[name] == pytest.approx(expected[name], abs=1e-6)
    sizes = [target["original_size"] for _, target in (data[index] for index in range(12))]
    again = coco_metrics(predictions, [data[index][1] for index in range(12)], sizes, area_ranges=(32, 96))
    assert again["AP"] == found["AP"]
