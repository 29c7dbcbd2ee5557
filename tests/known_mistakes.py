"""The mistakes that copies of DETR and Deformable DETR make, planted: what to change, and which test fails.

`python tools/plant_mistakes.py` plants them one by one and runs the tests; KNOWN_MISTAKES.md is its table.
"""

from dataclasses import dataclass

COUNT = 74  # mistakes that were collected; every number is below, once or more


@dataclass(frozen=True)
class PlantedMistake:
    """A mistake that can be made in this package."""

    number: int
    sentence: str
    file: str  # in detr_tutorial/
    old: str  # right, and in the file exactly once
    new: str  # wrong
    test: str  # fails with the mistake, and passes without
    crash: str = ""  # the exception that shows the mistake, where it is not an assertion or one of our own


@dataclass(frozen=True)
class ImpossibleMistake:
    """A mistake that cannot be planted here."""

    number: int
    sentence: str
    reason: str
    test: str = ""  # what stands in for it


def _test(folder: str, file: str, name: str) -> str:
    return f"tests/{folder}/test_{file}.py::test_{name}"


def _unit(file: str, name: str) -> str:
    return _test("unit", file, name)


def _here(name: str) -> str:
    return _unit("known_mistakes", name)


_ALONE = "after_the_projections_an_image_gives_the_same_alone_and_beside_a_larger_one"
_TOGETHER = "two_images_together_give_what_each_gives_alone_with_the_same_padding"
_POISON = "poisoned_padding_moves_nothing_even_with_a_value_bias"
_BY_HAND = "the_losses_of_a_layer_are_those_by_hand"
_TRANSFORMERS = "every_decoder_layer_answers_as_in_transformers"

GEOMETRY = (
    PlantedMistake(
        1,
        "Offsets divided by (height, width) instead of (width, height).",
        "reference_points.py",
        "new_tensor([(width, height) for height, width in shapes])",
        "new_tensor([(height, width) for height, width in shapes])",
        _unit("reference_points", "an_offset_of_one_moves_exactly_one_cell_along_its_own_axis"),
    ),
    PlantedMistake(
        1,
        "The same in the fast form of the attention.",
        "sparse_attention.py",
        "torch.tensor([(width, height) for height, width in shapes])",
        "torch.tensor([(height, width) for height, width in shapes])",
        _unit("deformable_attention", "all_forms_and_their_gradients_equal_the_loops[embedding_bag]"),
    ),
    PlantedMistake(
        2,
        "Maps sampled with align_corners=True, references made for False.",
        "deformable_attention.py",
        'padding_mode="zeros", align_corners=False',
        'padding_mode="zeros", align_corners=True',
        _unit("deformable_attention", "points_at_pixel_centers_return_the_map_itself[grid_sample]"),
    ),
    PlantedMistake(
        2,
        "References between the first and the last cell center, made for align_corners=True.",
        "reference_points.py",
        "(pixels + 0.5) / _width_height(pixels, size)",
        "pixels / (_width_height(pixels, size) - 1)",
        _unit("reference_points", "a_token_without_padding_samples_its_own_cell_exactly"),
    ),
    ImpossibleMistake(
        3,
        "Sampling rounded to whole cells, with both axes limited by the height.",
        "A mode of RT-DETRv2; every form of the attention here reads between cells.",
        _unit("deformable_attention", "all_forms_and_their_gradients_equal_the_loops"),
    ),
    PlantedMistake(
        4,
        "Offsets not divided at all: one cell becomes one picture.",
        "reference_points.py",
        "rearrange(width_height.reciprocal(), ",
        "rearrange(torch.ones_like(width_height), ",
        _unit("reference_points", "an_offset_of_one_moves_exactly_one_cell_along_its_own_axis"),
    ),
    PlantedMistake(
        5,
        "Around a box, offsets not divided by the number of points.",
        "reference_points.py",
        "reference[..., 2:] * (0.5 / points)",
        "reference[..., 2:] * 0.5",
        _unit("reference_points", "an_offset_of_num_points_reaches_the_edge_of_a_box"),
    ),
    PlantedMistake(
        5,
        "Around a box, the half forgotten: offsets reach as far again beyond the edge.",
        "reference_points.py",
        "reference[..., 2:] * (0.5 / points)",
        "reference[..., 2:] / points",
        _unit("reference_points", "sampling_locations_equal_the_formula_point_by_point"),
    ),
    PlantedMistake(
        6,
        "Points outside of a map read its border instead of zero.",
        "deformable_attention.py",
        'padding_mode="zeros"',
        'padding_mode="border"',
        _unit(
            "deformable_attention",
            "what_lies_outside_a_map_counts_as_zero_and_its_weight_is_lost[grid_sample]",
        ),
    ),
    PlantedMistake(
        6,
        "The weight of cells outside of a map given to those inside.",
        "sparse_attention.py",
        "hats = distance.abs().neg_().add_(1).clamp_min_(0)",
        "hats = distance.abs().neg_().add_(1).clamp_min_(0)\n"
        "        hats = hats / hats.sum(1, keepdim=True).clamp_min(1e-6)",
        _unit(
            "deformable_attention",
            "what_lies_outside_a_map_counts_as_zero_and_its_weight_is_lost[embedding_bag]",
        ),
    ),
    PlantedMistake(
        7,
        "Position encoding with x before y.",
        "position.py",
        "[self._waves(y), self._waves(x)]",
        "[self._waves(x), self._waves(y)]",
        _unit("position", "the_first_half_is_y_and_the_second_half_is_x"),
    ),
    PlantedMistake(
        7,
        "References as (y, x).",
        "reference_points.py",
        "torch.stack([x, y], dim=-1)",
        "torch.stack([y, x], dim=-1)",
        _unit("reference_points", "every_token_refers_to_its_own_center_on_every_level"),
    ),
    PlantedMistake(
        7,
        "Proposals encoded with y before x, as positions are.",
        "two_stage.py",
        "boxes.to(exact)[..., None]",
        "boxes.to(exact)[..., [1, 0, 3, 2], None]",
        _here("a_box_is_encoded_as_x_y_width_height"),
    ),
    PlantedMistake(
        8,
        "Reference points column by column, tokens row by row.",
        "reference_points.py",
        'indexing="ij")',
        'indexing="xy")',
        _unit("reference_points", "every_token_refers_to_its_own_center_on_every_level"),
    ),
    PlantedMistake(
        8,
        "Tokens column by column, everything else row by row.",
        "features.py",
        'rearrange(feature, "B C H W -> B (H W) C")',
        'rearrange(feature, "B C H W -> B (W H) C")',
        _unit("features", "tokens_are_in_row_major_order_level_after_level"),
    ),
    PlantedMistake(
        9,
        "Random weights of the offsets at the start instead of zeros.",
        "deformable_attention.py",
        "nn.init.zeros_(self.sampling_offsets.weight)",
        "nn.init.xavier_uniform_(self.sampling_offsets.weight)",
        _unit("deformable_attention", "at_the_start_every_query_looks_alike_and_weighs_all_points_the_same"),
    ),
    PlantedMistake(
        9,
        "The loop over all matrices of the model destroys the star.",
        "deformable_detr.py",
        "module.reset_parameters()  # after the loop above, which would destroy the star",
        "pass",
        _unit("models", "the_star_the_equal_weights_and_the_prior_survive_the_start_of_the_whole_model"),
    ),
    PlantedMistake(
        9,
        "All points of a head start at the same distance.",
        "deformable_attention.py",
        "reach = torch.arange(1, num_points + 1)",
        "reach = torch.ones(num_points)",
        _unit("deformable_attention", "the_start_is_the_official_star"),
    ),
    PlantedMistake(
        10,
        "The bias of the offsets frozen, because it is set without gradient.",
        "deformable_attention.py",
        "        nn.init.zeros_(self.attention_weights.weight)\n",
        "        self.sampling_offsets.bias.requires_grad_(False)\n"
        "        nn.init.zeros_(self.attention_weights.weight)\n",
        _unit("models", "the_bias_of_the_offsets_learns"),
    ),
    PlantedMistake(
        11,
        "Attention weights that start at random, as if zeros were an oversight.",
        "deformable_attention.py",
        "nn.init.zeros_(self.attention_weights.weight)",
        "nn.init.xavier_uniform_(self.attention_weights.weight)",
        _unit("deformable_attention", "at_the_start_every_query_looks_alike_and_weighs_all_points_the_same"),
    ),
    PlantedMistake(
        12,
        "One softmax for each level instead of one over all levels and points.",
        "deformable_attention.py",
        "rearrange(logits.softmax(-1), ",
        "rearrange(logits.unflatten(-1, (self.num_levels, -1)).softmax(-1).flatten(-2), ",
        _unit("deformable_attention", "the_weights_are_a_softmax_over_levels_and_points_together"),
    ),
    PlantedMistake(
        13,
        "Points ordered by head then image, values by image then head.",
        "deformable_attention.py",
        '"B Q M K xy -> (B M) Q K xy"',
        '"B Q M K xy -> (M B) Q K xy"',
        _unit("deformable_attention", "a_batch_equals_its_images_one_by_one[grid_sample]"),
    ),
    PlantedMistake(
        14,
        "All heads read the channels of all heads.",
        "deformable_attention.py",
        "    batch, _, heads, _ = value.shape\n    grids",
        "    batch, _, heads, _ = value.shape\n"
        "    value = value.mean(dim=2, keepdim=True).expand_as(value)\n    grids",
        _unit("deformable_attention", "a_head_reads_its_own_channels_only[grid_sample]"),
    ),
    PlantedMistake(
        14,
        "All heads read the channels of the first.",
        "sparse_attention.py",
        "torch.arange(heads)[:, None]",
        "torch.zeros(heads)[:, None]",
        _unit("deformable_attention", "a_head_reads_its_own_channels_only[embedding_bag]"),
    ),
    PlantedMistake(
        14,
        "Channels cut into heads in one order before the projection, in another after it.",
        "deformable_attention.py",
        '"(M D) C -> M D C"',
        '"(D M) C -> M D C"',
        _unit("deformable_attention", "projecting_before_or_after_sampling_gives_the_same_numbers"),
    ),
    PlantedMistake(
        15,
        "A level taken from the axis of the heads, which nobody sees when there are as many of both.",
        "deformable_attention.py",
        "grids[:, :, :, level]",
        "grids[:, :, level]",
        _unit("deformable_attention", "a_batch_equals_its_images_one_by_one[grid_sample]"),
        crash="RuntimeError",
    ),
    PlantedMistake(
        15,
        "An index of queries without the one of images, which is right for one image only.",
        "losses.py",
        "matched_boxes = boxes[images, queries]",
        "matched_boxes = boxes[0][queries]",
        _unit("losses", f"{_BY_HAND}[(1, 9)-focal]"),
    ),
    PlantedMistake(
        16,
        "Every encoder layer takes its values from the maps of the backbone.",
        "encoder.py",
        "        for layer in self.layers:\n",
        "        for layer in self.layers:\n"
        "            layer.self_attention.register_forward_pre_hook(\n"
        "                lambda _, given: (*given[:2], flattened.tokens, *given[3:])\n"
        "            )\n",
        _here("the_second_encoder_layer_reads_what_the_first_wrote"),
    ),
    ImpossibleMistake(
        17,
        "Devices and forms compared more tightly than float32 allows.",
        "A mistake of tests: ours compare forms in float64, or with a tolerance.",
        _unit("deformable_attention", "gradcheck_in_float64"),
    ),
    ImpossibleMistake(
        18,
        "A batch that is not divisible by the step of the CUDA kernel.",
        "There is no such kernel. The nearest thing to it is the next mistake.",
    ),
    PlantedMistake(
        18,
        "Queries computed in chunks that forget their start: later queries read the first picture.",
        "sparse_attention.py",
        ".add_(image_rows[part])",
        ".add_(image_rows[: part.stop - part.start])",
        _unit("deformable_attention", "chunks_of_queries_join_without_a_seam[513]"),
    ),
)

PADDING = (
    PlantedMistake(
        19,
        "A mask that is True where there is a picture.",
        "padding.py",
        "return below | right",
        "return ~(below | right)",
        _unit("padding", "true_means_padding_as_in_the_papers_code"),
    ),
    PlantedMistake(
        19,
        "Dense attention that looks at the padding only.",
        "detr.py",
        "key_padding_mask=mask",
        "key_padding_mask=None if mask is None else ~mask",
        _unit("models", "dense_attention_gives_the_same_alone_and_beside_a_larger_image"),
    ),
    PlantedMistake(
        19,
        "Deformable attention that reads zeros where there is a picture.",
        "deformable_attention.py",
        "value = value.masked_fill(mask[..., None], 0.0)",
        "value = value.masked_fill(~mask[..., None], 0.0)",
        _unit("deformable_attention", f"{_POISON}[40]"),
    ),
    PlantedMistake(
        20,
        "Values of the padding not set to zero.",
        "deformable_attention.py",
        "            value = value.masked_fill(mask[..., None], 0.0)",
        "            pass",
        _unit("deformable_attention", f"{_POISON}[40]"),
    ),
    PlantedMistake(
        20,
        "Padding set to zero before the projection, whose bias then leaks in.",
        "deformable_attention.py",
        "        value = self.value_proj(tokens)\n        if mask is not None:\n"
        "            value = value.masked_fill(mask[..., None], 0.0)",
        "        if mask is not None:\n            tokens = tokens.masked_fill(mask[..., None], 0.0)\n"
        "        value = self.value_proj(tokens)",
        _unit("models", f"{_ALONE}[0.0-base]"),
    ),
    PlantedMistake(
        20,
        "The same where sampling comes first: the bias counts for padding too.",
        "deformable_attention.py",
        "valid.masked_fill(mask, 0.0)",
        "valid",
        _unit("deformable_attention", "projecting_before_or_after_sampling_gives_the_same_numbers"),
    ),
    PlantedMistake(
        20,
        "The decoder does not tell its attention what is padding.",
        "decoder.py",
        "reference_points, memory, spatial_shapes, mask\n",
        "reference_points, memory, spatial_shapes\n",
        _unit("models", f"{_ALONE}[10000.0-base]"),
    ),
    PlantedMistake(
        21,
        "Valid ratios as (height, width).",
        "padding.py",
        "[valid_widths.to(dtype) / width, valid_heights.to(dtype) / height]",
        "[valid_heights.to(dtype) / height, valid_widths.to(dtype) / width]",
        _unit("padding", "valid_ratios_are_valid_width_then_valid_height"),
    ),
    PlantedMistake(
        21,
        "References of the decoder not scaled to the padded maps.",
        "decoder.py",
        "on_levels = to_padded_levels(references, flattened.valid_ratios)",
        "on_levels = to_padded_levels(references, torch.ones_like(flattened.valid_ratios))",
        _unit("models", f"{_ALONE}[0.0-base]"),
    ),
    PlantedMistake(
        21,
        "Centers of the decoder's boxes scaled to the padded maps, sizes not.",
        "decoder.py",
        "torch.cat([valid_ratios] * (references.shape[-1] // 2), dim=-1)",
        "torch.cat([valid_ratios, torch.ones_like(valid_ratios)][: references.shape[-1] // 2], dim=-1)",
        _unit("models", f"{_ALONE}[0.0-refined]"),
    ),
    PlantedMistake(
        21,
        "References of the encoder not divided by the valid part of their own level.",
        "reference_points.py",
        " / valid_ratios[:, None, level]",
        " * torch.ones_like(valid_ratios[:, None, level])",
        _unit("reference_points", "every_token_refers_to_its_own_center_on_every_level"),
    ),
    PlantedMistake(
        22,
        "Letterboxed pictures accepted, and their valid part counted wrongly.",
        "padding.py",
        "            _require_right_bottom(level, mask, valid_heights, valid_widths)",
        "            pass",
        _unit("padding", "a_letterboxed_mask_is_refused"),
    ),
    PlantedMistake(
        23,
        "Masks shrunk so that a small picture loses its only cell.",
        "padding.py",
        'mode="nearest")',
        'mode="nearest-exact")',
        _unit("padding", "nearest_exact_would_lose_the_only_valid_pixel"),
    ),
    PlantedMistake(
        23,
        "Masks shrunk by area: a cell that is partly padding counts as padding.",
        "padding.py",
        'mode="nearest")',
        'mode="area")',
        _unit("padding", "one_valid_pixel_in_a_large_canvas_keeps_a_cell_on_every_level"),
    ),
    ImpossibleMistake(
        24,
        "Convolutions and group norms see the padding, so a picture's answer depends on its neighbors.",
        "A property of the published models, which ours share. Tests show it, texts say it.",
        _unit("models", "convolutions_and_group_norms_do_see_the_padding"),
    ),
    PlantedMistake(
        25,
        "Positions as parts of the padded height.",
        "position.py",
        "y[:, -1:, :].clamp(min=1)",
        "mask.shape[1]",
        _unit("position", "padding_does_not_change_the_position_of_a_valid_cell"),
    ),
    PlantedMistake(
        25,
        "Positions as parts of the padded width.",
        "position.py",
        "x[:, :, -1:].clamp(min=1)",
        "mask.shape[2]",
        _unit("position", "the_last_valid_column_is_half_a_cell_from_two_pi_whatever_the_padding"),
    ),
    PlantedMistake(
        26,
        "The mask dropped when a data set is evaluated.",
        "evaluation.py",
        "batch.mask.to(like.device)",
        "torch.zeros_like(batch.mask)",
        _here("evaluation_tells_the_model_what_is_padding"),
    ),
    PlantedMistake(
        26,
        "The mask dropped in predictions.",
        "inference.py",
        "model.eval()(batch)",
        "model.eval()(batch._replace(mask=torch.zeros_like(batch.mask)))",
        _unit("inference", "images_of_different_sizes_are_padded_right_and_below"),
    ),
)

_VALUES = "positions_are_not_part_of_the_values"
_LOOKS = "positions_decide_where_every_attention_looks"
_REACHES = "what_one_token_holds_reaches_others"

WIRING = (
    PlantedMistake(
        27,
        "Positions added to the values of the deformable encoder.",
        "encoder.py",
        "tokens + positions, reference_points, tokens, ",
        "tokens + positions, reference_points, tokens + positions, ",
        _here(f"{_VALUES}[deformable encoder-positions]"),
    ),
    PlantedMistake(
        27,
        "Positions of the queries added to the values of the deformable decoder's self-attention.",
        "decoder.py",
        "dense_attention(self.self_attention, query, query, queries)",
        "dense_attention(self.self_attention, query, query, query)",
        _here(f"{_VALUES}[deformable decoder-positions]"),
    ),
    PlantedMistake(
        27,
        "Positions added to the values of DETR's encoder.",
        "detr.py",
        "dense_attention(self.self_attention, query, query, tokens, mask, record)",
        "dense_attention(self.self_attention, query, query, query, mask, record)",
        _here(f"{_VALUES}[dense encoder-positions]"),
    ),
    PlantedMistake(
        27,
        "Positions of the tokens added to the values of DETR's cross-attention.",
        "detr.py",
        "queries + query_positions, tokens + positions, tokens, mask, record",
        "queries + query_positions, tokens + positions, tokens + positions, mask, record",
        _here(f"{_VALUES}[dense decoder-memory_positions]"),
    ),
    PlantedMistake(
        28,
        "The two halves of a query swapped: the first should say where, the second what.",
        "deformable_detr.py",
        "query_positions, queries = repeat(",
        "queries, query_positions = repeat(",
        _here("the_first_half_of_a_query_says_where_and_the_second_what"),
    ),
    PlantedMistake(
        28,
        "The same for queries made from proposals.",
        "two_stage.py",
        "query_positions, queries = rearrange(",
        "queries, query_positions = rearrange(",
        _here("the_first_half_of_an_encoded_proposal_says_where_and_the_second_what"),
    ),
    PlantedMistake(
        28,
        "Self-attention of the decoder without the positions of the queries.",
        "decoder.py",
        "query = queries + query_positions\n",
        "query = queries\n",
        _here(f"{_LOOKS}[deformable decoder-positions-self_attention]"),
    ),
    PlantedMistake(
        28,
        "Cross-attention of the decoder without the positions of the queries.",
        "decoder.py",
        "queries + query_positions, reference_points, memory",
        "queries, reference_points, memory",
        _here(f"{_LOOKS}[deformable decoder-positions-cross_attention]"),
    ),
    PlantedMistake(
        29,
        "Query embeddings that start small, so that all references lie in the middle.",
        "deformable_detr.py",
        "spread += self.reference_points.parameters()",
        "spread += [*self.reference_points.parameters(), self.query_embedding.weight]",
        _unit("models", "reference_points_are_spread_over_the_image_at_the_start"),
    ),
    PlantedMistake(
        30,
        "No level embedding: equal cells of two levels ask the same.",
        "features.py",
        'position + rearrange(vector, "C -> C 1 1")',
        'position + 0 * rearrange(vector, "C -> C 1 1")',
        _unit("features", "cells_of_equal_content_on_two_levels_have_different_queries"),
    ),
    PlantedMistake(
        30,
        "A level embedding without a start of its own.",
        "deformable_detr.py",
        "nn.Parameter(torch.randn(config.num_levels, config.d_model))",
        "nn.Parameter(torch.zeros(config.num_levels, config.d_model))",
        _unit("models", "the_level_embedding_starts_normal_and_its_rows_differ"),
    ),
    PlantedMistake(
        31,
        "The first two norms of a decoder layer taken for each other in official files.",
        "checkpoints.py",
        'cross_attention_norm\\.", r"\\1.norm1."),  # named before the order was changed\n'
        '    (r"(decoder\\.layers\\.\\d+)\\.self_attention_norm\\.", r"\\1.norm2."),',
        'cross_attention_norm\\.", r"\\1.norm2."),\n'
        '    (r"(decoder\\.layers\\.\\d+)\\.self_attention_norm\\.", r"\\1.norm1."),',
        _unit(
            "checkpoints",
            "the_first_norm_of_an_official_deformable_decoder_layer_follows_the_cross_attention",
        ),
    ),
    PlantedMistake(
        31,
        "The same in files of transformers.",
        "checkpoints.py",
        'r"\\1.encoder_attn_layer_norm."),\n    (r"(decoder\\.layers\\.\\d+)\\.norm2\\.", '
        'r"\\1.self_attn_layer_norm."),',
        'r"\\1.self_attn_layer_norm."),\n    (r"(decoder\\.layers\\.\\d+)\\.norm2\\.", '
        'r"\\1.encoder_attn_layer_norm."),',
        _test("parity", "models_and_transformers", f"{_TRANSFORMERS}[base]"),
    ),
    PlantedMistake(
        32,
        "A residual inside of the attention, and another one around it.",
        "deformable_attention.py",
        "return output, SamplingRecord(locations, weights)",
        "return output + query, SamplingRecord(locations, weights)",
        _here("the_attention_adds_no_residual_of_its_own"),
    ),
    PlantedMistake(
        33,
        "A residual that adds the tokens to themselves and drops what the encoder's attention found.",
        "encoder.py",
        "tokens + self.dropout(attended)",
        "tokens + self.dropout(tokens)",
        _here(f"{_REACHES}[deformable encoder]"),
    ),
    PlantedMistake(
        33,
        "The same for the cross-attention of the decoder.",
        "decoder.py",
        "self.cross_attention_norm(queries + self.dropout(attended))",
        "self.cross_attention_norm(queries + self.dropout(queries))",
        _here(f"{_REACHES}[deformable decoder]"),
    ),
    PlantedMistake(
        34,
        "Self-attention over the images of the batch instead of the queries.",
        "decoder.py",
        "num_heads, dropout, batch_first=True)",
        "num_heads, dropout)",
        _unit("models", f"{_TOGETHER}[base]"),
    ),
    PlantedMistake(
        35,
        "DETR without the norm after its decoder.",
        "detr.py",
        "answers = self.decoder_norm(queries)",
        "answers = queries",
        _unit("models", "every_trainable_parameter_gets_a_gradient"),
    ),
    PlantedMistake(
        35,
        "Deformable DETR with a norm after its decoder.",
        "decoder.py",
        "        self.refine_boxes = refine_boxes\n",
        "        self.refine_boxes = refine_boxes\n        self.norm = nn.LayerNorm(d_model)\n",
        _unit("models", "the_published_variants_have_exactly_the_published_number_of_parameters[base]"),
    ),
    PlantedMistake(
        36,
        "The extra level made from the projected last map.",
        "features.py",
        "extra_inputs = [self.in_channels[-1]] + [d_model] * num_levels",
        "extra_inputs = [d_model] * (num_levels + 1)",
        _unit("features", "the_extra_level_reads_the_raw_last_map"),
    ),
    PlantedMistake(
        37,
        "Sizes of the maps as tensors.",
        "features.py",
        "tuple((feature.shape[2], feature.shape[3]) for feature in features)",
        "tuple((torch.tensor(f.shape[2]), torch.tensor(f.shape[3])) for f in features)",
        _unit("features", "sizes_are_python_integers"),
    ),
)

REFINEMENT = (
    PlantedMistake(
        38,
        "Later references with gradients: a layer's boxes teach the heads of earlier layers.",
        "decoder.py",
        "references = boxes.detach()",
        "references = boxes",
        _here("the_boxes_of_a_layer_teach_no_earlier_head"),
    ),
    PlantedMistake(
        38,
        "The first references without gradient: reference points never learn.",
        "deformable_detr.py",
        "references = self.reference_points(query_positions).sigmoid()",
        "references = self.reference_points(query_positions).sigmoid().detach()",
        _unit("models", "every_trainable_parameter_gets_a_gradient"),
    ),
    PlantedMistake(
        39,
        "A layer's answer moved once more from boxes that it has already moved.",
        "decoder.py",
        "layers.append(LayerDetections(self.class_heads[own_head](queries), boxes))",
        "answer = move_boxes(boxes, self.box_heads[own_head](queries))\n"
        "            layers.append(LayerDetections(self.class_heads[own_head](queries), answer))",
        _here("a_layer_starts_from_the_boxes_of_the_layer_before"),
    ),
    PlantedMistake(
        40,
        "Inverse sigmoid without an epsilon.",
        "refinement.py",
        "torch.log(x.clamp(min=eps) / (1 - x).clamp(min=eps))",
        "torch.log(x / (1 - x))",
        _here("the_inverse_sigmoid_is_finite_at_zero_and_one"),
    ),
    PlantedMistake(
        40,
        "Inverse sigmoid in half precision, where 1 / epsilon is infinite.",
        "refinement.py",
        "x.to(torch.promote_types(x.dtype, torch.float32)).clamp(0, 1)",
        "x.clamp(0, 1)",
        _here("the_inverse_sigmoid_is_finite_at_zero_and_one"),
    ),
    PlantedMistake(
        41,
        "Random weights in the last layer of a box head at the start.",
        "refinement.py",
        "        last.weight.zero_()\n",
        "",
        _unit("models", "at_the_start_every_layer_gives_the_reference_with_the_size_of_the_bias[refined]"),
    ),
    PlantedMistake(
        41,
        "The bias for sizes in the heads of all layers, so that boxes shrink from layer to layer.",
        "deformable_detr.py",
        "SIZE_BIAS if from_point else 0.0",
        "SIZE_BIAS",
        _unit("models", "at_the_start_every_layer_gives_the_reference_with_the_size_of_the_bias[refined]"),
    ),
    PlantedMistake(
        41,
        "The bias for sizes in a two-stage model, whose proposals have sizes.",
        "deformable_detr.py",
        "from_point = index == 0 and not self.config.two_stage",
        "from_point = index == 0",
        _unit("models", "at_the_start_every_layer_of_the_two_stage_model_gives_the_proposals"),
    ),
    PlantedMistake(
        42,
        "Two stages without refinement accepted.",
        "deformable_detr.py",
        "if self.two_stage and not self.refine_boxes:",
        "if False:",
        _unit("models", "a_copy_of_the_configuration_with_one_change_is_checked_again"),
    ),
    PlantedMistake(
        43,
        "Proposals of one size on all levels.",
        "two_stage.py",
        "FINEST_SIZE * 2.0**level",
        "FINEST_SIZE",
        _here("the_number_of_valid_proposals_on_every_level"),
    ),
    PlantedMistake(
        43,
        "Proposals at the border of the picture and as large as it accepted.",
        "two_stage.py",
        "((boxes > margin) & (boxes < 1 - margin)).all(dim=-1)",
        "((boxes[..., :2] > 0) & (boxes[..., :2] < 1)).all(dim=-1)",
        _here("the_number_of_valid_proposals_on_every_level"),
    ),
    PlantedMistake(
        44,
        "Minus infinity as the logit of padded tokens.",
        "two_stage.py",
        "EXCLUDED_LOGIT = -100.0",
        "EXCLUDED_LOGIT = -math.inf",
        _here("padding_proposes_nothing_and_all_numbers_are_finite"),
    ),
    PlantedMistake(
        44,
        "Infinite boxes of padded tokens.",
        "two_stage.py",
        "return boxes.clamp(0, 1), inside & ~flattened.mask",
        "valid = inside & ~flattened.mask\n    return boxes.masked_fill(~valid[..., None], math.inf), valid",
        _here("the_number_of_valid_proposals_on_every_level"),
    ),
    PlantedMistake(
        44,
        "Objects matched with the proposals of padded tokens.",
        "losses.py",
        'num_boxes, "_encoder", allowed=proposals.valid)',
        'num_boxes, "_encoder")',
        _unit("losses", "tokens_that_are_no_proposals_add_no_loss_no_gradient_and_are_never_matched"),
    ),
    PlantedMistake(
        44,
        "Padded tokens that may become object queries.",
        "two_stage.py",
        "self.class_head(candidates).masked_fill(~valid[..., None], EXCLUDED_LOGIT)",
        "self.class_head(candidates)",
        _here("padding_proposes_nothing_and_all_numbers_are_finite"),
    ),
    PlantedMistake(
        45,
        "The best 300 tokens asked for where there are fewer.",
        "two_stage.py",
        "min(self.num_queries, logits.shape[1])",
        "self.num_queries",
        _here("more_queries_than_tokens_give_as_many_as_there_are"),
        crash="RuntimeError",
    ),
    PlantedMistake(
        46,
        "Proposals trained to tell classes apart.",
        "losses.py",
        '"labels": torch.zeros_like(target["labels"])',
        '"labels": target["labels"]',
        _unit("losses", "proposals_are_judged_as_objects_of_class_zero"),
    ),
    PlantedMistake(
        46,
        "Proposals chosen by their best class instead of the first one.",
        "two_stage.py",
        "logits[..., 0].topk(",
        "logits.amax(dim=-1).topk(",
        _here("the_best_tokens_by_the_first_class_become_references_with_all_four_numbers"),
    ),
    PlantedMistake(
        47,
        "Only one number of every chosen box gathered.",
        "two_stage.py",
        'boxes.gather(1, repeat(best, "B Q -> B Q 4"))',
        "boxes.gather(1, best[..., None]).expand(-1, -1, 4)",
        _here("the_best_tokens_by_the_first_class_become_references_with_all_four_numbers"),
    ),
    PlantedMistake(
        47,
        "Chosen boxes with gradients.",
        "two_stage.py",
        'repeat(best, "B Q -> B Q 4")).detach()',
        'repeat(best, "B Q -> B Q 4"))',
        _here("the_best_tokens_by_the_first_class_become_references_with_all_four_numbers"),
    ),
    PlantedMistake(
        48,
        "128 channels for each number of a proposal, whatever the width of the model.",
        "two_stage.py",
        "encode_boxes(references, memory.shape[-1] // 2)",
        "encode_boxes(references, 128)",
        _unit(
            "models",
            "every_decoder_layer_answers_with_finite_logits_and_boxes_in_the_unit_square[two_stage_refined]",
        ),
        crash="RuntimeError",
    ),
    PlantedMistake(
        49,
        "References added in place to what the head gave.",
        "refinement.py",
        "torch.cat([logits + deltas[..., :2], deltas[..., 2:].to(logits.dtype)], dim=-1).sigmoid()",
        "deltas.index_add_(-1, torch.arange(2), logits).sigmoid()",
        _here("moving_boxes_changes_neither_references_nor_deltas[2]"),
    ),
)

_LINE = _test("errors", "losses", "a_bad_argument_gets_one_clear_line")

LOSSES = (
    PlantedMistake(
        50,
        "One output too many, for a background that sigmoids do not need.",
        "decoder.py",
        'nn.Linear(d_model, require_int("num_classes", num_classes))',
        'nn.Linear(d_model, require_int("num_classes", num_classes) + 1)',
        _unit("models", "every_decoder_layer_answers_with_finite_logits_and_boxes_in_the_unit_square[base]"),
    ),
    PlantedMistake(
        50,
        "Labels accepted that have no output.",
        "_targets.py",
        "highest >= num_classes",
        "highest > num_classes",
        f"{_LINE}[a label for the background]",
    ),
    PlantedMistake(
        50,
        "As many outputs as COCO has classes, not as its highest id + 1.",
        "data/coco.py",
        "tuple(range(max(names) + 1))",
        "tuple(range(len(names)))",
        _unit("coco", "mistake_50_raw_ids_need_the_highest_id_plus_one_outputs_and_no_background"),
    ),
    PlantedMistake(
        50,
        "No prior: every class starts at one half.",
        "deformable_detr.py",
        "            start_with_prior(class_head)\n",
        "            class_head.bias.zero_()\n",
        _unit("models", "the_star_the_equal_weights_and_the_prior_survive_the_start_of_the_whole_model"),
    ),
    PlantedMistake(
        51,
        "Queries without an object are taught class 0.",
        "losses.py",
        "wanted = torch.zeros_like(logits)\n",
        "wanted = torch.zeros_like(logits)\n                wanted[..., 0] = 1\n",
        _unit("losses", "without_objects_the_class_loss_is_that_of_background_everywhere[focal]"),
    ),
    PlantedMistake(
        51,
        "The same with a background class.",
        "losses.py",
        "torch.full(logits.shape[:2], self.num_classes, ",
        "torch.full(logits.shape[:2], 0, ",
        _unit("losses", "without_objects_the_class_loss_is_that_of_background_everywhere[cross_entropy]"),
    ),
    PlantedMistake(
        52,
        "The focal loss as a mean over the queries.",
        "losses.py",
        "sigmoid_focal_loss(logits, wanted, self.alpha, self.gamma).sum() / num_boxes",
        "sigmoid_focal_loss(logits, wanted, self.alpha, self.gamma).mean(1).sum() / num_boxes",
        _unit("losses", "a_second_copy_of_a_query_without_object_adds_its_negatives_only"),
    ),
    PlantedMistake(
        52,
        "The focal loss as a mean over queries and classes.",
        "losses.py",
        "sigmoid_focal_loss(logits, wanted, self.alpha, self.gamma).sum() / num_boxes",
        "sigmoid_focal_loss(logits, wanted, self.alpha, self.gamma).mean()",
        _unit("losses", f"{_BY_HAND}[(3, 0)-focal]"),
    ),
    PlantedMistake(
        53,
        "A softmax over the classes in the focal loss.",
        "losses.py",
        "probability = logits.sigmoid()",
        "probability = logits.softmax(dim=-1)",
        _unit("losses", "each_logit_is_judged_for_itself"),
    ),
    PlantedMistake(
        53,
        "A softmax over the classes in the scores.",
        "inference.py",
        "at_least_float32(logits).sigmoid().flatten(1)",
        "at_least_float32(logits).softmax(dim=-1).flatten(1)",
        _unit("inference", "scores_of_a_sigmoid_head_do_not_compete"),
    ),
    PlantedMistake(
        54,
        "Another alpha in the price of a class.",
        "matching.py",
        "FOCAL_ALPHA = 0.25",
        "FOCAL_ALPHA = 0.1",
        _unit("matching", "the_class_price_at_three_probabilities"),
    ),
    PlantedMistake(
        54,
        "The negative probability as price of a class, as in DETR.",
        "matching.py",
        "label_cost = as_object - as_nothing",
        "label_cost = -probability",
        _unit("matching", "the_class_price_is_the_change_of_the_focal_loss"),
    ),
    PlantedMistake(
        55,
        "Losses divided by the number of objects, also when there is none.",
        "losses.py",
        "return count.clamp(min=1)",
        "return count",
        _unit("losses", "images_without_objects_give_finite_losses_with_gradient[focal]"),
    ),
    PlantedMistake(
        55,
        "Losses divided by the objects of an image, not of the batch.",
        "losses.py",
        'float(sum(len(target["labels"]) for target in targets))',
        'float(sum(len(target["labels"]) for target in targets)) / len(targets)',
        _unit("losses", "doubling_the_batch_leaves_the_losses_unchanged[focal]"),
    ),
    PlantedMistake(
        55,
        "Losses divided by the objects of one process, not of all.",
        "losses.py",
        "        torch.distributed.all_reduce(count)\n"
        "        count = count / torch.distributed.get_world_size()\n",
        "        pass\n",
        _unit("losses", "two_processes_give_the_gradients_of_one_with_both_images"),
    ),
    PlantedMistake(
        56,
        "The distance of boxes as a mean over their four numbers.",
        "losses.py",
        'reduction="sum") / num_boxes',
        'reduction="sum") / 4 / num_boxes',
        _unit("losses", "a_box_that_is_off_in_all_four_numbers_counts_four_times"),
    ),
    PlantedMistake(
        57,
        "The overlap of centers and sizes, taken for corners.",
        "losses.py",
        "paired_giou(cxcywh_to_xyxy(matched_boxes), cxcywh_to_xyxy(target_boxes))",
        "paired_giou(matched_boxes.sort().values, target_boxes.sort().values)",
        _unit("losses", "the_overlap_is_that_of_corners"),
    ),
    PlantedMistake(
        57,
        "0 / 0 for boxes without area.",
        "boxes.py",
        "return torch.where(positive, numerator / torch.where(positive, denominator, 1), 0)",
        "return numerator / denominator",
        _unit("losses", "boxes_without_area_give_finite_losses_and_gradients"),
    ),
    PlantedMistake(
        57,
        "NaN from the model let through, to fail later somewhere else.",
        "losses.py",
        "        if torch.isnan(low):  # any NaN shows here\n",
        "        if False:\n",
        f"{_LINE}[NaN in the boxes of the last layer]",
    ),
    PlantedMistake(
        58,
        "Losses of earlier layers and of the proposals without a weight, left out in silence.",
        "losses.py",
        "            if name in LOG_ONLY:\n",
        '            if name in LOG_ONLY or "_" in name:\n',
        _unit("losses", "the_total_is_the_weighted_sum_of_all_but_what_is_only_logged[focal]"),
    ),
    PlantedMistake(
        58,
        "A loss with an unknown name left out in silence.",
        "losses.py",
        "            if known is None:\n",
        "            if known is None and name:\n                continue\n            if known is None:\n",
        f"{_LINE}[the name of an encoder loss of the official code]",
    ),
    PlantedMistake(
        59,
        "Layers that take over the matching of another layer.",
        "losses.py",
        "matches = hungarian_match(logits, boxes, targets, self.match_cost, background_class, allowed)",
        "matches = hungarian_match(logits, boxes, targets, self.match_cost, background_class, allowed)\n"
        '        matches = self.__dict__.setdefault("first_matches", matches)',
        _unit("losses", "every_layer_is_matched_anew[focal]"),
    ),
    PlantedMistake(
        59,
        "Matching with gradient.",
        "matching.py",
        "@torch.no_grad()\n",
        "",
        _unit("matching", "nothing_of_the_matching_has_a_gradient"),
    ),
    PlantedMistake(
        60,
        "Detections of a sigmoid head counted by the best class: every query is one.",
        "losses.py",
        "detected = layer.logits.amax(dim=-1) > 0",
        "detected = layer.logits.argmax(dim=-1) != self.num_classes",
        _unit("losses", "cardinality_counts_what_a_sigmoid_head_detects"),
    ),
    PlantedMistake(
        61,
        "Queries and objects swapped where there are fewer queries.",
        "matching.py",
        "return candidates[torch.from_numpy(rows)], torch.from_numpy(columns)",
        "pair = candidates[torch.from_numpy(rows)], torch.from_numpy(columns)\n"
        "    return pair[::-1] if cost.shape[0] > cost.shape[1] else pair",
        _unit("matching", "indices_are_sorted_whole_numbers_on_the_cpu"),
    ),
    PlantedMistake(
        61,
        "Objects divided wrongly between the images: all belong to the first.",
        "matching.py",
        "image = torch.arange(len(targets), device=device)",
        "image = torch.zeros(len(targets), dtype=torch.int64)",
        _unit("matching", "every_image_is_matched_with_its_own_objects"),
    ),
    PlantedMistake(
        61,
        "Indices among the allowed queries taken for indices among all.",
        "matching.py",
        "return candidates[torch.from_numpy(rows)], ",
        "return torch.from_numpy(rows), ",
        _unit("matching", "a_query_that_is_not_allowed_stays_without_an_object"),
    ),
    PlantedMistake(
        62,
        "Prices computed in half precision.",
        "matching.py",
        "logits, boxes = at_least_float32(logits), at_least_float32(boxes)",
        "pass",
        _unit("matching", "the_cost_of_half_precision_is_computed_in_float32"),
    ),
    PlantedMistake(
        62,
        "Focal loss computed in half precision.",
        "losses.py",
        "logits = at_least_float32(logits)\n",
        "pass\n",
        _unit("losses", "the_focal_loss_of_half_precision_is_finite_and_float32"),
    ),
    PlantedMistake(
        62,
        "All losses computed in half precision.",
        "losses.py",
        "logits, boxes = at_least_float32(layer.logits), at_least_float32(layer.boxes)",
        "logits, boxes = layer.logits, layer.boxes",
        _unit("losses", "half_precision_detections_give_float32_losses_and_finite_gradients[dtype1-focal]"),
    ),
    PlantedMistake(
        62,
        "Mixed precision that reaches the prices.",
        "matching.py",
        "torch.autocast(device.type, enabled=False)",
        "torch.autocast(device.type, enabled=torch.is_autocast_enabled(device.type))",
        _unit("matching", "autocast_does_not_reach_the_cost"),
    ),
    PlantedMistake(
        62,
        "Mixed precision that reaches the losses.",
        "losses.py",
        "torch.autocast(boxes.device.type, enabled=False)",
        "torch.autocast(boxes.device.type, enabled=torch.is_autocast_enabled(boxes.device.type))",
        _unit("losses", "autocast_does_not_reach_the_losses"),
    ),
)

USE = (
    PlantedMistake(
        63,
        "The best class of every query only, as in DETR.",
        "inference.py",
        "        candidates = at_least_float32(logits).sigmoid().flatten(1)  # B (Q C)\n"
        "        scores, pairs = candidates.topk(min(top_k, queries * columns), dim=1)  # B k\n"
        "        chosen, labels = pairs // columns, pairs % columns\n",
        "        candidates, best_classes = at_least_float32(logits).sigmoid().max(dim=-1)\n"
        "        scores, chosen = candidates.topk(min(top_k, queries), dim=1)\n"
        "        labels = best_classes.gather(1, chosen)\n",
        _unit("inference", "one_query_may_answer_with_two_classes"),
    ),
    PlantedMistake(
        63,
        "Pairs of query and class taken apart by the number of queries.",
        "inference.py",
        "chosen, labels = pairs // columns, pairs % columns",
        "labels, chosen = pairs // queries, pairs % queries",
        _unit("inference", "the_best_pairs_of_query_and_class_are_found_one_by_one"),
    ),
    PlantedMistake(
        64,
        "Boxes scaled to the padded batch instead of the original picture.",
        "inference.py",
        "zip(postprocess(detections, sizes, top_k), sizes, strict=True)",
        "zip(postprocess(detections, [tuple(batch.mask.shape[1:])] * len(sizes), top_k), sizes, strict=True)",
        _unit("inference", "boxes_come_back_in_pixels_of_each_image"),
    ),
    PlantedMistake(
        64,
        "Boxes of resized pictures compared at the resized size.",
        "evaluation.py",
        'target.get("original_size", image.shape[1:])',
        "image.shape[1:]",
        _unit("evaluation", "boxes_are_compared_at_the_original_size"),
    ),
    PlantedMistake(
        64,
        "Corners given to COCO's tools, which want a corner and a size.",
        "evaluation.py",
        "columns = (labels.tolist(), xyxy_to_xywh(corners).tolist(), areas.tolist(), crowds.tolist())",
        "columns = (labels.tolist(), corners.tolist(), areas.tolist(), crowds.tolist())",
        _unit("evaluation", "ground_truth_as_prediction_gives_one_exactly"),
    ),
    PlantedMistake(
        64,
        "Labels written where COCO wants category ids.",
        "data/coco.py",
        '"category_id": self.category_ids[label]',
        '"category_id": label',
        _unit(
            "coco", "mistake_64_ground_truth_as_prediction_gives_one_from_files_that_were_resized_and_padded"
        ),
    ),
    PlantedMistake(
        65,
        "Boxes scaled by (width, height, height, width).",
        "boxes.py",
        "boxes * boxes.new_tensor([width, height, width, height])",
        "boxes * boxes.new_tensor([width, height, height, width])",
        _unit("boxes", "x_is_scaled_by_the_width_and_y_by_the_height"),
    ),
    PlantedMistake(
        65,
        "Boxes read as center, height, width, as a comment of the official code says.",
        "boxes.py",
        "cx, cy, w, h = _columns(boxes)",
        "cx, cy, h, w = _columns(boxes)",
        _unit("matching", "width_comes_before_height"),
    ),
    PlantedMistake(
        66,
        "A module renamed, so that it leaves its group of learning rates.",
        "training.py",
        'SLOW = ("sampling_offsets", "reference_points")',
        'SLOW = ("offsets_of_sampling", "reference_points")',
        _unit("training", "sampling_offsets_and_reference_points_learn_at_a_tenth_of_the_rate[base]"),
    ),
    PlantedMistake(
        66,
        "A parameter in two groups.",
        "training.py",
        "        members[group].append(parameter)\n",
        "        members[group].append(parameter)\n"
        '        if group == "slow":\n            members["main"].append(parameter)\n',
        _unit("training", "every_trainable_parameter_is_in_exactly_one_group[base]"),
    ),
    PlantedMistake(
        67,
        "A shared head held once for every layer, as several names of one tensor.",
        "decoder.py",
        "nn.ModuleList(BoxHead(d_model) for _ in range(num_heads_of_each_kind))\n",
        "nn.ModuleList(BoxHead(d_model) for _ in range(num_heads_of_each_kind))\n"
        "        if not refine_boxes:\n"
        "            self.class_heads = nn.ModuleList([self.class_heads[0]] * num_layers)\n"
        "            self.box_heads = nn.ModuleList([self.box_heads[0]] * num_layers)\n",
        _unit("models", "the_shared_heads_of_the_base_model_are_held_once"),
    ),
    ImpossibleMistake(
        68,
        "The published learning rate, for 32 images a step, used with two.",
        "A choice of whoever trains. The default is one for small models, and the text of the field says "
        "what the published one belongs to.",
    ),
    PlantedMistake(
        69,
        "Batch norms that learn from two images.",
        "backbone.py",
        "norm_layer=FrozenBatchNorm2d,",
        "norm_layer=nn.BatchNorm2d,",
        _unit("backbone", "batch_norm_is_frozen_with_the_published_eps"),
    ),
    PlantedMistake(
        69,
        "ImageNet weights of another training.",
        "backbone.py",
        "torchvision.models.ResNet50_Weights.IMAGENET1K_V1",
        "torchvision.models.ResNet50_Weights.IMAGENET1K_V2",
        _here("the_first_imagenet_weights_of_torchvision_are_asked_for"),
    ),
    PlantedMistake(
        69,
        "Counters of batch norms in a file taken for weights that do not fit.",
        "checkpoints.py",
        "total_params|total_ops|num_batches_tracked",
        "total_params|total_ops",
        _here("counters_of_batch_norms_in_a_file_are_no_weights"),
    ),
    PlantedMistake(
        70,
        "Gradients of any length.",
        "training.py",
        "clip_grad_norm_(model.parameters(), config.clip_norm, ",
        'clip_grad_norm_(model.parameters(), float("inf"), ',
        _unit("training", "a_step_does_what_plain_adamw_does_by_hand"),
    ),
    PlantedMistake(
        71,
        "Weights of another variant accepted as far as they fit.",
        "checkpoints.py",
        "    if left:\n        raise ValueError",
        "    if False:\n        raise ValueError",
        _here("weights_of_another_variant_are_refused"),
    ),
    PlantedMistake(
        71,
        "With another number of classes, the box heads start anew too.",
        "checkpoints.py",
        'heads = [key for key in weights if re.search(r"(^|\\.)class_heads?\\.", key)]',
        'heads = [key for key in weights if re.search(r"(^|\\.)(class|box)_heads?\\.", key)]',
        _unit("checkpoints", "another_number_of_classes_starts_the_class_heads_anew_and_says_so"),
    ),
    PlantedMistake(
        72,
        "A finished run that is started again ends without a word.",
        "training.py",
        '            say(f"{folder} holds a finished run of {state.step} steps: nothing is left to do")\n',
        "",
        _unit("training", "a_finished_run_says_so_and_gives_its_result_again"),
    ),
    ImpossibleMistake(
        73,
        "Version 0.10 of torchvision read as the number 0.1.",
        "No version is read: what the package needs, pyproject.toml says.",
    ),
    PlantedMistake(
        74,
        "Areas of COCO for pictures so small that nothing in them is large.",
        "evaluation.py",
        "return COCO_SIDES if longer >= COCO_IMAGES else (longer / 8, longer / 4)",
        "return COCO_SIDES",
        _unit("evaluation", "mistake_74_small_images_have_large_objects"),
    ),
)

SECTIONS: dict[str, tuple[PlantedMistake | ImpossibleMistake, ...]] = {
    "Where attention looks": GEOMETRY,
    "Padding": PADDING,
    "What is added to what": WIRING,
    "Refinement and two stages": REFINEMENT,
    "Classes, matching, losses": LOSSES,
    "Results, data, training": USE,
}
MISTAKES = tuple(mistake for section in SECTIONS.values() for mistake in section)
