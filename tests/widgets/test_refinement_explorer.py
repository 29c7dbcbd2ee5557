"""The refinement explorer's Python half: runs, windows, errors, page and picture."""

import base64
import json
import re
from typing import Any

import numpy as np
import pytest
import torch
import traitlets
from matplotlib.figure import Figure
from torch.testing import assert_close

from detr_tutorial.checkpoints import load_pretrained
from detr_tutorial.data.shapes import CLASSES, ShapesDataset
from detr_tutorial.deformable_detr import DeformableDETR, DeformableDETRConfig
from detr_tutorial.padding import normalize_image, pad_images
from detr_tutorial.training import HELD_OUT_SEED
from detr_tutorial.widgets import RefinementExplorer


def arguments(**changes: Any) -> dict[str, Any]:
    image, target = ShapesDataset(64, seed=HELD_OUT_SEED)[35]
    model = load_pretrained("deformable_detr_shapes")
    return {"model": model, "image": image, "objects": target["boxes"], "names": CLASSES, **changes}


@pytest.fixture(scope="module")
def given() -> dict[str, Any]:
    return arguments()


@pytest.fixture
def explorer(given) -> RefinementExplorer:
    return RefinementExplorer(**given)


def state_of(html: str) -> dict:
    found = re.search(r'<script type="application/json">(.*?)</script>', html, re.S)
    assert found
    return json.loads(found[1])


def test_boxes_scores_and_points_are_those_of_the_model(explorer, given):
    with torch.no_grad():
        found = given["model"].eval()(pad_images([normalize_image(given["image"])]), record_sampling=True)
    scores = found.logits[0].sigmoid().amax(-1)
    shown = scores.argsort(descending=True)[:8]
    run = explorer.scene["starts"]["proposed"]
    for step, boxes in enumerate([*found.sampling.references, found.boxes]):
        assert_close(torch.tensor(run["boxes"][step]), boxes[0, shown], atol=6e-5, rtol=0)
    assert_close(torch.tensor(run["scores"][-1]), scores[shown], atol=6e-5, rtol=0)
    packed = np.frombuffer(base64.b64decode(run["locations"]["data"]), "<i2")
    wanted = torch.stack([record.locations[0, shown] for record in found.sampling.decoder])
    assert_close(torch.from_numpy(packed / 10000).float(), wanted.flatten(), atol=6e-5, rtol=0)
    packed = np.frombuffer(base64.b64decode(run["weights"]["data"]), "u1")
    wanted = torch.stack([record.weights[0, shown] for record in found.sampling.decoder])
    assert_close(torch.from_numpy(packed / 255).float(), wanted.flatten(), atol=0.002, rtol=0)


def test_a_pushed_start_lies_further_off_and_comes_nearer(explorer):
    proposed, pushed = (
        torch.tensor(explorer.scene["starts"][start]["overlaps"]).mean(1)
        for start in ("proposed", "pushed aside")
    )
    assert pushed[0] < proposed[0] - 0.1
    assert pushed[-1] > pushed[0] + 0.05


def test_without_a_push_both_starts_are_the_same(given):
    starts = RefinementExplorer(**{**given, "push": 0}).scene["starts"]
    assert starts["proposed"] == starts["pushed aside"]


def test_the_enlarged_part_holds_the_object_and_all_boxes_of_its_query(explorer):
    for query, (x, y, side) in enumerate(explorer.scene["windows"]):
        for run in explorer.scene["starts"].values():
            for step in run["boxes"]:
                cx, cy, w, h = step[query]
                assert x <= cx - w / 2
                assert cx + w / 2 <= x + side
                assert y <= cy - h / 2
                assert cy + h / 2 <= y + side


def test_the_model_stays_in_its_mode_and_the_random_state_as_it_was(given):
    given["model"].train()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    RefinementExplorer(**given)
    assert given["model"].training
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize(
    ("name", "value"), [("layer", 4), ("layer", -1), ("query", 8), ("start", "elsewhere"), ("start", "")]
)
def test_a_state_that_is_none_is_refused(explorer, name, value):
    with pytest.raises(traitlets.TraitError, match=f"{name} must be one of"):
        setattr(explorer, name, value)


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"image": torch.rand(3, 64, 64) + 2}, ValueError, "image must lie in"),
        ({"names": ["circle"]}, ValueError, "names"),
        ({"image": torch.full((3, 128, 128), 0.5)}, ValueError, "finds nothing"),
    ],
)
def test_bad_arguments_are_named(given, changes, error, says):
    with pytest.raises(error, match=says):
        RefinementExplorer(**{**given, **changes})


def test_a_model_with_learned_queries_is_refused(given):
    model = DeformableDETR(DeformableDETRConfig.shapes(two_stage=False))
    with pytest.raises(TypeError, match="two_stage=True"):
        RefinementExplorer(**{**given, "model": model})


def test_the_page_carries_the_picture_once_and_stays_small(explorer):
    html = explorer._repr_html_()
    assert html.count("data:image/webp") == 1
    assert len(html) < 100_000
    assert set(state_of(html)) == {"layer", "query", "start", "scene"}
    assert RefinementExplorer(**arguments())._repr_html_() == html


def test_with_a_kernel_it_is_a_widget_and_a_page(explorer, monkeypatch):
    monkeypatch.delenv("DETR_TUTORIAL_STATIC_WIDGETS", raising=False)
    data, _ = explorer._repr_mimebundle_()
    assert {"text/html", "application/vnd.jupyter.widget-view+json"} <= set(data)


def test_the_figure_shows_the_picture_and_its_enlarged_part(explorer):
    explorer.layer, explorer.start = 1, "pushed aside"
    figure = explorer.figure()
    assert isinstance(figure, Figure)
    photo, enlarged = figure.axes
    assert len(photo.patches) == 8 + 8
    assert len(enlarged.patches) == 8 + 2
    assert len(enlarged.collections) == 4 * 4 * 4
