"""Bad arguments of the trained points explorer: one line that names the argument."""

# pyright: reportArgumentType=false

import pytest
import torch

from detr_tutorial.checkpoints import load_pretrained
from detr_tutorial.data.shapes import CLASSES
from detr_tutorial.detr import DETR, DETRConfig
from detr_tutorial.widgets import TrainedPointsExplorer

IMAGE = torch.full((3, 128, 128), 0.5)
BAD_IMAGES = [
    (torch.zeros(1, 128, 128), ValueError, r"image must have shape \(3, H, W\)"),
    (torch.zeros(3, 8, 9, dtype=torch.uint8), TypeError, "image must be floating point .*divide it by 255"),
    (torch.full((3, 8, 9), 1.5), ValueError, r"image must lie in \[0, 1\], got values in \[1.5, 1.5\]"),
    (torch.full((3, 8, 9), torch.nan), ValueError, "image must be finite"),
    ("cat.jpg", TypeError, "image must be a tensor .* got str"),
]


@pytest.fixture(scope="module")
def model():
    return load_pretrained("deformable_detr_shapes")


@pytest.mark.parametrize(("image", "error", "words"), BAD_IMAGES)
def test_a_bad_image_is_refused_and_the_one_before_stays(model, image, error, words):
    with pytest.raises(error, match=words):
        TrainedPointsExplorer(model, image, CLASSES)
    explorer = TrainedPointsExplorer(model, IMAGE, CLASSES)
    scene = explorer.scene
    with pytest.raises(error, match=words):
        explorer.image = image
    assert explorer.scene == scene
    assert torch.equal(explorer.image, IMAGE)


def test_a_model_without_deformable_attention_is_refused():
    with pytest.raises(TypeError, match="model must be a DeformableDETR, got DETR"):
        TrainedPointsExplorer(DETR(DETRConfig.shapes()), IMAGE, CLASSES)


def test_a_name_for_every_class_is_asked_for(model):
    with pytest.raises(ValueError, match="names must hold at least 6"):
        TrainedPointsExplorer(model, IMAGE, CLASSES[:5])
