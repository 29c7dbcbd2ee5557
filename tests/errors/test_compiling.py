"""Compiling works where the runtime shape checks, which the compiler cannot follow, are off."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from detr_tutorial.deformable_attention import MSDeformAttn
from detr_tutorial.deformable_detr import DeformableDETR, DeformableDETRConfig
from detr_tutorial.detr import DETR, DETRConfig
from detr_tutorial.padding import PaddedBatch, pad_images

pytestmark = pytest.mark.skipif(
    torch.__version__.startswith("2.7."), reason="the compiler of PyTorch 2.7 does not know zip(strict=True)"
)
NAMES = ["refined", "two_stage_refined", "detr"]
SIZES: dict[str, Any] = {"d_model": 32, "num_heads": 4, "num_queries": 7, "num_classes": 5, "ffn_dim": 48}


def small(variant: str) -> nn.Module:
    torch.manual_seed(0)
    config = getattr(DeformableDETRConfig, variant)(
        backbone="small", encoder_layers=2, decoder_layers=2, num_points=3, **SIZES
    )
    return DeformableDETR(config).eval()


def small_detr() -> nn.Module:
    torch.manual_seed(0)
    return DETR(DETRConfig(backbone="small", encoder_layers=2, decoder_layers=2, **SIZES)).eval()


def two_images(flipped: bool = False) -> PaddedBatch:
    generator = torch.Generator().manual_seed(int(flipped))
    images = [torch.randn(3, *size, generator=generator) for size in ((96, 128), (128, 64))]
    return pad_images(images[::-1] if flipped else images)


def test_the_attention_layer_compiles_without_a_graph_break_and_gives_the_same_numbers():
    layer = MSDeformAttn(d_model=32, num_levels=2, num_heads=4, num_points=3)
    arguments = (torch.randn(2, 7, 32), torch.rand(2, 7, 2, 2), torch.randn(2, 30, 32), ((6, 4), (3, 2)))
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    assert_close(compiled(*arguments)[0], layer(*arguments)[0])


@pytest.mark.parametrize("model", [small("refined"), small("two_stage_refined"), small_detr()], ids=NAMES)
def test_a_whole_detector_compiles_without_a_graph_break_and_gives_the_same_numbers(model):
    batch = two_images()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    answer, expected = compiled(batch), model(batch)
    assert_close(answer.logits, expected.logits, atol=1e-5, rtol=0)
    assert_close(answer.boxes, expected.boxes, atol=1e-5, rtol=0)


@pytest.mark.parametrize("model", [small("refined"), small("two_stage_refined"), small_detr()], ids=NAMES)
def test_an_exported_detector_gives_the_same_numbers_also_for_other_images_and_masks(model):
    exported = torch.export.export(model, (two_images(),)).module()
    for batch in (two_images(), two_images(flipped=True)):
        answer, expected = exported(batch), model(batch)
        assert_close(answer.logits, expected.logits, atol=1e-5, rtol=0)
        assert_close(answer.boxes, expected.boxes, atol=1e-5, rtol=0)


class PlainTensors(nn.Module):
    """What people export: tensors in, tensors out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        detections = self.model(PaddedBatch(pixels, mask))
        return detections.logits, detections.boxes


def test_the_model_for_shapes_can_be_exported_saved_and_loaded(tmp_path):
    model = PlainTensors(DeformableDETR(DeformableDETRConfig.shapes())).eval()
    batch = pad_images([torch.randn(3, 128, 128), torch.randn(3, 96, 128)])
    torch.export.save(torch.export.export(model, tuple(batch)), tmp_path / "shapes.pt2")
    loaded = torch.export.load(tmp_path / "shapes.pt2").module()
    for answer, expected in zip(loaded(*batch), model(*batch), strict=True):
        assert_close(answer, expected, atol=1e-5, rtol=0)
