"""Resampling of streams: a windowed sinc, the same in pieces and as a whole."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from speechlm.audio.errors import AudioError

if TYPE_CHECKING:
    import torch

_KERNEL_LIMIT = 1 << 24  # coefficients of a resampling kernel


class UnsupportedRatio(AudioError):
    """Two rates whose filter would not fit in memory."""


def resample(wave: np.ndarray, source: int, target: int) -> np.ndarray:
    """:func:`resampled`, of a whole (samples,) at once."""
    return np.concatenate(list(resampled([wave], source, target)))


def resampled(pieces: Iterable[np.ndarray], source: int, target: int) -> Iterator[np.ndarray]:
    """Resample a stream from ``source`` to ``target`` Hz: float32 (samples,) pieces of any lengths.

    For n samples in, ceil(n * target / source) come out: to float rounding those of
    ``torchaudio.transforms.Resample`` on the whole (a Hann-windowed sinc over 6 zero crossings),
    whatever the lengths of the pieces.

    Raises:
        AudioError: when the rates have so small a common divisor that the filter would not fit in
            memory (such as 44101 to 16000 Hz).
    """
    if source == target:
        yield from pieces
        return
    import torch

    kernel, width = _kernel(source, target)
    divisor = math.gcd(source, target)
    step, phases = source // divisor, target // divisor  # so many samples in give so many out
    # One position of the kernel sees `width` samples, `step` samples, `width` samples, and gives
    # the `phases` outputs for those in the middle. `held` starts where the next position does.
    held = np.zeros(width, np.float32)
    received = sent = 0

    def filtered() -> np.ndarray:
        nonlocal held
        positions = max(0, (len(held) - 2 * width) // step)
        if positions == 0:
            return np.zeros(0, np.float32)
        signal = torch.from_numpy(held[: positions * step + 2 * width])
        output = torch.nn.functional.conv1d(signal[None, None], kernel, stride=step)[0]
        held = held[positions * step :]
        return output.T.reshape(-1).numpy()

    for piece in pieces:
        received += len(piece)
        held = np.concatenate([held, piece])
        output = filtered()
        sent += len(output)
        yield output
    held = np.concatenate([held, np.zeros(width + step, np.float32)])
    yield filtered()[: -(-received * phases // step) - sent]


@lru_cache(maxsize=4)
def _kernel(source: int, target: int) -> tuple[torch.Tensor, int]:
    """Polyphase filter (phases, 1, width + step + width) and its width, from torchaudio."""
    divisor = math.gcd(source, target)
    if (source // divisor) * (target // divisor) > _KERNEL_LIMIT:
        raise UnsupportedRatio(
            f"{source} Hz cannot be resampled to {target} Hz: convert it with another tool first"
        )
    from torchaudio.transforms import Resample

    resample = Resample(source, target)
    return resample.kernel, resample.width
