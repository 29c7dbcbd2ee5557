"""Backbones: sizes, masks, what is frozen, and what padding does."""

# pyright: reportAttributeAccessIssue=false

import pytest
import torch
import torchvision
from torch.testing import assert_close

from detr_tutorial.backbone import ResNet50Backbone, SmallBackbone
from detr_tutorial.padding import PaddedBatch, pad_images, resize_mask


def batch_of(*sizes: tuple[int, int]) -> PaddedBatch:
    generator = torch.Generator().manual_seed(0)
    return pad_images([torch.randn(3, height, width, generator=generator) for height, width in sizes])


@pytest.fixture(scope="module")
def resnet() -> ResNet50Backbone:
    torch.manual_seed(0)
    return ResNet50Backbone()


def test_the_published_parameter_counts(resnet):
    trained = sum(p.numel() for p in resnet.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in resnet.parameters() if not p.requires_grad)
    assert (trained, frozen) == (23_232_512, 222_400)


def test_stem_and_first_stage_are_frozen_and_the_rest_is_not(resnet):
    for name, parameter in resnet.named_parameters():
        assert parameter.requires_grad == name.startswith(("layer2", "layer3", "layer4")), name


def test_batch_norm_is_frozen_with_the_published_eps(resnet):
    norms = [module for module in resnet.modules() if "BatchNorm" in type(module).__name__]
    assert len(norms) == 53
    assert all(isinstance(norm, torchvision.ops.FrozenBatchNorm2d) and norm.eps == 1e-5 for norm in norms)
    assert not any("bn" in name or "downsample.1" in name for name, _ in resnet.named_parameters())


def test_training_mode_does_not_move_the_statistics(resnet):
    before = {name: buffer.clone() for name, buffer in resnet.named_buffers()}
    resnet.train()
    resnet(batch_of((40, 64)))
    assert all(torch.equal(buffer, before[name]) for name, buffer in resnet.named_buffers())


def test_the_names_are_those_of_the_published_checkpoints(resnet):
    original = torchvision.models.resnet50(weights=None).state_dict()
    expected = {name for name in original if not name.startswith("fc.") and "num_batches" not in name}
    assert set(resnet.state_dict()) == expected


def test_a_batch_of_765_by_911_pixels_gives_24_by_29_cells():
    with torch.device("meta"):
        backbone = ResNet50Backbone()
    pixels = torch.zeros(2, 3, 765, 911, device="meta")
    mask = pad_images([torch.zeros(3, 765, 512), torch.zeros(3, 608, 911)]).mask
    features, masks = backbone(PaddedBatch(pixels, mask))
    assert [tuple(f.shape) for f in features] == [(2, 512, 96, 114), (2, 1024, 48, 57), (2, 2048, 24, 29)]
    assert [tuple(m.shape) for m in masks] == [(2, 96, 114), (2, 48, 57), (2, 24, 29)]


def test_dilation_keeps_the_last_map_at_stride_16():
    backbone = ResNet50Backbone(dilated=True)
    features, masks = backbone(batch_of((64, 96)))
    assert [tuple(f.shape) for f in features] == [(1, 512, 8, 12), (1, 1024, 4, 6), (1, 2048, 4, 6)]
    assert [tuple(m.shape) for m in masks] == [(1, 8, 12), (1, 4, 6), (1, 4, 6)]
    assert backbone.strides == (8, 16, 16)
    assert [block.conv2.stride for block in backbone.layer4] == [(1, 1)] * 3
    assert [block.conv2.dilation for block in backbone.layer4] == [(1, 1), (2, 2), (2, 2)]


def test_levels_can_be_chosen(resnet):
    backbone = ResNet50Backbone(levels=(4, 5))
    assert (backbone.channels, backbone.strides) == ((1024, 2048), (16, 32))
    assert len(backbone(batch_of((32, 64))).features) == 2
    assert (resnet.channels, resnet.strides) == ((512, 1024, 2048), (8, 16, 32))


def test_gradients_reach_the_trained_stages_only(resnet):
    for feature in resnet(batch_of((32, 64))).features:
        feature.square().mean().backward(retain_graph=True)
    for name, parameter in resnet.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    resnet.zero_grad()


@pytest.mark.parametrize("size", [(1, 1), (31, 33), (64, 96), (65, 1), (132, 164)])
def test_the_small_backbone_has_strides_8_16_32(size):
    backbone = SmallBackbone()
    features, masks = backbone(batch_of(size, (size[0], size[1] + 5)))
    for feature, mask, stride, channels in zip(features, masks, (8, 16, 32), (32, 64, 128), strict=True):
        cells = (-(-size[0] // stride), -(-(size[1] + 5) // stride))
        assert feature.shape == (2, channels, *cells)
        assert mask.shape == (2, *cells)


def test_the_small_backbone_is_small():
    assert sum(p.numel() for p in SmallBackbone().parameters()) < 500_000


@pytest.mark.parametrize("backbone", [SmallBackbone(), ResNet50Backbone()], ids=["small", "resnet"])
def test_masks_are_the_resized_mask_of_the_batch(backbone):
    batch = batch_of((70, 40), (50, 90))
    features, masks = backbone(batch)
    for feature, mask in zip(features, masks, strict=True):
        assert torch.equal(mask, resize_mask(batch.mask, (feature.shape[2], feature.shape[3])))


def test_group_norm_sees_the_padding_so_a_neighbor_in_the_batch_changes_the_features():
    """Not a mistake to repair but one to know: the published model's neck has the same property."""
    torch.manual_seed(0)
    backbone = SmallBackbone().eval()
    alone, wide = batch_of((64, 64)), batch_of((64, 64), (64, 192))
    a, b = backbone(alone).features[0][0], backbone(wide).features[0][0]
    assert (a[:, :8, :4] - b[:, :8, :4]).abs().max() > 0.05


def test_frozen_batch_norm_does_not_see_the_padding_and_only_cells_near_the_border_change(resnet):
    resnet.eval()
    with torch.no_grad():
        alone = resnet(batch_of((64, 224))).features[0][0]
        # the same image, with 160 more columns of padding
        wide = resnet(batch_of((64, 224), (64, 384))).features[0][0]
    assert_close(alone[:, :, :16], wide[:, :, :16], atol=1e-3, rtol=1e-4)


def test_nothing_in_the_batch_is_changed():
    batch = batch_of((33, 47), (20, 60))
    pixels, mask = batch.pixels.clone(), batch.mask.clone()
    SmallBackbone()(batch)
    assert torch.equal(batch.pixels, pixels)
    assert torch.equal(batch.mask, mask)


def test_imagenet_weights_are_used_when_they_can_be_had(monkeypatch):
    stand_in = torchvision.models.resnet50(weights=None).state_dict()
    monkeypatch.setattr(
        torchvision.models.ResNet50_Weights, "get_state_dict", lambda self, *args, **kwargs: stand_in
    )
    backbone = ResNet50Backbone(weights="IMAGENET1K_V1")
    assert torch.equal(backbone.state_dict()["layer4.2.conv3.weight"], stand_in["layer4.2.conv3.weight"])
    assert not backbone.conv1.weight.requires_grad
