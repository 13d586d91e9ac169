"""An estimate of a waveform and its target, with what several losses read of both."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

T = TypeVar("T")


class WavePair:
    """Waveforms (batch, samples) of an estimate and its target.

    Spectra are computed once, however many losses read them.

    Args:
        estimate: what a model synthesised.
        target: what it should have.
        resolutions: how many windows a multi-resolution loss draws at random, by torch's generator;
            None: it takes all. A loss over few windows takes one.
    """

    def __init__(self, estimate: Tensor, target: Tensor, resolutions: int | None = None):
        self.estimate = estimate
        self.target = target
        self.resolutions = resolutions
        self._cache: dict[Any, Any] = {}

    def cached(self, key: Any, function: Callable[[], T]) -> T:
        """What ``function`` returned when it was first called for ``key``."""
        if key not in self._cache:
            self._cache[key] = function()
        return cast(T, self._cache[key])

    def first(self, examples: int | None) -> WavePair:
        """The pair of the first ``examples`` of the batch; of all when None.

        Examples of a batch are drawn at random, so any of them stand for all: a costly loss reads a
        few.
        """
        if examples is None:
            return self
        return self.cached(
            ("first", examples),
            lambda: WavePair(self.estimate[:examples], self.target[:examples], self.resolutions),
        )

    def at_level(self, rms: float) -> WavePair:
        """The pair with a gain that brings each target to the level ``rms``.

        Losses with a floor then weigh quiet speech as they do loud speech.
        """
        level = self.target.square().mean(dim=1, keepdim=True).sqrt()
        gain = rms / level.clamp_min(1e-4)
        return WavePair(self.estimate * gain, self.target * gain, self.resolutions)

    def spectra(self, window: int) -> tuple[Tensor, Tensor]:
        """Complex STFTs (batch, frames, bins), Hann window, hop ``window // 4``, of both.

        They are scaled so that white noise of unit variance has bins of unit variance.
        """
        return self.cached(
            ("stft", window), lambda: (stft(self.estimate, window), stft(self.target, window))
        )

    def powers(self, window: int) -> tuple[Tensor, Tensor]:
        """Squared magnitudes of :meth:`spectra`."""
        estimate, target = self.spectra(window)
        return self.cached(("power", window), lambda: (_power(estimate), _power(target)))

    def draw(self, windows: tuple[int, ...], number: int | None = None) -> tuple[int, ...]:
        """``number`` (by default ``resolutions``) of ``windows``, drawn at random.

        All of them where ``resolutions`` is None.
        """
        if self.resolutions is None:
            return windows
        order = torch.randperm(len(windows))[: number or self.resolutions]
        return tuple(windows[i] for i in sorted(order.tolist()))


def in_float32(
    function: Callable[[WavePair], Tensor],
) -> Callable[[WavePair], Tensor]:
    """``function`` without autocast: logarithms and phases need single precision."""

    def loss(pair: WavePair) -> Tensor:
        with torch.autocast(pair.target.device.type, enabled=False):
            return function(pair)

    return loss


def stft(wave: Tensor, window: int) -> Tensor:
    """Complex (batch, frames, bins) of ``wave`` (batch, samples); see :meth:`WavePair.spectra`."""
    hann = _unit_hann(window, wave.device, wave.dtype)
    spectrum = torch.stft(wave, window, window // 4, window=hann, return_complex=True)
    return spectrum.transpose(1, 2)


@lru_cache(maxsize=64)
def _unit_hann(window: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False), torch.no_grad():
        hann = torch.hann_window(window, dtype=dtype, device=device)
        return hann * hann.square().sum().rsqrt()


def _power(spectrum: Tensor) -> Tensor:
    return spectrum.real.square() + spectrum.imag.square()
