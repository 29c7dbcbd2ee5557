"""The Python half of the trained points explorer: records, boxes, other pictures, page and figure."""

import base64
from typing import Any

import numpy as np
import pytest
import torch
import traitlets
from torch.testing import assert_close

from detr_tutorial.checkpoints import load_pretrained
from detr_tutorial.data.shapes import CLASSES, ShapesDataset
from detr_tutorial.deformable_attention import SamplingRecord
from detr_tutorial.deformable_detr import DeformableDETR, DeformableDETRConfig
from detr_tutorial.padding import normalize_image, pad_images
from detr_tutorial.training import HELD_OUT_SEED
from detr_tutorial.widgets import TrainedPointsExplorer
from tests.widgets.test_refinement_explorer import state_of


def arguments() -> dict[str, Any]:
    image, _ = ShapesDataset(64, seed=HELD_OUT_SEED)[35]
    return {"model": load_pretrained("deformable_detr_shapes"), "image": image, "names": CLASSES}


@pytest.fixture(scope="module")
def given() -> dict[str, Any]:
    return arguments()


@pytest.fixture
def explorer(given) -> TrainedPointsExplorer:
    return TrainedPointsExplorer(**given)


def unpacked(part: dict[str, str]) -> torch.Tensor:
    kinds = {"uint8": "u1", "int16": "<i2", "float32": "<f4"}
    return torch.from_numpy(
        np.frombuffer(base64.b64decode(part["data"]), kinds[part["dtype"]]).astype(np.float64)
    )


def points_and_weights(packed: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """What the page will draw, as js/src/trained/records.js reads it: (Q, M L K, 2) and (Q, M L K)."""
    references = unpacked(packed["references"]).reshape(-1, packed["referenceSize"]) / 10000
    weights = unpacked(packed["weights"]).reshape(len(references), -1) / 255
    codes = unpacked(packed["points"]).reshape(len(references), -1)
    offsets = unpacked(packed["low"]) + codes * unpacked(packed["step"])
    return references[:, None, :2] + offsets.reshape(*weights.shape, 2), weights


def test_points_weights_and_boxes_are_those_of_the_model(explorer, given):
    model, image = given["model"], given["image"]
    with torch.no_grad():
        found = model.eval()(pad_images([normalize_image(image)]), record_sampling=True)
    scores = found.logits[0].sigmoid().amax(-1)
    listed = scores.argsort(descending=True)[: int((scores > 0.3).sum())]
    wanted = [
        *found.sampling.encoder,
        *(SamplingRecord(*(part[:, listed] for part in record)) for record in found.sampling.decoder),
    ]
    assert explorer.attentions == ["encoder 0", "encoder 1", "decoder 0", "decoder 1", "decoder 2"]
    for packed, record in zip(explorer.scene["attentions"], wanted, strict=True):
        points, weights = points_and_weights(packed)
        truth = record.locations[0].flatten(1, 3).double().clamp(-2, 3)
        error = (points - truth).abs()
        assert error.max() < 0.006, packed["name"]  # at most a pixel of 128, for points far away
        assert error.mean() < 0.0008  # a tenth of a pixel
        assert_close(weights, record.weights[0].flatten(1).double(), atol=0.0021, rtol=0)
    layers = [*found.auxiliary, found]
    for packed, layer in zip(explorer.scene["attentions"][2:], layers, strict=True):
        assert_close(torch.tensor(packed["boxes"]), layer.boxes[0, listed], atol=6e-5, rtol=0)
        best, labels = layer.logits[0, listed].sigmoid().max(-1)
        assert_close(torch.tensor(packed["scores"]), best, atol=6e-5, rtol=0)
        assert packed["labels"] == [CLASSES[label] for label in labels.tolist()]


def test_the_enlarged_part_holds_all_boxes_of_its_detection(explorer):
    for query, (x, y, side) in enumerate(explorer.scene["windows"]):
        for packed in explorer.scene["attentions"][2:]:
            cx, cy, w, h = packed["boxes"][query]
            assert x <= cx - w / 2
            assert y <= cy - h / 2
            assert max(cx + w / 2 - x, cy + h / 2 - y) <= side


def test_another_picture_is_resized_and_looked_at_anew(explorer):
    explorer.attention, explorer.token, explorer.detection = "encoder 1", 339, 7
    before = explorer.scene
    torch.manual_seed(0)
    picture = torch.rand(3, 60, 100)
    explorer.image = picture
    assert explorer.scene["size"] == list(explorer.image.shape[1:]) == [128, 213]
    assert explorer.scene["spatialShapes"][0] == [16, 27]
    assert explorer.scene["photo"] != before["photo"]
    assert explorer.detection == 0
    assert explorer.token == 8 * 27 + 13
    assert explorer.attention == "encoder 1"
    assert len(explorer.scene["detections"]) >= 1  # the surest is listed, however unsure
    fresh = TrainedPointsExplorer(explorer._model, picture, CLASSES)
    assert fresh.scene == explorer.scene


def test_a_model_with_learned_queries_is_looked_at_too():
    torch.manual_seed(0)
    model = DeformableDETR(DeformableDETRConfig.shapes(two_stage=False, refine_boxes=False))
    explorer = TrainedPointsExplorer(model, torch.rand(3, 128, 128), CLASSES)
    assert [packed["referenceSize"] for packed in explorer.scene["attentions"]] == [2] * 5
    assert explorer.figure().axes


def test_the_model_stays_in_its_mode(given):
    given["model"].train()
    TrainedPointsExplorer(**given)
    assert given["model"].training
    assert not any(module._forward_hooks for module in given["model"].modules())
    given["model"].eval()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("attention", "decoder 3", "one of .'encoder 0', "),
        ("head", 4, "in -1 to 3"),
        ("level", -2, "in -1 to 3"),
        ("token", 340, "in 0 to 339"),
        ("detection", 8, "in 0 to 7"),
    ],
)
def test_a_state_that_is_none_is_refused(explorer, name, value, says):
    with pytest.raises(traitlets.TraitError, match=f"{name} must be {says}"):
        setattr(explorer, name, value)


def test_the_page_carries_the_picture_once_and_stays_small(explorer):
    html = explorer._repr_html_()
    assert html.count("data:image/webp") == 1
    assert len(html) < 250_000
    assert set(state_of(html)) == {"attention", "head", "level", "token", "detection", "scene"}
    assert TrainedPointsExplorer(**arguments())._repr_html_() == html


def test_with_a_kernel_it_is_a_widget_and_a_page(explorer, monkeypatch):
    monkeypatch.delenv("DETR_TUTORIAL_STATIC_WIDGETS", raising=False)
    data, _ = explorer._repr_mimebundle_()
    assert {"text/html", "application/vnd.jupyter.widget-view+json"} <= set(data)


def test_the_figure_shows_the_picture_and_its_enlarged_part(explorer):
    explorer.attention, explorer.head = "decoder 1", 2
    photo, enlarged = explorer.figure().axes
    assert len(photo.patches) == len(enlarged.patches) == 8 + 1  # the boxes and where the query started
    assert len(photo.collections) == 4 * 4
    explorer.attention = "encoder 0"
    photo, _ = explorer.figure().axes
    assert len(photo.patches) == 8
