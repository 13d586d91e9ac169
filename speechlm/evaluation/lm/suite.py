"""Run the suite of a language model: its parts one after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from speechlm.errors import SpeechLMError
from speechlm.evaluation.lm import asr, continuation, discrimination, likelihood, sweep, tts
from speechlm.evaluation.lm.asr_judges import ASRJudges
from speechlm.evaluation.lm.config import LMSuiteConfig
from speechlm.evaluation.lm.model_under_test import ModelUnderTest
from speechlm.evaluation.lm.result_table import Section
from speechlm.evaluation.lm.section_run import SectionRun, finish
from speechlm.evaluation.setup import listeners
from speechlm.evaluation.store import Store, default_folder
from speechlm.utils.files import make_folder

Part = Callable[[], dict[str, Section]]


def execute(config: LMSuiteConfig, out: Path) -> SectionRun:
    """Run a suite; write ``out/results.json``.

    A part for which something is not there (corpora, a tokenizer of the units) says so in its
    place. What recognisers heard is kept in the cache.

    Raises:
        SpeechLMError: for a model or an output folder that cannot be used, or when no part runs.
    """
    make_folder(out)
    torch.set_num_threads(config.threads)
    with Store(Path(config.cache) if config.cache else default_folder()) as store:
        ears = ASRJudges(listeners(config.recognisers, config.normaliser), config.normaliser, store)
        subject = ModelUnderTest(config, ears)
        sections: dict[str, Section] = {}
        absent: dict[str, str] = {}
        for name, part in _parts(config, subject).items():
            try:
                sections |= part()
            except SpeechLMError as reason:
                absent[name] = str(reason)
    if not sections:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in absent.items())
        raise SpeechLMError(f"no part of the suite runs here: {reasons}")
    return finish(config, _facts(subject), ears, sections, absent, subject.rate, out)


def _parts(config: LMSuiteConfig, subject: ModelUnderTest) -> dict[str, Part]:
    """By name, what the suite declares."""
    parts: dict[str, Part] = {}
    if (predicting := config.likelihood) is not None:
        parts["likelihood"] = lambda: likelihood.run(predicting, subject)
    if (choosing := config.choice) is not None:
        parts["choice"] = lambda: discrimination.run(choosing, subject)
    if (reading := config.asr) is not None:
        parts["asr"] = lambda: asr.run(reading, subject)
    if (saying := config.tts) is not None:
        parts["tts"] = lambda: tts.run(saying, subject)
    if (continuing := config.continuation) is not None:
        parts["continuation"] = lambda: continuation.run(continuing, subject)
    if (sweeping := config.sweep) is not None:
        parts["sweep"] = lambda: sweep.run(sweeping, subject)
    return parts


def _facts(subject: ModelUnderTest) -> dict[str, object]:
    network = subject.model.network
    config = network.config
    return {
        "name": subject.name,
        "from": subject.config.model or "the shipped one",
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "backbone": config.backbone,
        "pattern": config.pattern,
        "units": str(subject.model.units),
        "frame_rate": subject.model.units.frame_rate,
    }
