"""What units tell: figures known by theory, and a tokenizer of tones, which knows them all."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from speechlm.data.speech import Speech
from speechlm.errors import SpeechLMError
from speechlm.evaluation.probe import abx, information, labels, run
from speechlm.evaluation.probe.config import PhonesConfig
from speechlm.evaluation.probe.labels import Phone
from speechlm.training import recipes
from speechlm.units.base import Units, UnitStream, UnitTokenizer

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
        interval = information.told(counts)
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
    phones = labels.read(path)
    assert phones == [Phone("pau", 0, 0.1), Phone("a", 0.1, 0.25)]
    np.testing.assert_array_equal(labels.of_frames(phones, 15, 50), [0] * 5 + [1] * 7 + [-1] * 3)
    assert labels.find(tmp_path, "festvox-ru_1") == path
    assert labels.find(tmp_path, "ru_2") is None
    for rate, units in ((50, [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9, 10, 11]]), (2, [[0], [0]])):
        for phone, expected in zip(phones, units, strict=True):
            assert labels.during(phone, np.arange(15), rate).tolist() == expected
    assert not len(labels.during(Phone("a", 1, 2), np.arange(15), 50))
    for text in ("", "#\n0.1 125\n", "#\nx 125 a\n"):
        path.write_text(text)
        with pytest.raises(SpeechLMError, match=r"ru_1\.lab: not a file of labels"):
            labels.read(path)


def test_a_tokenizer_of_tones_knows_them(tmp_path: Path, tiny_model: Path) -> None:
    """Phones are tones, 20 ms of silence between them; speakers differ in which they use."""
    random = np.random.default_rng(0)
    tones = (250, 500, 1000, 2000)
    (tmp_path / "labels").mkdir()
    for number in range(12):
        speaker = "ann" if number % 2 else "bob"
        wave, lines, end = [], ["#"], 0.0
        for _ in range(12):
            which = random.choice(4, p=[0.4, 0.4, 0.1, 0.1] if number % 2 else [0.1, 0.1, 0.4, 0.4])
            samples = int(random.integers(5, 12)) * 320
            wave.append(0.3 * np.sin(2 * np.pi * tones[which] * np.arange(samples) / RATE))
            for name, length in ((f"tone{which}", samples), ("pau", 320)):
                end += length / RATE
                lines.append(f"{end} 125 {name}")
            wave.append(np.zeros(320))
        sound = np.concatenate(wave) + 0.003 * random.standard_normal(len(np.concatenate(wave)))
        path = tmp_path / "said" / speaker / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, sound, RATE)
        (tmp_path / "labels" / f"{number}.lab").write_text("\n".join(lines))
    settings = ["units.teacher.kind=log-mel", "units.clusters=16", f"training.out={tmp_path / 'k'}"]
    corpus = f"data.corpora=[{tmp_path / 'said'}]"
    model = recipes.run(ROOT / "recipes" / "units-mfcc.yaml", [corpus, *settings])
    (tmp_path / "probe.yaml").write_text(
        f"phones: {{corpus: {tmp_path / 'said'}, labels: {tmp_path / 'labels'}}}\n"
        f"speakers: {{corpus: {tmp_path / 'said'}}}\n"
        f"tokenizers: {{tones: {{model: {model}}}, codec: {{model: {tiny_model}}}}}\n"
    )
    table = run.run(tmp_path / "probe.yaml", [], tmp_path / "out" / "probe.json")
    assert table.row_count == 2
    found = json.loads((tmp_path / "out" / "probe.json").read_text())["tokenizers"]
    tones_, codec = found["tones"], found["codec"]
    assert tones_["phones"]["mean"] > 0.75
    assert tones_["phones"]["low"] > codec["phones"]["high"]  # of random weights
    assert tones_["abx"]["mean"] < 0.05
    assert tones_["abx"]["n"] == 4
    assert 0 < tones_["speakers"]["mean"] < 0.5
    assert (tones_["kinds"]["mean"], codec["kinds"]["mean"]) == (16, 1024)
    assert tones_["rate"]["mean"] < 50 * 0.7
    assert tones_["bitrate"]["mean"] <= 4 * tones_["rate"]["mean"]
    for setting, says in (
        ("phones.triples=0", r"phones\.triples are 1 or more"),
        ("speakers.speakers=-1", r"speakers\.speakers is 2 or more"),
        ("phones.silence=[pau,tone0,tone1,tone2,tone3]", r"no phones but those of phones\.silence"),
    ):
        with pytest.raises(SpeechLMError, match=says):
            run.run(tmp_path / "probe.yaml", [setting], tmp_path / "none.json")
    # Nothing of one utterance is known to be a phone.
    (tmp_path / "labels" / "3.lab").write_text("#\n")
    one = ["tokenizers.codec=null", "phones.triples=1"]
    assert run.run(tmp_path / "probe.yaml", one, tmp_path / "out" / "one.json").row_count == 1
    with pytest.raises(SpeechLMError, match="has no label file of"):
        run.run(tmp_path / "probe.yaml", [f"phones.labels={tmp_path}"], tmp_path / "none.json")


class Hears(UnitTokenizer):
    """Units of a frame ``hop`` samples long: its mean, as a number."""

    def __init__(self, hop: int):
        self.units = Units("hears", "0", RATE, hop, 1, 8)

    def encode(self, wave: torch.Tensor) -> torch.Tensor:
        frames = wave.shape[1] // self.units.hop * self.units.hop
        means = wave[:, :frames].unflatten(1, (-1, self.units.hop)).mean(dim=2)
        return (8 * means).long()[:, None]

    def begin(self, wave: torch.Tensor) -> torch.Tensor:
        return self.encode(wave)

    def decode(self, units: torch.Tensor, *_: object) -> torch.Tensor:
        raise NotImplementedError

    def stream_decoder(self, voice: torch.Tensor | None = None) -> UnitStream:
        raise NotImplementedError


def probed(hop: int, values: dict[str, int], seconds: float) -> run.Figures:
    """What units tell that are ``values`` of a phone's name, of phones of ``seconds``."""
    random = np.random.default_rng(0)
    spoken = []
    for number in range(10):
        names = random.choice(list(values), 40).tolist()
        levels = np.array([values[name] / 8 + 0.06 for name in names], np.float32)
        sound = np.repeat(levels, round(seconds * RATE))
        times = (np.arange(len(names) + 1) * seconds).tolist()
        phones = [Phone(name, *times[at : at + 2]) for at, name in enumerate(names)]
        spoken.append((Speech(str(number), "train", partial(_sound, sound), speaker="a"), phones))
    config = PhonesConfig("", "", triples=2)
    return run.probe(Hears(hop), config, spoken, [each for each, _ in spoken])


def _sound(sound: np.ndarray) -> tuple[np.ndarray, int]:
    return sound, RATE


def test_silence_is_no_phone() -> None:
    """Units that tell speech from silence alone tell nothing of phones."""
    told = probed(320, {"pau": 0, "a": 1, "e": 1, "o": 1, "u": 1}, 0.1)
    assert told["phones"].mean < 0.01
    known = probed(320, {"pau": 0, "a": 1, "e": 2, "o": 3, "u": 4}, 0.1)
    assert known["phones"].mean > 0.95


def test_phones_are_the_same_of_any_frame_rate() -> None:
    values = {"pau": 0, "a": 1, "e": 2, "o": 3, "u": 4}
    for hop in (160, 320, 640):  # 4, 2, 1 frames
        assert probed(hop, values, 0.04)["abx"].n == 4
        assert probed(hop, values, 0.03)["abx"].n == 0
