"""ViSQOL in its speech mode."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import numpy as np

from speechlm.evaluation.metrics.base import Metric, Unavailable, require
from speechlm.evaluation.metrics.resample import resample
from speechlm.types import Wave

RATE = 16000


def _visqol(reference: Wave, estimate: Wave, rate: int) -> float:
    pair = (resample(wave, rate, RATE).astype(np.float64) for wave in (reference, estimate))
    return float(_judge().measure_from_arrays(*pair, RATE).moslqo)


@cache
def _judge() -> Any:
    package = require("visqol", "visqol-python")
    logging.getLogger("visqol").setLevel(logging.ERROR)
    judge = package.VisqolApi()
    try:
        # Without the lattice the package maps by a polynomial: other numbers, a MOS or two higher.
        judge.create(mode="speech", use_lattice_model=True)
    except ImportError:
        raise Unavailable(
            "ViSQOL's lattice mapping cannot run, and without it the numbers are others: "
            "pip install 'speechlm[eval]'"
        ) from None
    return judge


VISQOL = Metric(
    name="visqol",
    title="ViSQOL",
    better="higher",
    about="ViSQOL v3 speech mode with the lattice mapping, Chinen et al. 2020, at 16 kHz; "
    "package visqol-python",
    compute=_visqol,
    packages=("visqol-python",),
)
