"""Channels to one."""

from __future__ import annotations

import numpy as np

_CANCELLED = 0.25
"""Power of the average, in parts of what channels without correlation would leave of theirs."""


class Mixer:
    """Averages the channels of a sound, unless they cancel.

    Where one channel is another one inverted (a cable with swapped wires, a differential
    recording), the average is silence: the loudest channel is then taken from there on.

    Attributes:
        note: set once channels have cancelled.
    """

    note: str | None = None

    def __init__(self) -> None:
        self._channel: int | None = None

    def mix(self, piece: np.ndarray) -> np.ndarray:
        """Float32 (samples,) of a piece (samples, channels)."""
        channels = piece.shape[1]
        if channels == 1:
            return piece[:, 0]
        if self._channel is None:
            mean: np.ndarray = piece.mean(axis=1, dtype=np.float32)
            powers = np.square(piece, dtype=np.float64).sum(axis=0)
            kept = np.square(mean, dtype=np.float64).sum()
            if kept >= _CANCELLED * powers.sum() / channels**2:
                return mean
            self._channel = int(powers.argmax())
            self.note = (
                f"its channels cancel (one is another inverted): channel {self._channel + 1} alone "
                "is taken"
            )
        return piece[:, self._channel]
