"""Checks for the exercises: each takes your function, and says whether it is right or which mistake it makes.

    from detr_tutorial import checks
    checks.sampling_locations(your_function)

Each chapter that has exercises has a module here; `_check` holds what they share.
"""

from detr_tutorial.checks._check import Check, CheckResult
from detr_tutorial.checks.chapter_10 import decoder_reference_points, encoder_reference_points, pixel_centers
from detr_tutorial.checks.chapter_12 import bilinear_sample, ms_deform_attn

__all__ = [
    "Check",
    "CheckResult",
    "bilinear_sample",
    "decoder_reference_points",
    "encoder_reference_points",
    "ms_deform_attn",
    "pixel_centers",
]
