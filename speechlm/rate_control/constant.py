"""A constant bitrate: the number of levels goes up and down around it."""

from __future__ import annotations

import numpy as np

from speechlm.rate_control.budget import Budget
from speechlm.rate_control.lagrangian import STAY_BITS, SWITCH_BITS, cumulative
from speechlm.types import Floats, Ints

_SLACK = 2.0  # frames' worth of bits that the stream may be ahead or behind
_RETURN = 25.0  # frames in which to get back


class ConstantRate:
    """Keep to a budget within a few frames' worth of bits.

    A frame has as many levels as the one before for as long as that does, since the number costs
    bits where it changes; then as many as bring the stream back soonest without a leap.
    """

    def __init__(self, budget: Budget, num_codebooks: int) -> None:
        self.budget = budget
        self._before = num_codebooks

    def choose(self, bits: Floats, loss: Floats) -> Ints:
        """Levels (frames,), one or more, of the next frames: see the package for the arguments."""
        spent = cumulative(bits)
        counts = np.empty(spent.shape[1], np.int64)
        budget = self.budget
        for frame in range(len(counts)):
            budget.earn()
            cost = spent[:, frame] + SWITCH_BITS
            cost[self._before] += STAY_BITS - SWITCH_BITS
            if abs(budget.ahead - cost[self._before]) > _SLACK * budget.per_frame:
                wanted = budget.income + (budget.ahead - budget.income) / _RETURN
                self._before = 1 + int(np.abs(cost[1:] - wanted).argmin())
            budget.spend(self._before, spent[self._before, frame])
            counts[frame] = self._before
        return counts
