"""DNSMOS: a listener's opinion of the estimate alone, without the reference."""

from __future__ import annotations

from functools import cache, lru_cache, partial
from importlib.resources import files
from typing import Any

import numpy as np

from speechlm.evaluation.metrics.base import Metric, require
from speechlm.evaluation.metrics.resample import resample
from speechlm.types import Wave

RATE = 16000


def _dnsmos(reference: Wave, estimate: Wave, rate: int, scale: str) -> float:
    wave = np.clip(resample(estimate, rate, RATE), -1, 1)
    return _judged(wave.tobytes())[scale]


@lru_cache(maxsize=2)  # the three scales come from one run
def _judged(samples: bytes) -> dict[str, float]:
    found = _judge()(np.frombuffer(samples, np.float32), RATE, False)
    return {name: float(value) for name, value in found.items()}


@cache
def _judge() -> Any:
    package = require("speechmos.dnsmos", "speechmos")
    runtime = require("onnxruntime", "onnxruntime")

    class OneThread(package.DNSMOS):  # type: ignore[name-defined]
        """Its sessions would start a thread for every core, in every process."""

        def __init__(self, primary: str, p808: str) -> None:
            options = runtime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            self.onnx_sess = runtime.InferenceSession(primary, options)
            self.p808_onnx_sess = runtime.InferenceSession(p808, options)

    folder = files("speechmos") / "dnsmos_models"
    return OneThread(str(folder / "sig_bak_ovr.onnx"), str(folder / "model_v8.onnx"))


def _scale(name: str, title: str, key: str, what: str) -> Metric:
    return Metric(
        name=name,
        title=title,
        better="higher",
        about=f"ITU-T P.835 {what} predicted without reference, Reddy et al. 2022; "
        "package speechmos",
        compute=partial(_dnsmos, scale=key),
        packages=("speechmos", "onnxruntime"),
        timed=False,
    )


DNSMOS = _scale("dnsmos", "DNSMOS", "ovrl_mos", "overall quality")
DNSMOS_SIGNAL = _scale("dnsmos_signal", "DNSMOS signal", "sig_mos", "speech quality")
DNSMOS_NOISE = _scale("dnsmos_noise", "DNSMOS noise", "bak_mos", "quietness of the background")
