"""The deformable decoder: object queries talk to each other, then each looks at a few points of the memory.

Taught in notebooks/14_decoder.ipynb; how each layer corrects the boxes of the one before in
notebooks/15_box_refinement.ipynb.
"""

from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from detr_tutorial._validation import require_int, require_references, require_tensor
from detr_tutorial.deformable_attention import MSDeformAttn, SamplingRecord
from detr_tutorial.detections import LayerDetections
from detr_tutorial.detr import FeedForward, dense_attention
from detr_tutorial.features import FlattenedFeatures
from detr_tutorial.reference_points import SpatialShapes
from detr_tutorial.refinement import BoxHead, move_boxes


class DeformableDecoderLayer(nn.Module):
    """Queries look at each other, then at a few points of the memory, then each is transformed by itself.

    Args:
        d_model: channels C of a query.
        num_levels: levels L.
        num_heads: heads M, of both attentions.
        num_points: points K per head and level.
        ffn_dim: hidden channels of the feed-forward network.
        dropout: probability, in the dense attention and around every sublayer.
    Raises:
        TypeError, ValueError: if a size is not a positive int, or num_heads does not divide d_model.
    Source: Deformable DETR (arXiv 2010.04159), section 4.2; taught in notebooks/14_decoder.ipynb.
    """

    def __init__(
        self, d_model: int, num_levels: int, num_heads: int, num_points: int, ffn_dim: int, dropout: float
    ) -> None:
        super().__init__()
        self.self_attention = nn.MultiheadAttention(d_model, num_heads, dropout, batch_first=True)
        self.self_attention_norm = nn.LayerNorm(d_model)
        self.cross_attention = MSDeformAttn(d_model, num_levels, num_heads, num_points)
        self.cross_attention_norm = nn.LayerNorm(d_model)
        self.ffn = FeedForward(d_model, ffn_dim, dropout)
        self.ffn_norm = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        queries: Float[Tensor, "B Q C"],
        query_positions: Float[Tensor, "B Q C"],
        reference_points: Float[Tensor, "B Q L refs"],
        memory: Float[Tensor, "B S C"],
        spatial_shapes: SpatialShapes,
        mask: Bool[Tensor, "B S"],
    ) -> tuple[Float[Tensor, "B Q C"], SamplingRecord]:
        """Run the layer.

        Args:
            queries: the content of the object queries.
            query_positions: added to queries and keys of the self-attention, and to the queries of the
                cross-attention; never to values.
            reference_points: (x, y) or (cx, cy, w, h) on each level, over the padded map.
            memory: what the encoder gave, without positions.
            spatial_shapes: (height, width) of each level.
            mask: True where a token of the memory is padding; it reads as zero.
        Returns:
            The new content, and where the cross-attention looked.
        """
        query = queries + query_positions
        attended, _ = dense_attention(self.self_attention, query, query, queries)
        queries = self.self_attention_norm(queries + self.dropout(attended))
        attended, record = self.cross_attention(
            queries + query_positions, reference_points, memory, spatial_shapes, mask
        )
        queries = self.cross_attention_norm(queries + self.dropout(attended))
        return self.ffn_norm(queries + self.dropout(self.ffn(queries))), record


class DecoderOutput(NamedTuple):
    """What the decoder and the heads say, layer by layer."""

    layers: list[LayerDetections]  # one a layer, the last one at the end
    records: list[SamplingRecord]  # one a layer, or none at all
    references: list[Float[Tensor, "B Q _"]]  # what each layer started from, (x, y) or (cx, cy, w, h)


class DeformableDecoder(nn.Module):
    """Decoder layers with their heads; with refinement each layer starts from the boxes of the one before.

    Without refinement all layers share one class head and one box head and start from the same references.
    With it every layer has its own heads, and no gradient passes from a layer's references back to the heads
    of the layer before.

    Args:
        num_layers: layers, at least 1.
        d_model, num_levels, num_heads, num_points, ffn_dim, dropout: as in `DeformableDecoderLayer`.
        num_classes: columns of the class head, one sigmoid each.
        refine_boxes: correct the boxes from layer to layer.
    Raises:
        TypeError, ValueError: if a size is not a positive int, or num_heads does not divide d_model.
    Source: Deformable DETR (arXiv 2010.04159), sections 4.2, 4.3 and appendix A.4; taught in
    notebooks/14_decoder.ipynb and notebooks/15_box_refinement.ipynb.
    """

    def __init__(
        self,
        num_layers: int,
        d_model: int,
        num_levels: int,
        num_heads: int,
        num_points: int,
        ffn_dim: int,
        dropout: float,
        num_classes: int,
        refine_boxes: bool,
    ) -> None:
        super().__init__()
        sizes = (d_model, num_levels, num_heads, num_points, ffn_dim, dropout)
        self.layers = nn.ModuleList(
            DeformableDecoderLayer(*sizes) for _ in range(require_int("num_layers", num_layers))
        )
        self.refine_boxes = refine_boxes
        num_heads_of_each_kind = num_layers if refine_boxes else 1
        self.class_heads = nn.ModuleList(
            nn.Linear(d_model, require_int("num_classes", num_classes)) for _ in range(num_heads_of_each_kind)
        )
        self.box_heads = nn.ModuleList(BoxHead(d_model) for _ in range(num_heads_of_each_kind))

    def forward(
        self,
        queries: Float[Tensor, "B Q C"],
        query_positions: Float[Tensor, "B Q C"],
        references: Float[Tensor, "B Q refs"],
        memory: Float[Tensor, "B S C"],
        flattened: FlattenedFeatures,
        record_sampling: bool = False,
    ) -> DecoderOutput:
        """Run all layers.

        Args:
            queries: the content of the object queries.
            query_positions: the position of the object queries, a learned vector each.
            references: where the first layer looks from: (x, y) or (cx, cy, w, h) in [0, 1] of the image
                without its padding.
            memory: what the encoder gave.
            flattened: what the encoder read; its mask, shapes and valid ratios are used.
            record_sampling: keep where each layer looked.
        Returns:
            Class logits and boxes of every layer, records and references.
        Raises:
            TypeError, ValueError: if `references` is not a tensor of 2 or 4 numbers a query.
        """
        require_tensor("references", references, "B Q refs")
        layers, records, starts = [], [], []
        for index, layer in enumerate(self.layers):
            starts.append(references)
            on_levels = to_padded_levels(references, flattened.valid_ratios)
            queries, record = layer(
                queries, query_positions, on_levels, memory, flattened.spatial_shapes, flattened.mask
            )
            if record_sampling:
                records.append(record)
            own_head = index if self.refine_boxes else 0
            boxes = move_boxes(references, self.box_heads[own_head](queries))
            layers.append(LayerDetections(self.class_heads[own_head](queries), boxes))
            if self.refine_boxes:
                references = boxes.detach()
        return DecoderOutput(layers, records, starts)


def to_padded_levels(
    references: Float[Tensor, "B Q refs"], valid_ratios: Float[Tensor, "B L 2"]
) -> Float[Tensor, "B Q L refs"]:
    """Express references on every level, whose maps also hold padding.

    Args:
        references: (x, y) or (cx, cy, w, h), 0 and 1 at the edges of the image without its padding.
        valid_ratios: (x, y) of each level.
    Returns:
        The same places and sizes, 0 and 1 at the edges of each padded map.
    Raises:
        ValueError: if references end in an axis other than 2 or 4.
    Source: the official `DeformableTransformerDecoder.forward`; taught in notebooks/14_decoder.ipynb.
    """
    require_references("references", references)
    ratios = torch.cat([valid_ratios] * (references.shape[-1] // 2), dim=-1)  # (x, y) or (x, y, x, y)
    return rearrange(references, "B Q refs -> B Q 1 refs") * rearrange(ratios, "B L refs -> B 1 L refs")
