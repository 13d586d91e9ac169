"""What compiled code for a single frame or position is made of (extra ``live``: numba).

Its time is that of reading all weights once, so matrices come in half precision where that loses
nothing, as it does for weights that were stored so; they are widened in the registers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float32]
Matrix = NDArray[np.float32] | NDArray[np.uint16]
"""Numbers in single precision, or the bits of numbers in half precision."""


def matrix(values: Tensor) -> Matrix:
    """``values`` in half precision if that is what they have, and in single precision if not."""
    half = values.detach().half()
    if bool((half.float() == values).all()):
        return np.ascontiguousarray(half.numpy()).view(np.uint16)
    return np.ascontiguousarray(values.detach().numpy())


def _widen(_context: Any, value: Any) -> Any:
    """The number in single precision that an element of a :data:`Matrix` is."""

    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        if value == types.float32:
            return arguments[0]
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), ir.FloatType())

    return types.float32(value), code


widen: Any = intrinsic(_widen)


@njit(cache=True, fastmath=True)
def product(weight: Matrix, x: Floats) -> Floats:
    """``weight @ x``."""
    rows, columns = weight.shape
    y = np.empty(rows, np.float32)
    for i in range(rows):
        total = np.float32(0)
        for j in range(columns):
            total += widen(weight[i, j]) * x[j]
        y[i] = total
    return y
