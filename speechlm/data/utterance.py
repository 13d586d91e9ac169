"""One utterance, of a source, a prepared corpus, a manifest or a tokenized corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from speechlm.errors import SpeechLMError
from speechlm.types import AnyCodes

LONG = 600.0
"""Seconds; longer recordings are read piece by piece."""
Pieces = tuple[Iterator[np.ndarray], int]
"""A recording in pieces (samples,) that follow one another, and its sample rate."""
Words = tuple[tuple[str, float, float], ...]
"""(text, start, end) of each, in seconds."""


def short() -> Pieces | None:
    """The pieces of a recording that is not long: None, it is to be loaded."""
    return None


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """An utterance, whose audio and codes are read when they are asked for.

    Attributes:
        id: unique in its corpus. In a source it names a file, so it holds no slash.
        split: train, dev or test; None where the source leaves that to the corpus.
        text: None where nobody transcribed it.
        speaker, language: None where they are not known.
        segments: words where they are ``aligned``, else sentences, if there are two or more.
        aligned: whether all segments are words.
        load: reads the audio; None where there are codes alone.
        pieces: what ``load`` gives, piece by piece, of a recording of more than ``LONG`` seconds.
        read_codes: reads the codes; None where it is not tokenized.
    """

    id: str
    split: str | None = None
    text: str | None = None
    speaker: str | None = None
    language: str | None = None
    segments: Words = ()
    aligned: bool = False
    load: Callable[[], tuple[np.ndarray, int]] | None = None
    pieces: Callable[[], Pieces | None] = short
    read_codes: Callable[[], AnyCodes] | None = None

    def audio(self) -> tuple[np.ndarray, int]:
        """The waveform, mono float32 (samples,), and its sample rate.

        Raises:
            SpeechLMError: when it cannot be read, or there is none.
        """
        if self.load is None:
            raise SpeechLMError(f"{self.id}: has codes and no audio")
        return self.load()

    def codes(self) -> AnyCodes:
        """The codes (codebooks, frames).

        Raises:
            SpeechLMError: when they cannot be read, or it is not tokenized.
        """
        if self.read_codes is None:
            raise SpeechLMError(f"{self.id}: is not tokenized")
        return self.read_codes()
