"""The deformable encoder: every token looks at a few points of every level.

Taught in notebooks/13_encoder.ipynb.
"""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from detr_tutorial._validation import require_int
from detr_tutorial.deformable_attention import MSDeformAttn, SamplingRecord
from detr_tutorial.detr import FeedForward
from detr_tutorial.features import FlattenedFeatures
from detr_tutorial.reference_points import SpatialShapes, encoder_reference_points


class DeformableEncoderLayer(nn.Module):
    """Each token reads a few points around itself on all levels, then is transformed by itself.

    Args:
        d_model: channels C of a token.
        num_levels: levels L.
        num_heads: heads M.
        num_points: points K per head and level.
        ffn_dim: hidden channels of the feed-forward network.
        dropout: probability, after the attention and in and after the feed-forward network.
    Raises:
        TypeError, ValueError: if a size is not a positive int, or num_heads does not divide d_model.
    Source: Deformable DETR (arXiv 2010.04159), section 4.2; taught in notebooks/13_encoder.ipynb.
    """

    def __init__(
        self, d_model: int, num_levels: int, num_heads: int, num_points: int, ffn_dim: int, dropout: float
    ) -> None:
        super().__init__()
        self.self_attention = MSDeformAttn(d_model, num_levels, num_heads, num_points)
        self.self_attention_norm = nn.LayerNorm(d_model)
        self.ffn = FeedForward(d_model, ffn_dim, dropout)
        self.ffn_norm = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        tokens: Float[Tensor, "B S C"],
        positions: Float[Tensor, "B S C"],
        reference_points: Float[Tensor, "B S L 2"],
        spatial_shapes: SpatialShapes,
        mask: Bool[Tensor, "B S"],
    ) -> tuple[Float[Tensor, "B S C"], SamplingRecord]:
        """Run the layer.

        Args:
            tokens: what the layer before gave.
            positions: position encoding and level embedding; added to the queries, not to the values.
            reference_points: the place of each token on each level, (x, y) over the padded map.
            spatial_shapes: (height, width) of each level.
            mask: True where a token is padding; it reads as zero.
        Returns:
            The new tokens, and where the attention looked.
        """
        attended, record = self.self_attention(
            tokens + positions, reference_points, tokens, spatial_shapes, mask
        )
        tokens = self.self_attention_norm(tokens + self.dropout(attended))
        return self.ffn_norm(tokens + self.dropout(self.ffn(tokens))), record


class DeformableEncoder(nn.Module):
    """Encoder layers, one after the other, on the same reference points.

    Args:
        num_layers: layers, at least 1; each has its own weights. The other arguments are those of a layer.
    Raises:
        TypeError, ValueError: if a size is not a positive int, or num_heads does not divide d_model.
    Source: Deformable DETR (arXiv 2010.04159), section 4.2; taught in notebooks/13_encoder.ipynb.
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
    ) -> None:
        super().__init__()
        sizes = (d_model, num_levels, num_heads, num_points, ffn_dim, dropout)
        self.layers = nn.ModuleList(
            DeformableEncoderLayer(*sizes) for _ in range(require_int("num_layers", num_layers))
        )

    def forward(
        self, flattened: FlattenedFeatures, record_sampling: bool = False
    ) -> tuple[Float[Tensor, "B S C"], list[SamplingRecord]]:
        """Run all layers.

        Args:
            flattened: tokens of all levels, with positions, mask, shapes and valid ratios.
            record_sampling: keep where each layer looked.
        Returns:
            The memory: tokens after the last layer. And one record a layer, or none at all.
        """
        references = encoder_reference_points(flattened.spatial_shapes, flattened.valid_ratios)
        tokens, records = flattened.tokens, []
        for layer in self.layers:
            tokens, record = layer(
                tokens, flattened.positions, references, flattened.spatial_shapes, flattened.mask
            )
            if record_sampling:
                records.append(record)
        return tokens, records
