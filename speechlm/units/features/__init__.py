"""Features of speech, a vector a frame, of which units are made by clustering."""

from __future__ import annotations

from speechlm.errors import SpeechLMError
from speechlm.units.features.base import Teacher, TeacherConfig

__all__ = ["KINDS", "Teacher", "TeacherConfig", "build"]

KINDS = ("log-mel", "mfcc", "whisper", "transformers", "torchaudio")


def build(config: TeacherConfig) -> Teacher:
    """The teacher that ``config`` names.

    Raises:
        SpeechLMError: for an unknown kind, or one that cannot be had on this machine.
    """
    if config.kind in ("log-mel", "mfcc"):
        from speechlm.units.features import spectral

        kinds = {"log-mel": spectral.LogMel, "mfcc": spectral.Mfcc}
        return kinds[config.kind](config.hop)
    if config.kind == "whisper":
        from speechlm.units.features.whisper import WhisperEncoder

        return WhisperEncoder(config.model)
    if config.kind in ("transformers", "torchaudio"):
        from speechlm.units.features import pretrained

        if config.model is None:
            raise SpeechLMError(f"teacher.kind={config.kind} needs teacher.model=NAME")
        makers = {"transformers": pretrained.Transformers, "torchaudio": pretrained.Torchaudio}
        return makers[config.kind](config.model, config.layer)
    raise SpeechLMError(f"teacher.kind is one of {', '.join(KINDS)}, not {config.kind}")
