"""Matrix products of whole numbers, exact on every machine."""

from __future__ import annotations

from functools import cache

import numpy as np

_EXACT = 1 << 24  # whole numbers up to here are exact in float32


class IntegerLinear:
    """``round((weight @ x + bias) / 2**shift)`` of whole numbers, halves to even.

    No partial sum, whatever the order, reaches 2**24; so each is exact in float32, and BLAS may
    take any kernel and any number of threads. Weights are kept scaled by the power of two, which
    changes nothing of that.

    Args:
        weight: (outputs, inputs); of any memory layout.
        bias: (outputs,).
        shift: 0 to 24.
        most: the largest magnitude of an input: one number, or one for each input (inputs,).

    Raises:
        ValueError: when a sum could reach 2**24, the shift is out of range, or this machine's BLAS
            takes short cuts (TF32, bfloat16) that round even small whole numbers.
    """

    def __init__(
        self, weight: np.ndarray, bias: np.ndarray, shift: int, most: int | np.ndarray
    ) -> None:
        largest = np.abs(weight.astype(np.int64)) @ np.broadcast_to(most, weight.shape[1:])
        if (largest + np.abs(bias.astype(np.int64))).max() >= _EXACT:
            raise ValueError("weights too large for exact sums")
        if not 0 <= shift <= 24:
            raise ValueError(f"a shift of {shift} is not in 0..24")
        if not products_are_exact():
            raise ValueError("NumPy's BLAS multiplies float32 with less than its precision here")
        self._weight = np.ldexp(weight.T.astype(np.float32, order="F"), -shift)
        self._bias = np.ldexp(bias.astype(np.float32), -shift)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Whole numbers, float32 (n, outputs), of float32 (n, inputs)."""
        y = x @ self._weight
        y += self._bias
        return np.rint(y, out=y)


@cache
def products_are_exact() -> bool:
    """Whether products of one row and of many, of the numbers that occur here, come out right."""
    for rows in (1, 64):
        x = np.arange(rows * 64).reshape(rows, 64) * 389 % 2047 - 1023
        weight = np.arange(64 * 256).reshape(256, 64) * 173 % 255 - 127
        product = x.astype(np.float32) @ weight.T.astype(np.float32, order="F")
        if not np.array_equal(product, x @ weight.T):
            return False
    return True


def crop(x: np.ndarray, low: int, high: int) -> np.ndarray:
    """``x`` within bounds; for short arrays much faster than ``np.clip``."""
    return np.minimum(np.maximum(x, np.float32(low)), np.float32(high))
