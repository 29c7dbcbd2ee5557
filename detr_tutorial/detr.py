"""DETR, the dense baseline: every token looks at every token, every query at every token.

A backbone map becomes a list of tokens, an encoder mixes them, a decoder asks them N_q learned questions, two
heads turn each answer into a class and a box. Taught in notebooks/05_detr.ipynb.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn

from detr_tutorial._validation import (
    require_divisible,
    require_int,
    require_list,
    require_number,
)
from detr_tutorial.backbone import ResNet50Backbone, SmallBackbone
from detr_tutorial.detections import DenseRecords, Detections, LayerDetections
from detr_tutorial.inference import predict
from detr_tutorial.padding import PaddedBatch
from detr_tutorial.position import SinePositionEncoding
from detr_tutorial.refinement import BoxHead

PRIOR_PROBABILITY = 0.01  # what every sigmoid class says at the start


@dataclass(frozen=True)
class DETRConfig:
    """The sizes of a DETR; the defaults are the published DETR with ResNet-50.

    Args:
        backbone: "resnet50" or "small".
        backbone_weights: "IMAGENET1K_V1" downloads ImageNet weights for "resnet50"; None starts at random.
        small_channels: channels of the three maps of the "small" backbone.
        dilated: keep the last map at stride 16 instead of 32 (DC5).
        num_classes: classes, without the background class. COCO's ids end at 90, so 91.
        background_class: True: one more class says "no object", and the classes share a softmax (DETR);
            False: one sigmoid a class (as Deformable DETR has it).
        num_queries: object queries N_q.
        d_model: channels C of a token; divisible by 4 and by num_heads.
        num_heads: attention heads M.
        encoder_layers: encoder layers.
        decoder_layers: decoder layers.
        ffn_dim: hidden channels of the feed-forward networks.
        dropout: probability in [0, 1).
        pre_norm: normalize before each sublayer instead of after it (not the published models).
        position_offset: offset of the sine encoding; 0 in DETR.
        short_side: `predict` resizes an image to this shorter side, in pixels.
        max_side: `predict` keeps the longer side within this, in pixels.
    Raises:
        TypeError, ValueError: if a value is of another type or outside its range.
    Source: DETR (arXiv 2005.12872), section 4 and the official `main.py`; taught in notebooks/05_detr.ipynb.
    """

    backbone: Literal["resnet50", "small"] = "resnet50"
    backbone_weights: Literal["IMAGENET1K_V1"] | None = None
    small_channels: tuple[int, int, int] = (64, 128, 192)
    dilated: bool = False
    num_classes: int = 91
    background_class: bool = True
    num_queries: int = 100
    d_model: int = 256
    num_heads: int = 8
    encoder_layers: int = 6
    decoder_layers: int = 6
    ffn_dim: int = 2048
    dropout: float = 0.1
    pre_norm: bool = False
    position_offset: float = 0.0
    short_side: int = 800
    max_side: int = 1333

    def __post_init__(self) -> None:
        require_sizes(self, divisor=4)
        require_flags(self, ("background_class", "pre_norm", "dilated"))
        require_number("position_offset", self.position_offset)

    @classmethod
    def shapes(cls, **changes: Any) -> "DETRConfig":
        """Give a small DETR for 128 x 128 images of shapes, the counterpart of `DeformableDETRConfig.shapes`.

        Its one map has stride 16: the published 32 would leave 16 tokens.

        Args:
            changes: fields to set otherwise.
        Source: ours; taught in notebooks/18_training.ipynb.
        """
        small: dict[str, Any] = {
            "backbone": "small",
            "small_channels": (96, 160, 192),
            "dilated": True,
            "num_classes": 6,
            "background_class": False,
            "num_queries": 30,
            "d_model": 128,
            "num_heads": 4,
            "encoder_layers": 2,
            "decoder_layers": 3,
            "ffn_dim": 256,
            "dropout": 0.0,
            "position_offset": -0.5,
            "short_side": 128,
            "max_side": 256,
        }
        return cls(**{**small, **changes})


class FeedForward(nn.Module):
    """Two linear layers that treat every token alone.

    Args:
        d_model: channels C of a token.
        ffn_dim: hidden channels.
        dropout: probability between the layers.
    Source: Attention Is All You Need (arXiv 1706.03762), section 3.3; taught in notebooks/05_detr.ipynb.
    """

    def __init__(self, d_model: int, ffn_dim: int, dropout: float) -> None:
        super().__init__()
        self.expand = nn.Linear(d_model, ffn_dim)
        self.dropout = nn.Dropout(dropout)
        self.contract = nn.Linear(ffn_dim, d_model)

    def forward(self, tokens: Float[Tensor, "B N C"]) -> Float[Tensor, "B N C"]:
        """Transform every token by itself."""
        return self.contract(self.dropout(torch.relu(self.expand(tokens))))


class EncoderLayer(nn.Module):
    """Tokens look at all tokens, then each is transformed by itself.

    Args:
        config: of the DETR it belongs to.
    Source: DETR (arXiv 2005.12872), appendix A.3; taught in notebooks/05_detr.ipynb.
    """

    def __init__(self, config: DETRConfig) -> None:
        super().__init__()
        self.pre_norm = config.pre_norm
        self.self_attention = _attention(config)
        self.self_attention_norm = nn.LayerNorm(config.d_model)
        self.ffn = FeedForward(config.d_model, config.ffn_dim, config.dropout)
        self.ffn_norm = nn.LayerNorm(config.d_model)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        tokens: Float[Tensor, "B S C"],
        positions: Float[Tensor, "B S C"],
        mask: Bool[Tensor, "B S"],
        record: bool = False,
    ) -> tuple[Float[Tensor, "B S C"], Float[Tensor, "B M S S"] | None]:
        """Run the layer.

        Args:
            tokens: what the layer before gave.
            positions: added to queries and keys, not to values.
            mask: True where a token is padding: nobody looks there.
            record: also return the attention weights.
        Returns:
            The new tokens, and the weights or None.
        """

        def attend(tokens: Tensor) -> tuple[Tensor, Tensor | None]:
            query = tokens + positions
            return dense_attention(self.self_attention, query, query, tokens, mask, record)

        if self.pre_norm:
            attended, weights = attend(self.self_attention_norm(tokens))
            tokens = tokens + self.dropout(attended)
            return tokens + self.dropout(self.ffn(self.ffn_norm(tokens))), weights
        attended, weights = attend(tokens)
        tokens = self.self_attention_norm(tokens + self.dropout(attended))
        return self.ffn_norm(tokens + self.dropout(self.ffn(tokens))), weights


class DecoderLayer(nn.Module):
    """Queries look at each other, then at all tokens, then each is transformed by itself.

    Args:
        config: of the DETR it belongs to.
    Source: DETR (arXiv 2005.12872), appendix A.3; taught in notebooks/05_detr.ipynb.
    """

    def __init__(self, config: DETRConfig) -> None:
        super().__init__()
        self.pre_norm = config.pre_norm
        self.self_attention = _attention(config)
        self.self_attention_norm = nn.LayerNorm(config.d_model)
        self.cross_attention = _attention(config)
        self.cross_attention_norm = nn.LayerNorm(config.d_model)
        self.ffn = FeedForward(config.d_model, config.ffn_dim, config.dropout)
        self.ffn_norm = nn.LayerNorm(config.d_model)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        queries: Float[Tensor, "B Q C"],
        query_positions: Float[Tensor, "B Q C"],
        tokens: Float[Tensor, "B S C"],
        positions: Float[Tensor, "B S C"],
        mask: Bool[Tensor, "B S"],
        record: bool = False,
    ) -> tuple[Float[Tensor, "B Q C"], Float[Tensor, "B M Q S"] | None]:
        """Run the layer.

        Args:
            queries: the content of the object queries.
            query_positions: added to queries and keys of the self-attention, and to queries of the
                cross-attention; never to values.
            tokens: what the encoder gave.
            positions: of the tokens; added to the keys.
            mask: True where a token is padding.
            record: also return the weights of the cross-attention.
        Returns:
            The new content, and the weights or None.
        """

        def attend_to_queries(queries: Tensor) -> Tensor:
            query = queries + query_positions
            return dense_attention(self.self_attention, query, query, queries)[0]

        def attend_to_tokens(queries: Tensor) -> tuple[Tensor, Tensor | None]:
            return dense_attention(
                self.cross_attention, queries + query_positions, tokens + positions, tokens, mask, record
            )

        if self.pre_norm:
            queries = queries + self.dropout(attend_to_queries(self.self_attention_norm(queries)))
            attended, weights = attend_to_tokens(self.cross_attention_norm(queries))
            queries = queries + self.dropout(attended)
            return queries + self.dropout(self.ffn(self.ffn_norm(queries))), weights
        queries = self.self_attention_norm(queries + self.dropout(attend_to_queries(queries)))
        attended, weights = attend_to_tokens(queries)
        queries = self.cross_attention_norm(queries + self.dropout(attended))
        return self.ffn_norm(queries + self.dropout(self.ffn(queries))), weights


class DETR(nn.Module):
    """Detection as set prediction with dense attention.

    Args:
        config: the sizes.
    Raises:
        TypeError: if `config` is not a DETRConfig.
        RuntimeError: if ImageNet weights are asked for and can not be had.
    Source: DETR (arXiv 2005.12872); taught in notebooks/05_detr.ipynb.
    """

    def __init__(self, config: DETRConfig) -> None:
        super().__init__()
        value: Any = config
        if not isinstance(value, DETRConfig):
            raise TypeError(f"config must be a DETRConfig, got {type(value).__name__}")
        self.config = config
        self.backbone = make_backbone(config, levels=(5,))
        self.projection = nn.Conv2d(self.backbone.channels[0], config.d_model, kernel_size=1)
        self.position_encoding = SinePositionEncoding(config.d_model // 2, offset=config.position_offset)
        self.query_embedding = nn.Embedding(config.num_queries, config.d_model)
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.encoder_norm = nn.LayerNorm(config.d_model) if config.pre_norm else nn.Identity()
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.decoder_norm = nn.LayerNorm(config.d_model)
        self.class_head = nn.Linear(config.d_model, config.num_classes + config.background_class)
        self.box_head = BoxHead(config.d_model)
        for parameter in [*self.encoder.parameters(), *self.decoder.parameters()]:
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        if not config.background_class:
            start_with_prior(self.class_head)

    def forward(self, batch: PaddedBatch, record_sampling: bool = False) -> Detections:
        """Detect.

        Args:
            batch: normalized images and their padding mask.
            record_sampling: also return the attention weights of every layer, as `DenseRecords`.
        Returns:
            Detections of every decoder layer.
        Raises:
            TypeError, ValueError: if `batch` is not a PaddedBatch of matching pixels and mask.
        """
        features, masks = self.backbone(batch)
        tokens = rearrange(self.projection(features[0]), "B C H W -> B (H W) C")
        positions = encode_positions(self.position_encoding, masks[:1], tokens.dtype)[0]
        positions = rearrange(positions, "B C H W -> B (H W) C")
        mask = rearrange(masks[0], "B H W -> B (H W)")
        encoder_weights, decoder_weights, layers = [], [], []
        for layer in self.encoder:
            tokens, weights = layer(tokens, positions, mask, record_sampling)
            encoder_weights.append(weights)
        tokens = self.encoder_norm(tokens)
        query_positions = repeat(self.query_embedding.weight, "Q C -> B Q C", B=len(tokens))
        queries = torch.zeros_like(query_positions)
        for layer in self.decoder:
            queries, weights = layer(queries, query_positions, tokens, positions, mask, record_sampling)
            decoder_weights.append(weights)
            answers = self.decoder_norm(queries)
            layers.append(LayerDetections(self.class_head(answers), self.box_head(answers).sigmoid()))
        return Detections(
            *layers[-1],
            auxiliary=layers[:-1],
            sampling=DenseRecords(encoder_weights, decoder_weights) if record_sampling else None,
            background_class=self.config.background_class,
        )

    def predict(
        self, images: Sequence[Float[Tensor, "3 _ _"]], threshold: float = 0.5
    ) -> list[dict[str, Tensor]]:
        """Find the objects in images of any size; see `inference.predict`."""
        return predict(self, images, threshold)


def dense_attention(
    attention: nn.MultiheadAttention,
    query: Float[Tensor, "B Q C"],
    key: Float[Tensor, "B S C"],
    value: Float[Tensor, "B S C"],
    mask: Bool[Tensor, "B S"] | None = None,
    record: bool = False,
) -> tuple[Float[Tensor, "B Q C"], Float[Tensor, "B M Q S"] | None]:
    """Let every query look at every token.

    Args:
        attention: with batch_first=True.
        query: content and position.
        key: content and position.
        value: content alone.
        mask: True where a token is padding.
        record: also return the weights.
    Returns:
        The attended values, and the weights of each head or None.
    Source: Attention Is All You Need (arXiv 1706.03762), section 3.2; taught in notebooks/05_detr.ipynb.
    """
    return attention(
        query, key, value, key_padding_mask=mask, need_weights=record, average_attn_weights=False
    )


def encode_positions(
    encoding: SinePositionEncoding, masks: Sequence[Bool[Tensor, "B _ _"]], dtype: torch.dtype
) -> list[Float[Tensor, "B C _ _"]]:
    """Encode the cells of every map, in at least float32, and give them the type of the tokens.

    Args:
        encoding: of C channels.
        masks: one a map, True where it is padding.
        dtype: of the tokens that the positions will be added to.
    Source: ours; taught in notebooks/04_position_encoding.ipynb.
    """
    exact = torch.promote_types(dtype, torch.float32)
    return [encoding(mask, exact).to(dtype) for mask in masks]


def make_backbone(config: Any, levels: Sequence[int]) -> ResNet50Backbone | SmallBackbone:
    """Make the backbone that a configuration names.

    Args:
        config: a DETRConfig or a DeformableDETRConfig.
        levels: which of C3, C4, C5 it returns.
    Source: ours; taught in notebooks/03_backbone.ipynb.
    """
    if config.backbone == "resnet50":
        return ResNet50Backbone(config.backbone_weights, levels, config.dilated)
    return SmallBackbone(config.small_channels, levels, config.dilated)


@torch.no_grad()
def start_with_prior(class_head: nn.Linear) -> None:
    """Let every sigmoid class say 0.01 at the start, because nearly all queries find nothing.

    Args:
        class_head: its bias is overwritten.
    Source: Focal Loss (arXiv 1708.02002), section 3.3; taught in notebooks/17_matching_and_losses.ipynb.
    """
    class_head.bias.fill_(-math.log((1 - PRIOR_PROBABILITY) / PRIOR_PROBABILITY))


def require_sizes(config: Any, divisor: int) -> None:
    """Check the fields that all configurations share; see notebooks/05_detr.ipynb for what they mean."""
    if config.backbone not in ("resnet50", "small"):
        raise ValueError(f'backbone must be "resnet50" or "small", got {config.backbone!r}')
    if config.backbone_weights is not None and config.backbone == "small":
        raise ValueError("backbone_weights are for backbone='resnet50' only, the small one starts at random")
    if len(require_list("small_channels", config.small_channels, "ints")) != 3:
        raise ValueError(f"small_channels must hold 3 ints, got {config.small_channels}")
    sizes = ("num_classes", "num_queries", "d_model", "num_heads", "encoder_layers", "decoder_layers")
    for name in (*sizes, "ffn_dim", "short_side", "max_side"):
        require_int(name, getattr(config, name))
    require_divisible("d_model", config.d_model, "num_heads", config.num_heads)
    require_divisible("d_model", config.d_model, "the divisor of its channels", divisor)
    if not 0 <= require_number("dropout", config.dropout) < 1:
        raise ValueError(f"dropout must be in [0, 1), got {config.dropout}")
    if config.max_side < config.short_side:
        raise ValueError(f"max_side={config.max_side} is smaller than short_side={config.short_side}")


def require_flags(config: Any, names: Sequence[str]) -> None:
    """Check that fields are True or False; see notebooks/05_detr.ipynb for what they mean."""
    for name in names:
        if not isinstance(getattr(config, name), bool):
            raise TypeError(f"{name} must be True or False, got {getattr(config, name)!r}")


def _attention(config: DETRConfig) -> nn.MultiheadAttention:
    return nn.MultiheadAttention(config.d_model, config.num_heads, config.dropout, batch_first=True)
