"""Reconstruction losses."""

from __future__ import annotations

import torch
import torchaudio
from torch import Tensor, nn


class SpectralLoss(nn.Module):
    """Log-mel, log-magnitude and power-law complex distances over several resolutions.

    At each window w (hop w // 4, Hann): the mean absolute difference of natural-log mel magnitudes,
    as in DAC (Kumar et al. 2023); and at the windows in ``complex_windows`` that of complex spectra
    compressed to ``|X|^exponent`` (Ephrat et al. 2018; Braun & Tashev 2020), real and imaginary
    parts summed: it is what asks for the right phase. Where phase cannot be had, a mel band is as
    well satisfied by one line as by noise, and rings; so at ``linear_windows`` comes the mean
    absolute difference of the log magnitudes of each bin (Yamamoto et al. 2020, Parallel WaveGAN).

    ``forward`` may take a random ``draws`` of the windows: the same expectation, for a fraction of
    the time, which is a third of a training step when all are computed.
    """

    def __init__(
        self,
        sample_rate: int,
        windows: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048),
        mels: tuple[int, ...] = (6, 12, 24, 48, 96, 160),
        complex_windows: tuple[int, ...] = (256, 512, 1024),
        linear_windows: tuple[int, ...] = (512, 1024, 2048),
        exponent: float = 0.3,
        floor: float = 1e-3,
    ):
        super().__init__()
        self.windows = windows
        self.complex_windows = complex_windows
        self.linear_windows = linear_windows
        self.exponent = exponent
        self.floor = floor
        for window, bins in zip(windows, mels, strict=True):
            bank = torchaudio.functional.melscale_fbanks(
                window // 2 + 1, 0.0, sample_rate / 2, bins, sample_rate, None, "slaney"
            )
            self.register_buffer(f"bank{window}", bank, persistent=False)
        for window in {*windows, *complex_windows, *linear_windows}:
            self.register_buffer(f"hann{window}", torch.hann_window(window), persistent=False)

    def forward(
        self, estimate: Tensor, target: Tensor, draws: int | None = None
    ) -> dict[str, Tensor]:
        """Distances of (batch, samples) by name: ``mel``, ``linear``, ``complex``, each a mean.

        With ``draws``, so many windows are taken for ``mel``, and one for each of the others.
        """
        mel_windows, complex_windows = self.windows, self.complex_windows
        linear_windows = self.linear_windows
        if draws is not None:
            mel_windows = _choose(mel_windows, draws)
            complex_windows = _choose(complex_windows, 1)
            linear_windows = _choose(linear_windows, 1)
        terms: dict[str, list[Tensor]] = {"mel": [], "linear": [], "complex": []}
        for window in sorted({*mel_windows, *complex_windows, *linear_windows}):
            x, y = self._spectrum(target, window), self._spectrum(estimate, window)
            power_x, power_y = _power(x), _power(y)
            if window in mel_windows:
                bank = getattr(self, f"bank{window}")
                terms["mel"].append(self._log_distance(power_x @ bank, power_y @ bank))
            if window in linear_windows:
                terms["linear"].append(self._log_distance(power_x, power_y))
            if window in complex_windows:
                slope_x, slope_y = self._slope(power_x)[..., None], self._slope(power_y)[..., None]
                gap = torch.view_as_real(y) * slope_y - torch.view_as_real(x) * slope_x
                terms["complex"].append(2 * gap.abs().mean())
        return {name: torch.stack(values).mean() for name, values in terms.items()}

    def _spectrum(self, wave: Tensor, window: int) -> Tensor:
        """Complex (batch, frames, bins); unit-variance noise has unit-variance bins."""
        hann = getattr(self, f"hann{window}")
        hann = hann * hann.square().sum().rsqrt()
        spectrum = torch.stft(wave, window, window // 4, window=hann, return_complex=True)
        return spectrum.transpose(1, 2)

    def _log_distance(self, x: Tensor, y: Tensor) -> Tensor:
        # Of powers: a magnitude has no bounded slope at zero.
        floor = self.floor**2
        return 0.5 * (torch.log(y + floor) - torch.log(x + floor)).abs().mean()

    def _slope(self, power: Tensor) -> Tensor:
        """Factor that compresses a bin of this power; by logarithm, twice as fast as by pow."""
        return torch.exp(torch.log(power + 1e-10) * ((self.exponent - 1) / 2))


def _power(spectrum: Tensor) -> Tensor:
    return spectrum.real.square() + spectrum.imag.square()


def _choose(windows: tuple[int, ...], number: int) -> tuple[int, ...]:
    order = torch.randperm(len(windows))[:number]
    return tuple(windows[i] for i in order.tolist())
