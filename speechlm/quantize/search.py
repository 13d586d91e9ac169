"""Exact search of codebooks at the price of single precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from speechlm.quantize.residual import ResidualQuantizer

ROUNDING = 2.0**-24
"""Relative error of one operation in single precision."""


class NearestSearch:
    """Finds the entries with the best ``rows @ entries.T + offsets`` as double precision would.

    A search is bound by reading the codebook, so it runs in single precision, at half the bytes. No
    score of d products and an offset is then off by more than ``(d + 3) * ROUNDING`` times the sum
    of their magnitudes, in whatever order they are added (Higham 2002, section 3.1), the rounding
    of a row in doubles included; that sum is at most ``|row| |entry| + |offset|``. Entries within
    both errors of the best, in a few rows of a thousand, are compared in double precision. So the
    answer depends neither on the processor nor on what else is in the batch, which single precision
    alone does not give.

    ``entries`` (codebook_size, d) and ``offsets`` (codebook_size,) are on the CPU.
    """

    def __init__(self, entries: Tensor, offsets: Tensor):
        self.entries = entries.double().numpy()
        self.offsets = offsets.double().numpy()
        self.single = entries.float()
        # Entries last: for a single row this layout is twice as fast as its transpose.
        self.table = self.single.T.contiguous()
        self.shift = offsets.float()
        error = 1.01 * (entries.shape[1] + 3) * ROUNDING
        self.longest = float(entries.norm(dim=1).max())
        self.slope = 2 * error * self.longest
        self.least = 2 * error * float(offsets.abs().max())

    def near(
        self, rows: NDArray[np.floating], drift: float = 0.0
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Index (n,) of the best entry for each row (n, d), and whether it is doubtful (n,).

        It is when the rows themselves may be off by a norm of ``drift``, which changes the
        difference of two scores by so much times the distance of the entries.
        """
        single = torch.from_numpy(rows.astype(np.float32, copy=False))
        scores = torch.addmm(self.shift, single, self.table).numpy()
        slack = self.slack(np.sqrt(np.vecdot(rows, rows))) + 2 * drift * self.longest
        each = np.arange(len(rows))
        codes = scores.argmax(axis=1)
        floor = scores[each, codes] - slack
        scores[each, codes] = -np.inf
        doubtful = scores.max(axis=1) >= floor
        for row in doubtful.nonzero()[0]:
            rivals = np.append(np.flatnonzero(scores[row] >= floor[row]), codes[row])
            rivals.sort()  # of equal ones the first
            entries = self.entries[rivals]
            exact = entries @ rows[row].astype(np.float64) + self.offsets[rivals]
            best = exact.argmax()
            codes[row] = rivals[best]
            allowed = drift * np.linalg.norm(entries - entries[best], axis=1)
            doubtful[row] = (exact > exact[best] - allowed).any()
        return codes, doubtful

    def slack(self, length: NDArray[np.floating]) -> NDArray[np.floating]:
        """How far off the difference of two scores of a row of this length may be."""
        return self.slope * length + self.least


class ResidualSearch:
    """The greedy codes of a trained :class:`ResidualQuantizer` without a look-up.

    Each stage is searched for what those before it left over.
    """

    def __init__(self, quantizer: ResidualQuantizer):
        stages = [stage.codebook.detach() for stage in quantizer.stages]
        self.stages = [NearestSearch(x, -0.5 * x.double().square().sum(dim=1)) for x in stages]

    def near(
        self, rows: NDArray[np.floating], num_codebooks: int, drift: float
    ) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
        """Codes (n, codebooks) of rows (n, d) that are off by a norm of ``drift`` at most, and the
        indices of rows for which exact ones may have other codes."""
        codes = np.empty((len(rows), num_codebooks), np.int64)
        doubtful = np.zeros(len(rows), bool)
        for k, stage in enumerate(self.stages[:num_codebooks]):
            codes[:, k], close = stage.near(rows, drift)
            doubtful |= close
            rows = rows - stage.entries[codes[:, k]].astype(rows.dtype)
        return codes, doubtful.nonzero()[0]

    def exact(self, rows: NDArray[np.float64], num_codebooks: int) -> NDArray[np.int64]:
        """Codes (n, codebooks) of rows (n, d) that are what they are."""
        return self.near(rows, num_codebooks, 0.0)[0]
