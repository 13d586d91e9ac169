"""The suite's recognisers, and what they have heard before."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from speechlm.evaluation import recognition
from speechlm.evaluation.metrics import Score
from speechlm.evaluation.metrics.resample import resample
from speechlm.evaluation.recognition import Listener, Recogniser
from speechlm.evaluation.schema import Column, error_cells, error_columns
from speechlm.evaluation.store import Store, key
from speechlm.types import Wave


@dataclass(frozen=True)
class Transcript:
    """What a listener heard, or why it heard nothing."""

    text: str = ""
    reason: str = ""


class ASRJudges:
    """Listens to waves; the same wave is heard once, and remembered between suites.

    ``listeners`` are recognisers, or why one does not run here.
    """

    def __init__(
        self, listeners: dict[Listener, Recogniser | str], style: str, store: Store
    ) -> None:
        self.listeners, self.style, self.store = listeners, style, store
        self.names = [who.name for who in listeners]

    @property
    def columns(self) -> dict[str, Column]:
        """``wer:NAME`` and ``cer:NAME`` of each listener."""
        found: dict[str, Column] = {}
        for name in self.names:
            found |= error_columns(name, self.style)
        return found

    def hear(self, wave: Wave, rate: int) -> dict[str, Transcript]:
        """What each listener hears in ``wave`` (samples,) at ``rate`` Hz: nothing in no sample."""
        if not len(wave):
            return {name: Transcript() for name in self.names}
        samples = resample(np.asarray(wave, np.float32), rate, recognition.RATE)
        digest = hashlib.sha256(np.ascontiguousarray(samples, np.float32).tobytes()).hexdigest()
        return {who.name: self._hear(made, samples, digest) for who, made in self.listeners.items()}

    def cells(self, said: str | None, heard: dict[str, Transcript]) -> dict[str, Score]:
        """Errors beside what was ``said``, in the columns of the listeners."""
        found: dict[str, Score] = {}
        for name, what in heard.items():
            found |= error_cells(name, said, what.text, what.reason, self.style)
        return found

    def _hear(self, made: Recogniser | str, wave: Wave, digest: str) -> Transcript:
        if isinstance(made, str):
            return Transcript(reason=made)
        name = key("heard", digest, made.fingerprint)
        text = self.store.get(name)
        if text is None:
            try:
                text = made.transcribe(wave)
            except recognition.Unusable as reason:
                return Transcript(reason=str(reason))
            except Exception as error:  # a judge's crash is shown in its cell
                return Transcript(reason=f"{type(error).__name__}: {error}")
            self.store.put(name, text)
        return Transcript(text)


def texts(heard: dict[str, Transcript]) -> dict[str, str]:
    """For the page: what each heard."""
    return {name: what.text for name, what in heard.items() if not what.reason}
