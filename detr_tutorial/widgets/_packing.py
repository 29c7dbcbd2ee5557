"""Arrays as short text: what travels to the browser, and its exact error.

The JavaScript that reads it is js/src/math/packing.js. All numbers are little-endian.
"""

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

INT16_MAX = 32767
Packed = dict[str, Any]


def pack(values: NDArray, dtype: str) -> Packed:
    """Encode an array as {"dtype", "data"}, flat and in base64.

    Args:
        values: any shape; already within the range of `dtype`.
        dtype: "uint8", "int16" or "float32".
    """
    little_endian = np.ascontiguousarray(values, dtype=np.dtype(dtype).newbyteorder("<"))
    return {"dtype": dtype, "data": base64.b64encode(little_endian.tobytes()).decode("ascii")}


def to_int16(values: NDArray, axis: int) -> tuple[NDArray, NDArray]:
    """Round to 16 bits, with one scale for each index of `axis`: values = integers * scale."""
    other_axes = tuple(other for other in range(values.ndim) if other != axis)
    scale = np.abs(values).max(axis=other_axes, keepdims=True) / INT16_MAX
    integers = np.rint(values / np.where(scale > 0, scale, 1.0))
    return integers, scale.reshape(values.shape[axis])


def pack_table(table: NDArray, tolerance: float) -> tuple[Packed, float]:
    """Store a table as its mean row plus a product of two thin tables, no wider than the tolerance needs.

    The outputs of a linear layer on N vectors of C numbers have at most C independent directions, and none
    at all while its weights are zero. So this is far smaller than the table, and loses nothing but rounding.

    Args:
        table: (rows, columns).
        tolerance: the largest absolute error wanted, in the table's unit.
    Returns:
        The packed table, and the largest absolute error it makes; rounding to 16 bits may exceed the
        tolerance.
    """
    rows, columns = table.shape
    mean = table.mean(axis=0, dtype=np.float64).astype(np.float32)
    left, strength, right = np.linalg.svd(table.astype(np.float64) - mean, full_matrices=False)
    sign = np.where(right[np.arange(len(right)), np.abs(right).argmax(axis=1)] < 0, -1.0, 1.0)
    left_integers, left_scale = to_int16(left * strength * sign, axis=1)
    right_integers, right_scale = to_int16(right * sign[:, None], axis=0)
    scale = left_scale * right_scale

    def error(rank: int) -> float:
        product = (left_integers[:, :rank] * scale[:rank]) @ right_integers[:rank]
        return float(np.abs(mean + product - table).max())

    low, high = 0, len(strength)
    while low < high:  # the smallest rank within the tolerance, or all of them
        middle = (low + high) // 2
        low, high = (low, middle) if error(middle) <= tolerance else (middle + 1, high)
    packed = {
        "rows": rows,
        "columns": columns,
        "rank": low,
        "mean": pack(mean, "float32"),
        "left": pack(left_integers[:, :low], "int16"),
        "right": pack(right_integers[:low], "int16"),
        "scale": [float(f"{number:.9g}") for number in scale[:low]],
    }
    return packed, error(low)
