"""One minus the coherence of an estimate with its target, by band."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from speechlm.training.losses.wave_pair import WavePair


class CoherenceLoss(nn.Module):
    """One minus the magnitude-weighted cosine of phase differences, a mean over bands.

    In each band of an example: ``Re sum(X conj(Y)) / sum(|X| |Y|)`` over its bins and frames, which
    is 1 where the phases agree and 0 where they are unrelated, whatever the magnitudes.

    Args:
        sample_rate: of the waveforms.
        window: of the STFT, in samples.
        edges: of the bands, in Hz.
    """

    def __init__(
        self,
        sample_rate: int,
        window: int = 512,
        edges: tuple[float, ...] = (0.0, 1000.0, 2000.0, 4000.0),
    ):
        super().__init__()
        self.window = window
        self.bins = [round(edge * window / sample_rate) for edge in edges]

    def forward(self, pair: WavePair) -> Tensor:
        estimate, target = pair.spectra(self.window)
        aligned = estimate.real * target.real + estimate.imag * target.imag
        power_estimate, power_target = pair.powers(self.window)
        # A floor well below speech, since the slope of a magnitude is not bounded at zero.
        magnitudes = ((power_estimate + 1e-8) * (power_target + 1e-8)).sqrt()
        cosines = [
            aligned[..., low:high].sum(dim=(1, 2)) / magnitudes[..., low:high].sum(dim=(1, 2))
            for low, high in zip(self.bins, self.bins[1:], strict=False)
        ]
        return 1 - torch.stack(cosines).mean()
