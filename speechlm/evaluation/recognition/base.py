"""The seam of a recogniser: a wave in, words out."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from speechlm.errors import SpeechLMError

RATE = 16000  # every recogniser here listens at this rate


class Unusable(SpeechLMError):
    """The recogniser cannot run on this machine; the message says what is missing."""


class Recogniser(ABC):
    """Hears a wave and writes what was said.

    ``fingerprint`` changes whenever the same wave may be heard differently; ``about`` is one line
    for the page.
    """

    fingerprint: str
    about: str

    @abstractmethod
    def transcribe(self, wave: NDArray[np.float32]) -> str:
        """What is said in ``wave`` (samples,) at ``RATE`` Hz, of any length."""
