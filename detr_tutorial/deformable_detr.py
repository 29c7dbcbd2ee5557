"""Deformable DETR, put together: backbone, levels, encoder, object queries, decoder.

Taught in notebooks/13_encoder.ipynb to notebooks/16_two_stage.ipynb, piece by piece.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from detr_tutorial._validation import require_int
from detr_tutorial.decoder import DeformableDecoder
from detr_tutorial.deformable_attention import MSDeformAttn
from detr_tutorial.detections import DeformableRecords, Detections
from detr_tutorial.detr import (
    encode_positions,
    make_backbone,
    require_flags,
    require_sizes,
    start_with_prior,
)
from detr_tutorial.encoder import DeformableEncoder
from detr_tutorial.features import NUM_GROUPS, FeatureProjection, FlattenedFeatures, flatten_levels
from detr_tutorial.inference import predict
from detr_tutorial.padding import PaddedBatch, resize_mask
from detr_tutorial.position import SinePositionEncoding
from detr_tutorial.refinement import SIZE_BIAS, BoxHead
from detr_tutorial.two_stage import ProposalStage


@dataclass(frozen=True)
class DeformableDETRConfig:
    """The sizes of a Deformable DETR; the defaults are the published base model with ResNet-50.

    Args:
        backbone: "resnet50" or "small".
        backbone_weights: "IMAGENET1K_V1" downloads ImageNet weights for "resnet50"; None starts at random.
        small_channels: channels of the three maps of the "small" backbone.
        dilated: keep the last map at stride 16 instead of 32 (DC5).
        num_classes: classes, one sigmoid each, no background class. COCO's ids end at 90, so 91.
        num_queries: object queries N_q.
        d_model: channels C of a token; divisible by 32 and by num_heads.
        num_heads: attention heads M.
        num_levels: levels L: 1 uses the last map alone; 4 uses three maps and an extra one of stride 64.
        num_points: sampling points K per head and level.
        encoder_layers: encoder layers.
        decoder_layers: decoder layers.
        ffn_dim: hidden channels of the feed-forward networks.
        dropout: probability in [0, 1).
        refine_boxes: each decoder layer corrects the boxes of the one before.
        two_stage: object queries come from proposals of the encoder; needs refine_boxes.
        short_side: `predict` resizes an image to this shorter side, in pixels.
        max_side: `predict` keeps the longer side within this, in pixels.
    Raises:
        TypeError, ValueError: if a value is of another type or outside its range.
    Source: Deformable DETR (arXiv 2010.04159), appendix A.2 and the official `main.py`; taught in
    notebooks/13_encoder.ipynb.
    """

    backbone: Literal["resnet50", "small"] = "resnet50"
    backbone_weights: Literal["IMAGENET1K_V1"] | None = None
    small_channels: tuple[int, int, int] = (64, 128, 192)
    dilated: bool = False
    num_classes: int = 91
    num_queries: int = 300
    d_model: int = 256
    num_heads: int = 8
    num_levels: int = 4
    num_points: int = 4
    encoder_layers: int = 6
    decoder_layers: int = 6
    ffn_dim: int = 1024
    dropout: float = 0.1
    refine_boxes: bool = False
    two_stage: bool = False
    short_side: int = 800
    max_side: int = 1333

    def __post_init__(self) -> None:
        require_sizes(self, divisor=NUM_GROUPS)
        require_int("num_points", self.num_points)
        require_flags(self, ("refine_boxes", "two_stage", "dilated"))
        if require_int("num_levels", self.num_levels) == 2:
            raise ValueError("num_levels must be 1 (the last map alone) or at least 3 (all maps), got 2")
        if self.two_stage and not self.refine_boxes:
            raise ValueError("two_stage=True needs refine_boxes=True: every stage has its own heads")

    @classmethod
    def base(cls, **changes: Any) -> "DeformableDETRConfig":
        """Give the published Deformable DETR (44.5 AP on COCO by the official README).

        Args:
            changes: fields to set otherwise.
        Source: Deformable DETR (arXiv 2010.04159), table 1; taught in notebooks/14_decoder.ipynb.
        """
        return cls(**changes)

    @classmethod
    def refined(cls, **changes: Any) -> "DeformableDETRConfig":
        """Give the model with iterative bounding box refinement (46.2 AP).

        Args:
            changes: fields to set otherwise.
        Source: Deformable DETR (arXiv 2010.04159), section 4.3; taught in
        notebooks/15_box_refinement.ipynb.
        """
        return cls(**{"refine_boxes": True, **changes})

    @classmethod
    def two_stage_refined(cls, **changes: Any) -> "DeformableDETRConfig":
        """Give the two-stage model with refinement (46.9 AP).

        Args:
            changes: fields to set otherwise.
        Source: Deformable DETR (arXiv 2010.04159), section 4.3; taught in notebooks/16_two_stage.ipynb.
        """
        return cls(**{"refine_boxes": True, "two_stage": True, **changes})

    @classmethod
    def single_scale(cls, **changes: Any) -> "DeformableDETRConfig":
        """Give the model on the last map alone, stride 32 (39.4 AP).

        Args:
            changes: fields to set otherwise.
        Source: the official README; taught in notebooks/06_cost_of_dense_attention.ipynb.
        """
        return cls(**{"num_levels": 1, **changes})

    @classmethod
    def single_scale_dc5(cls, **changes: Any) -> "DeformableDETRConfig":
        """Give the model on the last map alone, stride 16 by dilation (41.5 AP).

        Args:
            changes: fields to set otherwise.
        Source: the official README; taught in notebooks/06_cost_of_dense_attention.ipynb.
        """
        return cls(**{"num_levels": 1, "dilated": True, **changes})

    @classmethod
    def shapes(cls, **changes: Any) -> "DeformableDETRConfig":
        """Give a small two-stage model for 128 x 128 images of shapes that trains in minutes on a laptop.

        Args:
            changes: fields to set otherwise.
        Source: ours; taught in notebooks/18_training.ipynb.
        """
        small: dict[str, Any] = {
            "backbone": "small",
            "small_channels": (96, 160, 192),
            "num_classes": 6,
            "num_queries": 30,
            "d_model": 128,
            "num_heads": 4,  # 32 channels a head, as in the published models
            "encoder_layers": 2,
            "decoder_layers": 3,
            "ffn_dim": 256,
            "dropout": 0.0,
            "refine_boxes": True,
            "two_stage": True,
            "short_side": 128,
            "max_side": 256,
        }
        return cls(**{**small, **changes})


class DeformableDETR(nn.Module):
    """Detection as set prediction with deformable attention.

    Args:
        config: the sizes.
    Raises:
        TypeError: if `config` is not a DeformableDETRConfig.
        RuntimeError: if ImageNet weights are asked for and can not be had.
    Source: Deformable DETR (arXiv 2010.04159); taught in notebooks/14_decoder.ipynb.
    """

    def __init__(self, config: DeformableDETRConfig) -> None:
        super().__init__()
        value: Any = config
        if not isinstance(value, DeformableDETRConfig):
            raise TypeError(f"config must be a DeformableDETRConfig, got {type(value).__name__}")
        self.config = config
        self.backbone = make_backbone(config, levels=(5,) if config.num_levels == 1 else (3, 4, 5))
        self.projection = FeatureProjection(self.backbone.channels, config.d_model, config.num_levels)
        self.position_encoding = SinePositionEncoding(config.d_model // 2)
        self.level_embedding = nn.Parameter(torch.randn(config.num_levels, config.d_model))
        sizes = (config.d_model, config.num_levels, config.num_heads, config.num_points)
        sizes = (*sizes, config.ffn_dim, config.dropout)
        self.encoder = DeformableEncoder(config.encoder_layers, *sizes)
        self.decoder = DeformableDecoder(
            config.decoder_layers, *sizes, config.num_classes, config.refine_boxes
        )
        if config.two_stage:
            self.proposal_stage = ProposalStage(config.d_model, config.num_queries, config.num_classes)
        else:
            # One learned vector a query: the first half says where, the second half what. Normal, N(0, 1):
            # smaller vectors would put all reference points into the middle of the image.
            self.query_embedding = nn.Embedding(config.num_queries, 2 * config.d_model)
            self.reference_points = nn.Linear(config.d_model, 2)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Set the official start of everything between the projections and the answers.

        Xavier-uniform matrices, except where that would undo a start on purpose: the star of sampling
        offsets, the class prior, and boxes that begin at their references.

        Source: the official `DeformableTransformer._reset_parameters` and `DeformableDETR.__init__`; taught
        in notebooks/14_decoder.ipynb and notebooks/15_box_refinement.ipynb.
        """
        spread = [*self.encoder.parameters(), *self.decoder.layers.parameters()]
        class_heads, box_heads = list(self.decoder.class_heads), list(self.decoder.box_heads)
        if self.config.two_stage:
            stage = self.proposal_stage
            spread += [*stage.memory_projection.parameters(), *stage.query_projection.parameters()]
            class_heads.append(stage.class_head)
            box_heads.append(stage.box_head)
        else:
            spread += self.reference_points.parameters()
            nn.init.zeros_(self.reference_points.bias)
        for parameter in spread:
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        for module in self.modules():
            if isinstance(module, MSDeformAttn):
                module.reset_parameters()  # after the loop above, which would destroy the star
        for index, (class_head, box_head) in enumerate(zip(class_heads, box_heads, strict=True)):
            assert isinstance(class_head, nn.Linear)
            assert isinstance(box_head, BoxHead)
            class_head.load_state_dict(class_heads[0].state_dict())  # all heads start alike
            box_head.load_state_dict(box_heads[0].state_dict())
            start_with_prior(class_head)
            # Only the first box comes from a point. All later ones come from a box, and keep its size.
            from_point = index == 0 and not self.config.two_stage
            box_head.start_at_reference(SIZE_BIAS if from_point else 0.0)

    def flatten(self, batch: PaddedBatch) -> FlattenedFeatures:
        """Run everything before the encoder.

        Args:
            batch: normalized images and their padding mask.
        Returns:
            Tokens of all levels.
        Raises:
            TypeError, ValueError: if `batch` is not a PaddedBatch of matching pixels and mask.
        Source: Deformable DETR (arXiv 2010.04159), appendix A.2; taught in
        notebooks/08_feature_flattening.ipynb.
        """
        features, masks = self.backbone(batch)
        maps = self.projection(features)
        extra = [resize_mask(batch.mask, (m.shape[2], m.shape[3])) for m in maps[len(masks) :]]
        masks = [*masks, *extra]
        positions = encode_positions(self.position_encoding, masks, maps[0].dtype)
        return flatten_levels(maps, positions, masks, self.level_embedding)

    def forward(self, batch: PaddedBatch, record_sampling: bool = False) -> Detections:
        """Detect.

        Args:
            batch: normalized images and their padding mask.
            record_sampling: also return where every attention looked, as `DeformableRecords`.
        Returns:
            Detections of every decoder layer, and of the first stage where there is one.
        Raises:
            TypeError, ValueError: if `batch` is not a PaddedBatch of matching pixels and mask.
        """
        flattened = self.flatten(batch)
        memory, encoder_records = self.encoder(flattened, record_sampling)
        proposals = None
        if self.config.two_stage:
            queries, query_positions, references, proposals = self.proposal_stage(memory, flattened)
        else:
            halves = rearrange(self.query_embedding.weight, "Q (two C) -> two Q C", two=2)
            query_positions, queries = repeat(halves, "two Q C -> two B Q C", B=len(memory))
            references = self.reference_points(query_positions).sigmoid()
        layers, records, starts = self.decoder(
            queries, query_positions, references, memory, flattened, record_sampling
        )
        return Detections(
            *layers[-1],
            auxiliary=layers[:-1],
            encoder=proposals,
            sampling=DeformableRecords(encoder_records, records, starts) if record_sampling else None,
        )

    def predict(
        self, images: Sequence[Float[Tensor, "3 _ _"]], threshold: float = 0.5
    ) -> list[dict[str, Tensor]]:
        """Find the objects in images of any size; see `inference.predict`."""
        return predict(self, images, threshold)
