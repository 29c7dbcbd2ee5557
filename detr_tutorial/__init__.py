"""Deformable DETR, built step by step: one module for each chapter of the book."""

__version__ = "0.1.0"
