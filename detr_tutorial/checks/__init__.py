"""Checks for the exercises: each takes your function, and says whether it is right or which mistake it makes.

    from detr_tutorial import checks
    checks.sampling_locations(your_function)

Each chapter that has exercises has a module here; `_check` holds what they share.
"""

from detr_tutorial.checks._check import Check, CheckResult
from detr_tutorial.checks.chapter_01 import class_targets, greedy_match
from detr_tutorial.checks.chapter_02 import crop_boxes, crop_fractions, cxcywh_to_xyxy, pad_images
from detr_tutorial.checks.chapter_03 import frozen_batch_norm, resize_mask
from detr_tutorial.checks.chapter_04 import (
    angles_of_cells,
    place_of_encoding,
    point_encoding,
    sine_encoding,
)
from detr_tutorial.checks.chapter_05 import cross_attention_inputs, multi_head_attention
from detr_tutorial.checks.chapter_06 import decoder_bill, level_sizes
from detr_tutorial.checks.chapter_07 import grid_offsets, receptive_field
from detr_tutorial.checks.chapter_08 import flatten_maps, token_address, token_patch
from detr_tutorial.checks.chapter_09 import level_positions
from detr_tutorial.checks.chapter_10 import decoder_reference_points, encoder_reference_points, pixel_centers
from detr_tutorial.checks.chapter_11 import (
    box_sampling_locations,
    joint_softmax,
    sampling_locations,
    star_offsets,
)
from detr_tutorial.checks.chapter_12 import bilinear_sample, ms_deform_attn
from detr_tutorial.checks.chapter_13 import cells_heard, rest_of_layer
from detr_tutorial.checks.chapter_14 import count_duplicates, object_queries
from detr_tutorial.checks.chapter_15 import move_boxes, refine
from detr_tutorial.checks.chapter_16 import encode_boxes, grid_proposals
from detr_tutorial.checks.chapter_17 import box_losses, class_loss
from detr_tutorial.checks.chapter_18 import learning_factor, part_factors
from detr_tutorial.checks.chapter_19 import average_precision, postprocess
from detr_tutorial.checks.chapter_20 import offsets_from_locations, original_pixels

__all__ = [
    "Check",
    "CheckResult",
    "angles_of_cells",
    "average_precision",
    "bilinear_sample",
    "box_losses",
    "box_sampling_locations",
    "cells_heard",
    "class_loss",
    "class_targets",
    "count_duplicates",
    "crop_boxes",
    "crop_fractions",
    "cross_attention_inputs",
    "cxcywh_to_xyxy",
    "decoder_bill",
    "decoder_reference_points",
    "encode_boxes",
    "encoder_reference_points",
    "flatten_maps",
    "frozen_batch_norm",
    "greedy_match",
    "grid_offsets",
    "grid_proposals",
    "joint_softmax",
    "learning_factor",
    "level_positions",
    "level_sizes",
    "move_boxes",
    "ms_deform_attn",
    "multi_head_attention",
    "object_queries",
    "offsets_from_locations",
    "original_pixels",
    "pad_images",
    "part_factors",
    "pixel_centers",
    "place_of_encoding",
    "point_encoding",
    "postprocess",
    "receptive_field",
    "refine",
    "resize_mask",
    "rest_of_layer",
    "sampling_locations",
    "sine_encoding",
    "star_offsets",
    "token_address",
    "token_patch",
]
