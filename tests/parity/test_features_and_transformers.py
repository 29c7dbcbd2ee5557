"""From padded batch to flattened tokens, against what transformers' model hands to its encoder."""

import pytest
import torch
from torch.testing import assert_close
from transformers import DeformableDetrConfig, DeformableDetrModel, ResNetConfig

from detr_tutorial.features import FeatureProjection, flatten_levels
from detr_tutorial.padding import pad_images, resize_mask
from detr_tutorial.position import SinePositionEncoding

D_MODEL = 64
SIZES = [(165, 120), (131, 197)]


@pytest.fixture(scope="module", params=[4, 5], ids=["4 levels", "5 levels"])
def model(request) -> DeformableDetrModel:
    torch.manual_seed(0)
    backbone = ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 12, 20, 28],
        depths=[1, 1, 1, 1],
        layer_type="basic",
    )
    backbone.out_features = ["stage2", "stage3", "stage4"]
    config = DeformableDetrConfig(
        backbone_config=backbone,
        d_model=D_MODEL,
        num_feature_levels=request.param,
        encoder_layers=1,
        decoder_layers=1,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_queries=5,
    )
    model = DeformableDetrModel(config).eval()
    torch.nn.init.normal_(model.level_embed)
    return model


def test_tokens_positions_mask_shapes_and_ratios_are_those_of_transformers(model):
    generator = torch.Generator().manual_seed(0)
    batch = pad_images([torch.randn(3, *size, generator=generator) for size in SIZES])
    seen = {}
    model.encoder.register_forward_pre_hook(lambda _, args, kwargs: seen.update(kwargs), with_kwargs=True)
    maps = []
    model.backbone.register_forward_hook(lambda _, args, output: maps.extend(f for f, _ in output))
    with torch.no_grad():
        model(batch.pixels, pixel_mask=(~batch.mask).long())  # their mask is 1 where a pixel is valid

    num_levels = len(model.level_embed)
    projection = FeatureProjection((12, 20, 28), D_MODEL, num_levels)
    renamed = {f"projections.{name}": value for name, value in model.input_proj.state_dict().items()}
    projection.load_state_dict(renamed)
    with torch.no_grad():
        levels = projection(maps)
        masks = [resize_mask(batch.mask, (level.shape[2], level.shape[3])) for level in levels]
        encode = SinePositionEncoding(D_MODEL // 2)
        flattened = flatten_levels(levels, [encode(mask) for mask in masks], masks, model.level_embed)

    assert_close(flattened.tokens, seen["inputs_embeds"], atol=1e-5, rtol=0)
    assert torch.equal(flattened.mask, ~seen["attention_mask"])
    valid = ~flattened.mask
    assert_close(flattened.positions[valid], seen["spatial_position_embeddings"][valid], atol=1e-5, rtol=0)
    assert [list(shape) for shape in flattened.spatial_shapes] == seen["spatial_shapes"].tolist()
    assert_close(flattened.valid_ratios, seen["valid_ratios"])
    assert flattened.valid_ratios.min() < 0.8
