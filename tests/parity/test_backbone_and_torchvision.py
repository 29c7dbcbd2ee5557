"""ResNet-50 with frozen statistics against torchvision's own in evaluation mode."""

import pytest
import torch
import torchvision
from torch.testing import assert_close
from torchvision.models.feature_extraction import create_feature_extractor

from detr_tutorial.backbone import ResNet50Backbone
from detr_tutorial.padding import pad_images


@pytest.mark.parametrize("dilated", [False, True])
def test_features_are_those_of_torchvision_with_random_weights_and_statistics(monkeypatch, dilated):
    torch.manual_seed(0)
    reference = torchvision.models.resnet50(
        weights=None, replace_stride_with_dilation=[False, False, dilated]
    ).eval()
    for module in reference.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(2, 4)
            torch.nn.init.uniform_(module.weight, 0.5, 1)
            torch.nn.init.normal_(module.bias, std=0.1)
    stand_in = reference.state_dict()
    monkeypatch.setattr(torchvision.models.ResNet50_Weights, "get_state_dict", lambda *_, **__: stand_in)
    backbone = ResNet50Backbone(weights="IMAGENET1K_V1", dilated=dilated)

    batch = pad_images([torch.randn(3, 75, 64), torch.randn(3, 64, 98)])
    extractor = create_feature_extractor(reference, ["layer2", "layer3", "layer4"])
    with torch.no_grad():
        expected, found = list(extractor(batch.pixels).values()), backbone(batch).features
    for ours, theirs in zip(found, expected, strict=True):
        assert theirs.std() > 0.01
        assert_close(ours, theirs, atol=1e-4 * theirs.abs().max().item(), rtol=0)
