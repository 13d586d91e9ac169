"""Suites of units and their vocoder: what is judged where units keep timing, and where not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from speechlm import hub
from speechlm.evaluation.metrics import speaker
from speechlm.evaluation.recognition import Listener, Recogniser
from speechlm.evaluation.results import Results
from speechlm.evaluation.roundtrip import UNTIMED
from speechlm.report import suites
from speechlm.tokenizers import load as units
from speechlm.tokenizers.load import embed
from speechlm.tokenizers.serialization import UnitBPE
from speechlm.vocoder import VocoderConfig, VocoderNetwork
from speechlm.vocoder.config import VoiceConfig
from speechlm.vocoder.model import VocoderStream
from tests.tokenizers.test_stacked import CLUSTERS, semantic

from .voices import RATE, voice

SUITE = Path(__file__).parents[2] / "eval" / "vocoder.yaml"
FORMS = ("frames", "runs", "pieces")
LASTS = 20
"""Frames that the vocoder gives every unit whose length it has to predict."""


class Counts(Recogniser):
    """Remembers how long it listened, in samples; whoever is not tiny-en misses a word."""

    def __init__(self, name: str):
        self.fingerprint = self.about = name
        self.heard: list[int] = []

    def transcribe(self, wave: np.ndarray) -> str:
        self.heard.append(len(wave))
        return "la la la" if self.about == "tiny-en" else "la la"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A vocoder that nobody trained, of the same units in each form, and a recording."""
    folder = tmp_path_factory.mktemp("resynthesis")
    for form in FORMS:
        said = semantic(folder / f"said-{form}", form=form)
        if form == "pieces":
            UnitBPE.train([np.arange(CLUSTERS)] * 3, CLUSTERS, CLUSTERS + 3).save(said)
        config = VocoderConfig(
            weights=units.load(said, framed=True).units.weights, codebook_size=CLUSTERS, dim=16,
            blocks=1, ahead=1, voice=VoiceConfig(8, 1, 4), duration_dim=8,
        )  # fmt: skip
        torch.manual_seed(0)
        model = hub.save_model(folder / form, config, VocoderNetwork(config).state_dict())
        embed(said, model)
    soundfile.write(folder / "one.wav", voice(1.2), RATE, subtype="PCM_16")
    (folder / "one.txt").write_text("la la la\n", "utf-8")
    return SimpleNamespace(folder=folder)


@pytest.fixture(scope="module")
def judged(world: SimpleNamespace) -> SimpleNamespace:
    """By metrics of either kind and two recognisers, twice: the second time from the cache."""
    judges: dict[str, Counts] = {}

    def build(who: Listener) -> Counts:
        return judges.setdefault(who.name, Counts(who.name))

    def long(stream: VocoderStream, said: np.ndarray) -> np.ndarray:
        return np.full(len(said), LASTS)

    folder = world.folder
    settings = [f"systems.{form}={{kind: units, model: {folder / form}}}" for form in FORMS]
    settings += [f"clips.sources=[{folder / 'one.wav'}]", f"cache={folder / 'cache'}", "workers=0"]
    settings += ["systems.units=null", "systems.speechlm=null", "metrics=[stoi,mel,speaker]"]
    settings += ["recognisers.base={kind: whisper, model: /a/folder}", "runtime.repeats=0"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("speechlm.evaluation.recognition.build", build)
        patch.setattr(speaker, "embedding", lambda wave, rate: np.array([0.6, 0.8]))
        patch.setattr(VocoderStream, "_predicted", long)
        found = [suites.run(SUITE, settings, folder / out) for out in ("out", "again")]
    return SimpleNamespace(found=found[0], again=found[1], judges=judges)


def summary(found: Any, system: str, column: str) -> dict[str, Any]:
    assert isinstance(found, Results)
    figure: dict[str, Any] = found.data["summary"][system][column]
    return figure


def test_what_is_not_in_time_is_not_compared_moment_by_moment(judged: SimpleNamespace) -> None:
    for system in ("original", "frames", "runs"):
        for column in ("stoi", "mel", "delay"):
            assert summary(judged.found, system, column)["n"] == 1
    for column in ("stoi", "mel", "delay"):
        lost = summary(judged.found, "pieces", column)
        assert (lost["mean"], lost["n"], lost["failed"]) == (None, 0, 1)
        assert lost["reasons"] == {UNTIMED: 1}
    for column in ("kbps", "speaker", "wer:tiny-en", "cer:tiny-en"):
        assert summary(judged.found, "pieces", column)["n"] == 1


def test_it_is_heard_whole(judged: SimpleNamespace, world: SimpleNamespace) -> None:
    """However much longer it is: the others are cut to what they share with the original."""
    source = units.load(world.folder / "pieces").tokenizer
    units_said = source.form.read(source.encode(torch.from_numpy(voice(1.2))[None])[0].numpy())[0]
    heard = judged.judges["tiny-en"].heard
    assert heard[-1] == len(units_said) * LASTS * 320 > 2 * RATE
    assert max(heard[:-1]) <= 1.2 * RATE


def test_two_recognisers_stand_side_by_side(
    judged: SimpleNamespace, world: SimpleNamespace
) -> None:
    for system in ("original", *FORMS):
        assert summary(judged.found, system, "wer:tiny-en")["mean"] == 0
        assert summary(judged.found, system, "wer:base")["mean"] == pytest.approx(100 / 3)
    page = (world.folder / "out" / "report.html").read_text("utf-8")
    assert "WER tiny-en" in page and "WER base" in page
    assert UNTIMED in page


def test_it_is_kept(judged: SimpleNamespace) -> None:
    assert judged.again.data["rows"] == judged.found.data["rows"]
    assert [len(judge.heard) for judge in judged.judges.values()] == [4, 4]
