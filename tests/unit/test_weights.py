"""The weights in the package do what their model cards say."""

import json

import pytest
import torch

from detr_tutorial.checkpoints import SHIPPED, load_pretrained
from detr_tutorial.data.shapes import ShapesDataset
from detr_tutorial.deformable_detr import DeformableDETRConfig
from detr_tutorial.detr import DETRConfig
from detr_tutorial.evaluation import evaluate

CONFIGS = {"deformable_detr_shapes": DeformableDETRConfig.shapes(), "detr_shapes": DETRConfig.shapes()}
BARS = {"deformable_detr_shapes": {"AP": 0.72, "AP50": 0.92, "APs": 0.50}, "detr_shapes": {}}


def facts_of(name: str) -> dict:
    return json.loads((SHIPPED / f"{name}.json").read_text(encoding="utf-8"))


def test_the_package_holds_these_weights_and_no_others():
    assert sorted(path.stem for path in SHIPPED.glob("*.safetensors")) == sorted(CONFIGS)


@pytest.mark.parametrize("name", CONFIGS)
def test_shipped_weights_are_small_and_have_a_name(name):
    assert (SHIPPED / f"{name}.safetensors").stat().st_size <= 10_000_000
    model = load_pretrained(name)
    assert model.config == CONFIGS[name]
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            model.parameters(), load_pretrained(SHIPPED / f"{name}.safetensors").parameters(), strict=True
        )
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_the_model_card_tells_what_was_measured(name):
    facts, card = facts_of(name), (SHIPPED / f"{name}.md").read_text(encoding="utf-8")
    assert facts["command"] in card
    for score, value in facts["metrics"].items():
        assert f"| {score} | {value:.3f} |" in card
    assert facts["images"] == facts["steps"] * facts["batch_size"]


@pytest.mark.parametrize("name", CONFIGS)
def test_shipped_weights_are_as_good_as_the_card_says(name):
    facts = facts_of(name)
    assert facts["held_out_images"] == 1000
    metrics = evaluate(load_pretrained(name), ShapesDataset(1000, facts["held_out_seed"]), 16)
    for score, value in facts["metrics"].items():
        assert metrics[score] == pytest.approx(value, abs=2e-3)
    for score, bar in BARS[name].items():
        assert metrics[score] >= bar
