"""Exact search of a codebook at the price of single precision."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ROUNDING = 2.0**-24
"""Relative error of one operation in single precision."""


class NearestSearch:
    """Finds the entries with the best ``rows @ entries.T + offsets`` as double precision would.

    A search is bound by reading the codebook, so it runs in single precision, at half the bytes. No
    score of d products and an offset is then off by more than ``(d + 3) * ROUNDING`` times the sum
    of their magnitudes, in whatever order they are added (Higham 2002, section 3.1); that sum is at
    most ``|row| |entry| + |offset|``. Rows with a second entry within both errors of the best, a
    few in a thousand, are settled in double precision. So the answer depends neither on the
    processor nor on what else is in the batch, which single precision alone does not give.

    ``entries`` (cardinality, d) and ``offsets`` (cardinality,) are doubles on the CPU. Rows come as
    NumPy arrays, whose small operations cost a third of PyTorch's on a single frame.
    """

    def __init__(self, entries: Tensor, offsets: Tensor):
        self.entries = entries.numpy()
        self.offsets = offsets.numpy()
        # Dimensions first: for a single row this layout is twice as fast as its transpose.
        self.table = entries.T.float().contiguous()
        self.shift = offsets.float()
        error = 1.01 * (entries.shape[1] + 3) * ROUNDING
        self.slope = 2 * error * float(entries.norm(dim=1).max())
        self.least = 2 * error * float(offsets.abs().max())

    def __call__(self, rows: NDArray[np.float64]) -> NDArray[np.int64]:
        """Index (n,) of the best entry for each row (n, d); of equal ones the first."""
        single = torch.from_numpy(rows.astype(np.float32))
        scores = torch.addmm(self.shift, single, self.table).numpy()
        slack = self.slope * np.sqrt(np.vecdot(rows, rows)) + self.least
        each = np.arange(len(rows))
        codes = scores.argmax(axis=1)
        floor = scores[each, codes] - slack
        scores[each, codes] = -np.inf
        for row in (scores.max(axis=1) >= floor).nonzero()[0]:
            rivals = np.append(np.flatnonzero(scores[row] >= floor[row]), codes[row])
            rivals.sort()
            exact = self.entries[rivals] @ rows[row] + self.offsets[rivals]
            codes[row] = rivals[exact.argmax()]
        return codes


def residual_search(stages: list[NearestSearch], rows: NDArray[np.float64]) -> NDArray[np.int64]:
    """Codes (n, stages) of rows (n, d), each stage searched for what those before it left over."""
    codes = np.empty((len(rows), len(stages)), np.int64)
    for k, stage in enumerate(stages):
        code = stage(rows)
        rows = rows - stage.entries[code]
        codes[:, k] = code
    return codes
