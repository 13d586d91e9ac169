"""STOI and ESTOI: how much of the words' envelope survives."""

from __future__ import annotations

import warnings
from functools import partial

from speechlm.evaluation.metrics.base import Metric, Unscored, require
from speechlm.types import Wave


def _stoi(reference: Wave, estimate: Wave, rate: int, extended: bool) -> float:
    package = require("pystoi", "pystoi")
    with warnings.catch_warnings():
        # On too little speech the package warns and returns 1e-5: a default, not a measurement.
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(package.stoi(reference, estimate, rate, extended=extended))
        except RuntimeWarning as warning:
            if "Not enough STFT frames" in str(warning):
                raise Unscored("less than 0.4 s of speech") from None
            raise


STOI = Metric(
    name="stoi",
    title="STOI",
    better="higher",
    about="short-time objective intelligibility, Taal et al. 2011; package pystoi",
    compute=partial(_stoi, extended=False),
    packages=("pystoi",),
    digits=3,
)

ESTOI = Metric(
    name="estoi",
    title="ESTOI",
    better="higher",
    about="extended STOI, Jensen and Taal 2016; package pystoi",
    compute=partial(_stoi, extended=True),
    packages=("pystoi",),
    digits=3,
)
