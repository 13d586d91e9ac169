"""What units tell: figures known by theory, and a tokenizer of tones, which knows them all."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from speechlm.data.utterance import Utterance
from speechlm.errors import SpeechLMError
from speechlm.evaluation import statistics
from speechlm.evaluation.probe import (
    abx,
    information,
    labels,
    metrics,
    run,
    tokenizers,
    xwaves,
)
from speechlm.evaluation.probe.config import LabelsConfig
from speechlm.evaluation.probe.labels import Label
from speechlm.evaluation.statistics import Interval
from speechlm.tokenizers.base import Units, UnitStream, UnitTokenizer
from speechlm.training import registry

from .tones import say_tones

ROOT = Path(__file__).parents[2]
RATE = 16000


def test_entropy_is_that_of_the_source() -> None:
    """Of few draws too: what plain frequencies say of these is 0.2 bits too low."""
    random = np.random.default_rng(0)
    drawn = [np.bincount(random.integers(32, size=100), minlength=32) for _ in range(200)]
    assert np.mean([information.entropy(each) for each in drawn]) == pytest.approx(5, abs=0.05)
    assert math.isnan(information.entropy(np.zeros(3)))


def test_what_is_told() -> None:
    random = np.random.default_rng(0)
    said = random.integers(4, size=(60, 40))

    def told(units: np.ndarray, kinds: int = 8) -> tuple[float, float, float]:
        pairs = zip(units, said, strict=True)
        counts = np.stack([information.joint_counts(u, a, (kinds, 4)) for u, a in pairs])
        interval = statistics.mean(*information.uncertainty_coefficients(counts))
        assert interval.n == 60
        return interval.low, interval.mean, interval.high

    _, mean, _ = told(said + 4 * random.integers(2, size=said.shape))
    assert mean == pytest.approx(1, abs=0.02)
    _, mean, _ = told(random.integers(8, size=said.shape))
    assert abs(mean) < 0.005
    # Many kinds that say nothing are not taken for information.
    _, mean, _ = told(random.integers(2000, size=said.shape), 2000)
    assert abs(mean) < 0.005
    noisy = np.where(random.random(said.shape) < 0.5, said, random.integers(4, size=said.shape))
    low, mean, high = told(noisy)
    # The label half of the time, and any otherwise: 1 - H(5/8, 1/8, 1/8, 1/8) / 2.
    expected = 1 + (0.625 * math.log2(0.625) + 0.375 * math.log2(0.125)) / 2
    assert low < expected < high
    assert high - low < 0.1


tokens = st.lists(st.integers(0, 3), min_size=1, max_size=8).map(np.array)


@given(tokens, tokens)
def test_distance(one: np.ndarray, other: np.ndarray) -> None:
    assert abx.distance(one, one) == 0
    assert 0 <= abx.distance(one, other) <= 1
    assert abx.distance(one, other) == pytest.approx(abx.distance(other, one))
    assert abx.distance(np.repeat(one, 2), one) == 0
    assert abx.distance(one, other + 4) == 1


def test_abx() -> None:
    random = np.random.default_rng(0)
    apart = {name: [np.full(random.integers(2, 6), n) for _ in range(5)] for n, name in
             enumerate("abcd")}  # fmt: skip
    assert abx.error(apart, 10).mean == 0
    alike = {name: [random.integers(8, size=4) for _ in range(50)] for name in "abcdefgh"}
    found = abx.error(alike, 20)
    assert found.low < 0.5 < found.high
    assert found.n == 8
    assert math.isnan(abx.error({"a": apart["a"], "b": apart["b"][:1]}, 10).mean)


def test_abx_is_of_phones() -> None:
    """Three of eight sound alike, so which phones are asked matters; of pairs, high is .11."""
    units = {name: 9 if name in "abc" else number for number, name in enumerate("abcdefgh")}
    found = abx.error({name: [np.full(3, unit)] * 3 for name, unit in units.items()}, 2)
    assert found.mean == pytest.approx(0.5 * 3 / 28)
    assert found.low == 0
    assert found.high > 0.15


def test_labels(tmp_path: Path) -> None:
    path = tmp_path / "ru_1.lab"
    path.write_text("separator ;\n#\n 0.10 125 pau\n 0.25 125 a\n")
    phones = xwaves.read(path)
    assert phones == [Label("pau", 0, 0.1), Label("a", 0.1, 0.25)]
    np.testing.assert_array_equal(labels.of_frames(phones, 15, 50), [0] * 5 + [1] * 7 + [-1] * 3)
    assert xwaves.of("festvox-ru_1", tmp_path) == path
    assert xwaves.of("ru_2", tmp_path) is None
    for rate, units in ((50, [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9, 10, 11]]), (2, [[0], [0]])):
        for phone, expected in zip(phones, units, strict=True):
            assert labels.during(phone, np.arange(15), rate).tolist() == expected
    assert not len(labels.during(Label("a", 1, 2), np.arange(15), 50))
    for text in ("", "#\n0.1 125\n", "#\nx 125 a\n"):
        path.write_text(text)
        with pytest.raises(SpeechLMError, match=r"ru_1\.lab: not a file of labels"):
            xwaves.read(path)


def rows(table: object) -> list[str]:
    assert isinstance(table, Table)
    return [str(cell) for cell in table.columns[0].cells]


def test_what_has_no_label_has_none() -> None:
    """Before, between and after labels, of any of which the middle of a frame decides."""
    known = [Label("a", 0.05, 0.1), Label("b", 0.2, 0.25)]
    heard = labels.of_frames(known, 15, 50)
    np.testing.assert_array_equal(heard, [-1] * 2 + [0] * 3 + [-1] * 5 + [1] * 2 + [-1] * 3)
    np.testing.assert_array_equal(labels.of_frames([], 3, 50), [-1] * 3)


def test_a_tokenizer_of_tones_knows_them(tmp_path: Path, tiny_model: Path) -> None:
    say_tones(tmp_path)
    settings = ["units.teacher.kind=log-mel", "units.clusters=16", f"training.out={tmp_path / 'k'}"]
    corpus = f"data.corpora=[{tmp_path / 'said'}]"
    model = registry.train_recipe(ROOT / "recipes" / "units-mfcc.yaml", [corpus, *settings])
    (tmp_path / "probe.yaml").write_text(
        f"labels: {{phones: {{corpus: {tmp_path / 'said'}, folder: {tmp_path / 'labels'}}}}}\n"
        f"speakers: {{corpus: {tmp_path / 'said'}}}\n"
        f"tokenizers: {{tones: {{model: {model}}}, codec: {{model: {tiny_model}}}}}\n"
    )
    tables = run.run(tmp_path / "probe.yaml", [], tmp_path / "out" / "probe.json")
    assert [rows(table) for table in tables.renderables] == [["tones", "codec"]] * 2
    found = json.loads((tmp_path / "out" / "probe.json").read_text())["tokenizers"]
    tones_, codec = found["tones"], found["codec"]
    assert tones_["told:phones"]["mean"] > 0.75
    assert tones_["told:phones"]["low"] > codec["told:phones"]["high"]  # of random weights
    assert tones_["abx:phones"]["mean"] < 0.05
    assert tones_["abx:phones"]["n"] == 4
    assert 0 < tones_["speakers"]["mean"] < 0.5
    assert (tones_["kinds"]["mean"], codec["kinds"]["mean"]) == (16, 1024)
    assert tones_["rate"]["mean"] < 50 * 0.7
    assert tones_["bitrate"]["mean"] <= 4 * tones_["rate"]["mean"]
    for setting, says in (
        ("labels.phones.triples=0", r"labels\.phones\.utterances and \.triples are 1 or more"),
        ("labels.phones.kind=lips", r"labels\.phones\.kind is one of xwaves, words, not lips"),
        ("labels.phones.folder=null", r"labels\.phones\.folder is where"),
        ("labels.phones.kind=words", "has no words with times: speechlm align"),
        ("labels.phones=null", "no labels to tell of"),
        ("speakers.speakers=-1", r"speakers\.speakers is 2 or more"),
        (
            "labels.phones.silence=[pau,tone0,tone1,tone2]",
            r"no two kinds but those of labels\.phones\.silence",
        ),
    ):
        with pytest.raises(SpeechLMError, match=says):
            run.run(tmp_path / "probe.yaml", [setting], tmp_path / "none.json")
    # Nothing of one utterance is known to be a phone.
    (tmp_path / "labels" / "3.lab").write_text("#\n")
    one = ["tokenizers.codec=null", "labels.phones.triples=1"]
    tables = run.run(tmp_path / "probe.yaml", one, tmp_path / "out" / "one.json")
    assert rows(tables.renderables[0]) == ["tones"]
    with pytest.raises(SpeechLMError, match="has no label file of"):
        run.run(
            tmp_path / "probe.yaml", [f"labels.phones.folder={tmp_path}"], tmp_path / "none.json"
        )


class FrameMeans(UnitTokenizer):
    """Units of a frame ``hop_length`` samples long: its mean, as a number."""

    device = torch.device("cpu")

    def to(self, device: str | torch.device) -> Self:
        return self

    def __init__(self, hop_length: int):
        self.units = Units("frame-means", "0", RATE, hop_length, 1, 8)

    def encode(self, wave: torch.Tensor) -> torch.Tensor:
        frames = wave.shape[1] // self.units.hop_length * self.units.hop_length
        means = wave[:, :frames].unflatten(1, (-1, self.units.hop_length)).mean(dim=2)
        return (8 * means).long()[:, None]

    def begin(self, wave: torch.Tensor) -> torch.Tensor:
        return self.encode(wave)

    def decode(self, units: torch.Tensor, *_: object) -> torch.Tensor:
        raise NotImplementedError

    def stream_decoder(self, voice: torch.Tensor | None = None) -> UnitStream:
        raise NotImplementedError


def probed(hop_length: int, values: dict[str, int], seconds: float) -> dict[str, Interval]:
    """What units tell that are ``values`` of a phone's name, of phones of ``seconds``."""
    random = np.random.default_rng(0)
    spoken = []
    for number in range(10):
        names = random.choice(list(values), 40).tolist()
        num_codebooks = np.array([values[name] / 8 + 0.06 for name in names], np.float32)
        sound = np.repeat(num_codebooks, round(seconds * RATE))
        times = (np.arange(len(names) + 1) * seconds).tolist()
        phones = [Label(name, *times[at : at + 2]) for at, name in enumerate(names)]
        spoken.append((Utterance(id=str(number), load=partial(_sound, sound), speaker="a"), phones))
    known = {"phones": (LabelsConfig("a", triples=2), spoken)}
    material = metrics.Material(known, "a", [each for each, _ in spoken])
    return metrics.probe(
        tokenizers.probed_tokenizer("frame-means", FrameMeans(hop_length)), material
    )["frame-means"].figures


def _sound(sound: np.ndarray) -> tuple[np.ndarray, int]:
    return sound, RATE


def test_silence_is_no_phone() -> None:
    """Units that tell speech from silence alone tell nothing of phones."""
    told = probed(320, {"pau": 0, "a": 1, "e": 1, "o": 1, "u": 1}, 0.1)
    assert told["told:phones"].mean < 0.01
    known = probed(320, {"pau": 0, "a": 1, "e": 2, "o": 3, "u": 4}, 0.1)
    assert known["told:phones"].mean > 0.95


def test_phones_are_the_same_of_any_frame_rate() -> None:
    values = {"pau": 0, "a": 1, "e": 2, "o": 3, "u": 4}
    for hop_length in (160, 320, 640):  # 4, 2, 1 frames
        assert probed(hop_length, values, 0.04)["abx:phones"].n == 4
        assert probed(hop_length, values, 0.03)["abx:phones"].n == 0


def test_discrimination_judges_what_is_said_most_often() -> None:
    said = [np.arange(60)]
    times = [("rare", 2), ("often", 4), ("oftener", 5)]
    known = [Label(name, n, n + 0.1) for name, count in times for n in range(count)]
    some = metrics._tokens(said, [(Utterance(id="0"), known)], LabelsConfig("", most=2), 10)
    assert sorted(some) == ["often", "oftener"]
