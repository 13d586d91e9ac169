"""What units tell: figures known by theory, and a tokenizer of tones, which knows them all."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from speechlm.errors import SpeechLMError
from speechlm.evaluation.probe import abx, information, labels, run
from speechlm.evaluation.probe.labels import Phone
from speechlm.training import recipes

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
    assert found.n == 28
    assert math.isnan(abx.error({"a": apart["a"], "b": apart["b"][:1]}, 10).mean)


def test_labels(tmp_path: Path) -> None:
    path = tmp_path / "ru_1.lab"
    path.write_text("separator ;\n#\n 0.10 125 pau\n 0.25 125 a\n")
    phones = labels.read(path)
    assert phones == [Phone("pau", 0, 0.1), Phone("a", 0.1, 0.25)]
    np.testing.assert_array_equal(labels.of_frames(phones, 15, 50), [0] * 5 + [1] * 7 + [-1] * 3)
    assert labels.find(tmp_path, "festvox-ru_1") == path
    assert labels.find(tmp_path, "ru_2") is None
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
    assert tones_["abx"]["n"] == 6
    assert 0 < tones_["speakers"]["mean"] < 0.5
    assert (tones_["kinds"]["mean"], codec["kinds"]["mean"]) == (16, 1024)
    assert tones_["rate"]["mean"] < 50 * 0.7
    assert tones_["bitrate"]["mean"] <= 4 * tones_["rate"]["mean"]
    with pytest.raises(SpeechLMError, match=r"phones\.triples are 1 or more"):
        run.run(tmp_path / "probe.yaml", ["phones.triples=0"], tmp_path / "none.json")
    # Nothing of one utterance is known to be a phone.
    (tmp_path / "labels" / "3.lab").write_text("#\n")
    one = ["tokenizers.codec=null", "phones.triples=1"]
    assert run.run(tmp_path / "probe.yaml", one, tmp_path / "out" / "one.json").row_count == 1
    with pytest.raises(SpeechLMError, match="has no label file of"):
        run.run(tmp_path / "probe.yaml", [f"phones.labels={tmp_path}"], tmp_path / "none.json")
