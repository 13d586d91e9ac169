"""Systems by kind: a suite's declaration -> what runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from speechlm.errors import SpeechLMError
from speechlm.evaluation.config import SystemConfig
from speechlm.evaluation.systems.amr_wb import AmrWb
from speechlm.evaluation.systems.base import Absent, Encoded, Failed, System
from speechlm.evaluation.systems.codec2 import Codec2
from speechlm.evaluation.systems.command import Command
from speechlm.evaluation.systems.model import Model
from speechlm.evaluation.systems.opus import Opus
from speechlm.evaluation.systems.original import Original
from speechlm.evaluation.systems.speex import Speex
from speechlm.evaluation.systems.units import Resynthesis

__all__ = ["Absent", "Encoded", "Failed", "Spec", "System", "build", "specs"]

PROGRAMS: dict[str, Callable[[float, int], System]] = {
    "opus": Opus,
    "speex": Speex,
    "amr-wb": AmrWb,
    "codec2": Codec2,
}

RATELESS = "original", "command", "units"
"""Kinds that need no bitrate."""
KINDS = "original", "model", "command", *PROGRAMS, "units"


@dataclass(frozen=True)
class Spec:
    """One system, as data that a worker process can be handed."""

    kind: str
    family: str
    kbps: float
    sample_rate: int
    model: str | None = None
    encode: str | None = None
    decode: str | None = None
    suffix: str = ""
    mode: str = "levels"

    @property
    def name(self) -> str:
        """How the table calls it, whether or not it can run here."""
        return f"{self.family} {self.kbps:g}" if self.kbps else self.family


def specs(family: str, config: SystemConfig, sample_rate: int) -> list[Spec]:
    """The systems that a suite's entry ``family`` declares, one a bitrate.

    Raises:
        SpeechLMError: for an unknown kind, or an entry that lacks what its kind needs.
    """
    where = f"systems.{family}"
    if config.kind == "command" and not (config.encode and config.decode):
        raise SpeechLMError(f"{where}: kind command needs encode: and decode:")
    if config.kind not in KINDS:
        raise SpeechLMError(f"{where}: kind {config.kind!r} is none of {', '.join(KINDS)}")
    if config.mode not in ("levels", "vbr", "cbr"):
        raise SpeechLMError(f"{where}: mode is levels, vbr or cbr, not {config.mode}")
    if not config.kbps and config.kind not in RATELESS:
        raise SpeechLMError(f"{where}: needs kbps: [...]")
    return [
        Spec(
            config.kind,
            family,
            kbps,
            (config.sample_rate or sample_rate) if config.kind == "command" else sample_rate,
            config.model,
            config.encode,
            config.decode,
            config.suffix,
            config.mode,
        )
        for kbps in ([] if config.kind in ("original", "units") else config.kbps) or [0.0]
    ]


@cache
def build(spec: Spec) -> System:
    """The system itself, once a process.

    Raises:
        Absent: when it cannot run on this machine, saying what is missing.
    """
    if spec.kind == "original":
        return Original(spec.sample_rate)
    if spec.kind == "units":
        return Resynthesis(spec.model)
    if spec.kind == "model":
        return Model(spec.kbps, spec.model, spec.mode)
    if spec.kind == "command":
        assert spec.encode is not None
        assert spec.decode is not None
        return Command(spec.kbps, spec.sample_rate, spec.encode, spec.decode, spec.suffix)
    return PROGRAMS[spec.kind](spec.kbps, spec.sample_rate)
