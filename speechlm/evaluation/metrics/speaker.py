"""Is it still the same person: cosine of speaker embeddings."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np

from speechlm.evaluation.metrics.base import Metric, Unscored, require
from speechlm.types import Wave

# Its declared dependencies do not install beside today's Python; those it uses are in the extra.
INSTALL = "'speechlm[eval]' && pip install --no-deps resemblyzer"


def _cosine(reference: Wave, estimate: Wave, rate: int) -> float:
    first, second = embedding(reference, rate), embedding(estimate, rate)
    return float(first @ second)


def embedding(wave: Wave, rate: int) -> Wave:
    """A unit vector (256,) of who speaks in ``wave`` (samples,).

    Raises:
        Unscored: when no voice is found, or the package is not there.
    """
    package = _package()
    voiced = package.preprocess_wav(wave.astype(np.float32), source_sr=rate)
    if not len(voiced):
        raise Unscored("its voice activity detector finds no voice")
    vector: Wave = _encoder().embed_utterance(voiced)
    return vector


def _package() -> Any:
    with warnings.catch_warnings():  # it imports SciPy and webrtcvad by their old names
        warnings.simplefilter("ignore")
        return require("resemblyzer", "resemblyzer", INSTALL)


@cache
def _encoder() -> Any:
    return _package().VoiceEncoder("cpu", verbose=False)


SPEAKER = Metric(
    name="speaker",
    title="Speaker cosine",
    better="higher",
    about="cosine of GE2E embeddings (Wan et al. 2018) after its silence trimming; "
    "package resemblyzer",
    compute=_cosine,
    packages=("resemblyzer",),
    digits=3,
    timed=False,
)
