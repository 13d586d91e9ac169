"""Exact search of a codebook at the price of single precision."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

ROUNDING = 2.0**-24
"""Relative error of one operation in single precision."""


class NearestSearch:
    """Finds the entries with the best ``rows @ entries.T + offsets`` as double precision would.

    A search is bound by reading the codebook, so it runs in single precision, at half the bytes. No
    score of d products and an offset is then off by more than ``(d + 3) * ROUNDING`` times the sum
    of their magnitudes, in whatever order they are added (Higham 2002, section 3.1); that sum is at
    most ``|row| |entry| + |offset|``. Rows with a second entry within both errors of the best, a
    few in a hundred, are settled in double precision. So the answer depends neither on the
    processor nor on what else is in the batch, which single precision alone does not give.

    For rows in double precision on the CPU, with entries (cardinality, d), offsets (cardinality,).
    """

    def __init__(self, entries: Tensor, offsets: Tensor):
        self.entries = entries
        self.offsets = offsets
        # Dimensions first: for a single row this layout is twice as fast as its transpose.
        self.table = entries.T.float().contiguous()
        self.shift = offsets.float()
        error = 1.01 * (entries.shape[1] + 3) * ROUNDING
        self.slope = 2 * error * float(entries.norm(dim=1).max())
        self.least = 2 * error * float(offsets.abs().max())

    def __call__(self, rows: Tensor) -> Tensor:
        """Index (n,) of the best entry for each row (n, d); of equal ones the first."""
        scores = torch.addmm(self.shift, rows.float(), self.table).numpy()
        slack = self.slope * torch.linalg.vector_norm(rows, dim=1).numpy() + self.least
        near = scores >= (scores.max(axis=1) - slack)[:, None]
        codes = near.argmax(axis=1)
        if np.count_nonzero(near) != len(near):
            for row in np.flatnonzero(np.count_nonzero(near, axis=1) > 1):
                rivals = torch.from_numpy(np.flatnonzero(near[row]))
                exact = self.entries[rivals] @ rows[row] + self.offsets[rivals]
                codes[row] = rivals[exact.argmax()]
        return torch.from_numpy(codes)
