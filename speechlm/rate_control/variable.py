"""Bits where they matter, while streaming."""

from __future__ import annotations

import numpy as np

from speechlm.rate_control.budget import Budget
from speechlm.rate_control.lagrangian import STAY_BITS, SWITCH_BITS, cumulative, price_of_budget
from speechlm.types import Floats, Ints

_MEMORY_SECONDS = 10.0
_PERIOD_SECONDS = 0.5
RESERVOIR_SECONDS = 2.0
_COUNT_BITS = 1.5  # of a frame's number of levels, about


class FixedQuality:
    """Every bit is worth the same ``price``, whatever the rate that this makes."""

    def __init__(self, price: float, num_codebooks: int) -> None:
        self.price = price
        self._before = num_codebooks

    def choose(self, bits: Floats, loss: Floats) -> Ints:
        """Levels (frames,) of the next frames: see the package for the arguments."""
        spent = cumulative(bits)
        return np.array([self._one(spent[:, t], loss[:, t]) for t in range(bits.shape[1])], int)

    def _one(self, spent: Floats, loss: Floats) -> int:
        total = loss + self.price * (spent + SWITCH_BITS)
        total[self._before] += self.price * (STAY_BITS - SWITCH_BITS)
        self._before = int(total.argmin())
        return self._before


class VariableRate:
    """Spend the budget on average, each bit where it spares the most loss.

    A bit's price is the one that would have met the budget over the last ten seconds. What is saved
    in one place is spent in another, within two seconds' worth of bits: a stream is never further
    beyond its budget, and what it saves beyond that in a long silence is given up.
    """

    def __init__(self, budget: Budget, num_codebooks: int, frame_rate: float) -> None:
        self.budget = budget
        self.reservoir = RESERVOIR_SECONDS * frame_rate * budget.per_frame
        self._memory = round(_MEMORY_SECONDS * frame_rate)
        self._period = max(1, round(_PERIOD_SECONDS * frame_rate))
        self._spent = np.zeros((num_codebooks + 1, 0))
        self._loss = np.zeros((num_codebooks + 1, 0))
        self._frames = 0
        self._price = 0.0
        self._before = num_codebooks

    def choose(self, bits: Floats, loss: Floats) -> Ints:
        """Levels (frames,) of the next frames: see the package for the arguments."""
        spent = cumulative(bits)
        counts = np.empty(bits.shape[1], np.int64)
        for start in range(0, len(counts), self._period):
            part = slice(start, start + self._period)
            self._remember(spent[:, part], loss[:, part])
            for frame in range(start, min(start + self._period, len(counts))):
                counts[frame] = self._one(spent[:, frame], loss[:, frame])
        return counts

    def _remember(self, spent: Floats, loss: Floats) -> None:
        self._spent = np.concatenate([self._spent, spent], axis=1)[:, -self._memory :]
        self._loss = np.concatenate([self._loss, loss], axis=1)[:, -self._memory :]
        due = self._frames // self._period
        self._frames += spent.shape[1]
        if self._frames // self._period > due or self._frames <= self._period:
            frames = self._spent.shape[1]
            frame_bits = self.budget.income + self.budget.ahead / self._memory - _COUNT_BITS
            self._price = price_of_budget(self._loss, self._spent, frame_bits * frames)

    def _one(self, spent: Floats, loss: Floats) -> int:
        budget = self.budget
        budget.earn()
        budget.ahead = min(budget.ahead, self.reservoir)
        price = self._price * 2.0 ** (-budget.ahead / self.reservoir)
        cost = spent + SWITCH_BITS
        cost[self._before] += STAY_BITS - SWITCH_BITS
        within = cost <= max(budget.ahead + self.reservoir, cost.min())
        total = np.where(within, loss, np.inf) + price * cost
        self._before = int(total.argmin())
        budget.spend(self._before, spent[self._before])
        return self._before
