"""How a new Deformable DETR of transformers differs from ours before any training."""

import pytest
import torch
from transformers import DeformableDetrConfig, DeformableDetrForObjectDetection

from detr_tutorial.deformable_detr import DeformableDETR, DeformableDETRConfig

CONFIG = DeformableDETRConfig.refined(
    d_model=64, num_heads=4, encoder_layers=1, decoder_layers=2, ffn_dim=96, num_classes=5, num_queries=70
)


@pytest.fixture(scope="module")
def theirs() -> DeformableDetrForObjectDetection:
    torch.manual_seed(0)
    config = DeformableDetrConfig(
        id2label={label: str(label) for label in range(5)},
        d_model=64,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=96,
        decoder_ffn_dim=96,
        num_queries=70,
        with_box_refine=True,
    )
    return DeformableDetrForObjectDetection(config)


@pytest.fixture(scope="module")
def ours() -> DeformableDETR:
    torch.manual_seed(0)
    return DeformableDETR(CONFIG)


def test_the_class_heads_of_transformers_start_without_a_prior_and_are_one_head(theirs, ours):
    assert theirs.class_embed[0].bias.sigmoid().mean().item() == pytest.approx(0.5)
    assert theirs.class_embed[0].weight is theirs.class_embed[1].weight
    first, second = ours.decoder.class_heads
    assert first.bias.sigmoid().mean().item() == pytest.approx(0.01)
    assert first.weight is not second.weight


def test_the_box_heads_of_transformers_do_not_start_at_the_reference(theirs, ours):
    assert theirs.bbox_embed[0].layers[-1].weight.any()
    assert not theirs.bbox_embed[0].layers[-1].bias.any()  # and no size of 0.119
    vectors = torch.randn(3, 7, 64)
    assert (ours.decoder.box_heads[0](vectors) == torch.tensor([0.0, 0, -2, -2])).all()


def test_the_object_queries_of_transformers_start_on_one_spot(theirs):
    positions = theirs.model.query_position_embeddings.weight[:, :64]
    references = theirs.model.reference_points(positions).sigmoid()
    assert (
        references.std() < 0.02
    )  # ours: 0.27, see test_reference_points_are_spread_over_the_image_at_the_start


def test_transformers_has_no_auxiliary_loss_and_less_dropout_unless_it_is_asked_for(theirs):
    config = theirs.config
    assert not config.auxiliary_loss
    assert (config.dropout, config.attention_dropout, config.activation_dropout) == (0.1, 0.0, 0.0)
