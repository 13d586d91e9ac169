"""Augmentation: crops as another microphone, in another room, over another line, would give them.

A codec reconstructs what it is given, so the augmented crop is input and target alike: the noise
and the room belong to the recording, and a codec that took them out would be an enhancer, which
guesses, and which its user cannot turn off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.signal import fftconvolve, firwin

from speechlm.errors import SpeechLMError
from speechlm.types import Wave

TAPS = 255
"""Length of a band limit's filter: at 16 kHz it falls by 50 dB within 150 Hz of the limit."""
TELEPHONE = (300.0, 4000.0)
"""A line that ends below the second also begins at the first, in Hz."""


@dataclass
class AugmentConfig:
    """How often each change comes (a probability), and how strong it is (drawn evenly)."""

    reverb: float = 0.0
    reverb_seconds: tuple[float, float] = (0.1, 0.6)
    """Time in which the room's answer falls by 60 dB."""
    direct_db: tuple[float, float] = (0.0, 15.0)
    """Power of the direct sound over that of the room's answer."""
    noise: float = 0.0
    snr_db: tuple[float, float] = (15.0, 40.0)
    """Power of the crop over that of the noise."""
    band: float = 0.0
    band_hz: tuple[float, float] = (3400.0, 8000.0)
    """Upper end of the band. Below 4 kHz it is a telephone's, without what lies under 300 Hz."""

    @property
    def is_active(self) -> bool:
        """Whether any change ever comes."""
        return max(self.reverb, self.noise, self.band) > 0

    def __post_init__(self) -> None:
        shares = {"reverb": self.reverb, "noise": self.noise, "band": self.band}
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise SpeechLMError(f"augment.{name} is a probability, not {share}")
        if min(self.reverb_seconds) <= 0 or min(self.band_hz) <= TELEPHONE[0]:
            raise SpeechLMError(
                f"augment: reverb_seconds lie above 0, band_hz above {TELEPHONE[0]:g}"
            )


def augment(wave: Wave, sample_rate: int, config: AugmentConfig, random: Generator) -> Wave:
    """Change ``wave`` (samples,) as ``config`` says, in the order of nature: room, noise, line.

    A function of its arguments; ``random`` is drawn from. The result is as long and in time with
    the input, and is scaled down where its peak would exceed full scale.
    """
    # All three are drawn whatever happens, so that one probability does not move the other draws.
    reverb, noise, band = random.random(3) < (config.reverb, config.noise, config.band)
    made = wave
    if reverb:
        seconds, direct_db = (
            random.uniform(*config.reverb_seconds),
            random.uniform(*config.direct_db),
        )
        made = reverberate(made, seconds, direct_db, sample_rate, random)
    if noise:
        made = add_noise(made, random.uniform(*config.snr_db), random)
    if band:
        made = limit_band(made, random.uniform(*config.band_hz), sample_rate)
    peak = float(np.abs(made).max(initial=0.0))
    return (made / max(peak, 1.0)).astype(np.float32)


def reverberate(
    wave: Wave, seconds: float, direct_db: float, sample_rate: int, random: Generator
) -> Wave:
    """Put ``wave`` into a room whose answer falls by 60 dB in ``seconds``; keep its power.

    The answer is Polack's statistical model (1988): noise under an exponential decay, after a gap
    of up to 20 ms; here coloured, since walls and air take high frequencies first. ``direct_db`` is
    the power of the direct sound over it.
    """
    tail = coloured(round(seconds * sample_rate), random.uniform(0.0, 1.0), random)
    tail *= np.exp(np.linspace(0, -3 * np.log(10), len(tail)))
    gap = 1 + int(random.integers(0, sample_rate // 50))
    answer = np.zeros(gap + len(tail))
    answer[gap:] = tail * 10 ** (-direct_db / 20) / np.linalg.norm(tail)
    answer[0] = 1.0
    heard = fftconvolve(wave, answer)[: len(wave)]
    return heard * (_level(wave) / max(_level(heard), 1e-9))


def add_noise(wave: Wave, snr_db: float, random: Generator) -> Wave:
    """Add steady noise between white and brown, ``snr_db`` below the power of ``wave``."""
    noise = coloured(len(wave), random.uniform(0.0, 2.0), random)
    return wave + noise * (_level(wave) * 10 ** (-snr_db / 20) / _level(noise))


def limit_band(wave: Wave, upper: float, sample_rate: int) -> Wave:
    """Take out what lies above ``upper`` Hz, and for a telephone's band what lies below 300 Hz.

    Linear phase, in time with the input. An upper end that the sample rate does not reach changes
    nothing.
    """
    if upper >= sample_rate / 2:
        return wave
    low, highest = TELEPHONE
    edges, passes = ([low, upper], False) if upper < highest else ([upper], True)
    return fftconvolve(wave, firwin(TAPS, edges, pass_zero=passes, fs=sample_rate), mode="same")


def coloured(samples: int, exponent: float, random: Generator) -> NDArray[np.float64]:
    """Noise (samples,) whose power falls with frequency as ``f ** -exponent``, without offset."""
    spectrum = np.fft.rfft(random.standard_normal(max(samples, 2)))
    spectrum[0] = 0
    spectrum[1:] *= np.arange(1, len(spectrum)) ** (-exponent / 2)
    return np.fft.irfft(spectrum, max(samples, 2))[:samples]


def _level(wave: NDArray) -> float:
    """Root of the mean power."""
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))
