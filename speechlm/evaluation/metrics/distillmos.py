"""DistillMOS: a listener's opinion of the estimate alone, learned from a large speech model."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from speechlm.evaluation.metrics.base import Metric, require
from speechlm.evaluation.metrics.resample import resample
from speechlm.types import Wave

RATE = 16000
# Its requirements name the extractor of the teacher, transformers among it, which the student has
# no use of; and torchaudio, for its command line.
INSTALL = "'speechlm[eval]' && pip install --no-deps distillmos xls-r-sqa"


def _distillmos(reference: Wave, estimate: Wave, rate: int) -> float:
    import torch

    wave = torch.from_numpy(np.array(resample(estimate, rate, RATE)))
    with torch.inference_mode():
        return float(_network()(wave[None]))


@cache
def _network() -> Any:
    import torch

    package = require("distillmos", "distillmos", INSTALL)
    # Its own loading prints a line.
    network = package.ConvTransformerSQAModel(load_weights=False)
    path = str(files("distillmos") / "weights" / "distill_mos_v7.pt")
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["model"])
    return network.eval()


DISTILLMOS = Metric(
    name="distillmos",
    title="DistillMOS",
    better="higher",
    about="mean opinion score predicted without reference (1 to 5), Stahl and Gamper 2025 "
    "(distilled from XLS-R), variant 7, at 16 kHz; package distillmos",
    compute=_distillmos,
    packages=("distillmos", "xls_r_sqa"),
    timed=False,
)
