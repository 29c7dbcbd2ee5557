"""The figures of the book: one module a chapter, one function a figure; `_style` holds what they share."""
