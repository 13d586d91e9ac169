"""PESQ, wide band: the telephone industry's estimate of a listener's opinion."""

from __future__ import annotations

from speechlm.evaluation.metrics.base import Metric, Unscored, require
from speechlm.evaluation.metrics.resample import resample
from speechlm.types import Wave

RATE = 16000


def _pesq_wb(reference: Wave, estimate: Wave, rate: int) -> float:
    package = require("pesq", "pesq", "'speechlm[pesq]' (needs a C compiler)")
    if not estimate.any():
        raise Unscored("the estimate is silent")
    pair = (resample(wave, rate, RATE) for wave in (reference, estimate))
    try:
        return float(package.pesq(RATE, *pair, "wb"))
    except package.PesqError as error:
        detail = error.args[0] if error.args else type(error).__name__
        text = detail.decode() if isinstance(detail, bytes) else str(detail)
        raise Unscored(f"PESQ: {text}") from None


PESQ = Metric(
    name="pesq",
    title="PESQ-wb",
    better="higher",
    about="ITU-T P.862.2 (wide band, MOS-LQO 1.04 to 4.64), at 16 kHz; package pesq",
    compute=_pesq_wb,
    packages=("pesq",),
)
