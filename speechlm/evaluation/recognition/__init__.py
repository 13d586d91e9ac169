"""Recognisers: how much of what was said can still be understood."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from speechlm.errors import SpeechLMError
from speechlm.evaluation.config import RecogniserConfig
from speechlm.evaluation.recognition.base import RATE, Recogniser, Unusable

__all__ = ["RATE", "Listener", "Recogniser", "Unusable", "build"]


@dataclass(frozen=True)
class Listener:
    """A recogniser as data that a worker process can be handed."""

    name: str
    kind: str
    model: str | None
    language: str
    beam: int

    @classmethod
    def of(cls, name: str, config: RecogniserConfig) -> Listener:
        """Raises: SpeechLMError, when the kind is unknown or its model is not named."""
        if config.kind not in ("whisper", "transformers", "torchaudio"):
            raise SpeechLMError(
                f"recognisers.{name}: kind {config.kind!r} is none of whisper, transformers, "
                "torchaudio"
            )
        if config.kind != "whisper" and config.model is None:
            raise SpeechLMError(f"recognisers.{name}: kind {config.kind} needs model: NAME")
        return cls(name, config.kind, config.model, config.language, config.beam)


@cache
def build(listener: Listener) -> Recogniser:
    """The recogniser itself, once a process.

    Raises:
        Unusable: when it cannot run on this machine.
    """
    if listener.kind == "whisper":
        from speechlm.evaluation.recognition.whisper import Whisper

        return Whisper(listener.model, listener.language, listener.beam)
    from speechlm.evaluation.recognition import pipelines

    assert listener.model is not None
    kinds = {
        "transformers": pipelines.TransformersRecogniser,
        "torchaudio": pipelines.TorchaudioRecogniser,
    }
    return kinds[listener.kind](listener.model)
