"""Matrix products of whole numbers, exact on every machine."""

from __future__ import annotations

import numpy as np

_EXACT = 1 << 24  # whole numbers up to here are exact in float32


class Linear:
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
        ValueError: when a sum could reach 2**24, or the shift is out of range.
    """

    def __init__(
        self, weight: np.ndarray, bias: np.ndarray, shift: int, most: int | np.ndarray
    ) -> None:
        largest = np.abs(weight.astype(np.int64)) @ np.broadcast_to(most, weight.shape[1:])
        if (largest + np.abs(bias.astype(np.int64))).max() >= _EXACT:
            raise ValueError("weights too large for exact sums")
        if not 0 <= shift <= 24:
            raise ValueError(f"a shift of {shift} is not in 0..24")
        self._weight = np.ldexp(weight.T.astype(np.float32, order="F"), -shift)
        self._bias = np.ldexp(bias.astype(np.float32), -shift)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Whole numbers, float32 (n, outputs), of float32 (n, inputs)."""
        y = x @ self._weight
        y += self._bias
        return np.rint(y, out=y)


def crop(x: np.ndarray, low: int, high: int) -> np.ndarray:
    """``x`` within bounds; for short arrays much faster than ``np.clip``."""
    return np.minimum(np.maximum(x, np.float32(low)), np.float32(high))
