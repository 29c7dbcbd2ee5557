"""The figures of the book: one module a chapter, one function a figure; `_style` holds what they share.

`record_sampling` and `draw_sampling` are for models of your own; see `recording`.
"""

from detr_tutorial.plots.recording import RecordedAttention, draw_sampling, record_sampling

__all__ = ["RecordedAttention", "draw_sampling", "record_sampling"]
