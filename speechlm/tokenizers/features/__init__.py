"""Features of speech, a vector a frame, of which units are made by clustering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from speechlm.errors import SpeechLMError
from speechlm.tokenizers.features.base import Teacher, TeacherConfig

__all__ = ["KINDS", "Teacher", "TeacherConfig", "build", "build_as_trained"]

KINDS = {
    "log-mel": ("hop_length",),
    "mfcc": ("hop_length",),
    "whisper": ("model",),
    "transformers": ("model", "layer"),
    "torchaudio": ("model", "layer"),
}
"""The fields of a teacher's configuration that each kind uses."""


def build(config: TeacherConfig, layers: Sequence[int] = ()) -> Teacher:
    """The teacher that ``config`` names; of several ``layers``, features side by side.

    Raises:
        SpeechLMError: for an unknown kind, one that cannot be had on this machine, a field that it
            does not use, or layers that it has not.
    """
    _check(config)
    if layers and "layer" not in KINDS[config.kind]:
        # CTranslate2 gives the output of Whisper's encoder, and nothing from within.
        raise SpeechLMError(f"teacher.kind={config.kind} has no layers to choose from")
    if config.kind in ("log-mel", "mfcc"):
        from speechlm.tokenizers.features import spectral

        kinds = {"log-mel": spectral.LogMel, "mfcc": spectral.Mfcc}
        return kinds[config.kind](config.hop_length)
    if config.kind == "whisper":
        from speechlm.tokenizers.features.whisper import WhisperEncoder

        return WhisperEncoder(config.model)
    from speechlm.tokenizers.features import pretrained

    if config.model is None:
        raise SpeechLMError(f"teacher.kind={config.kind} needs teacher.model=NAME")
    makers = {
        "transformers": pretrained.TransformersTeacher,
        "torchaudio": pretrained.TorchaudioTeacher,
    }
    return makers[config.kind](config.model, layers or [config.layer])


def build_as_trained(config: TeacherConfig, fingerprint: str, model: str) -> Teacher:
    """The teacher whose features ``model`` was trained on.

    Raises:
        SpeechLMError: when it cannot be had, or the one here has another ``fingerprint``.
    """
    teacher = build(config)
    if teacher.fingerprint != fingerprint:
        raise SpeechLMError(f"{model} was trained with another {config.kind}")
    return teacher


def _check(config: TeacherConfig) -> None:
    if config.kind not in KINDS:
        raise SpeechLMError(f"teacher.kind is one of {', '.join(KINDS)}, not {config.kind}")
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name not in ("kind", *KINDS[config.kind]) and value != field.default:
            raise SpeechLMError(f"teacher.kind={config.kind} has no teacher.{field.name}={value}")
