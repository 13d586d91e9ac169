"""Words as labels: of a corpus that was aligned, without the pauses that aligning gives them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.table import Table

from speechlm.data import speech
from speechlm.data.utterance import Utterance
from speechlm.evaluation.probe import run, words, xwaves
from speechlm.evaluation.probe.config import LabelsConfig
from speechlm.evaluation.probe.labels import Label
from speechlm.training import registry

from .tones import say_tones

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings, and a manifest of them as if they had been aligned, but for one."""
    from lhotse import CutSet, Recording
    from lhotse.supervision import AlignmentItem, SupervisionSegment

    folder = tmp_path_factory.mktemp("tones")
    say_tones(folder)

    def cuts() -> Iterator[object]:
        for path in sorted((folder / "said").glob("*/*.wav")):
            recording = Recording.from_file(path, recording_id=path.stem)
            said = [each for each in truth(folder, path.stem) if each.name != "pau"]
            # A word lasts until the next begins, as speechlm align has it, and is written somehow.
            ends = [*(each.start for each in said[1:]), recording.duration]
            items = [
                AlignmentItem(f'"{each.name.title()},', each.start, end - each.start)
                for each, end in zip(said, ends, strict=True)
            ]
            only = SupervisionSegment(
                path.stem, path.stem, 0, recording.duration, text="tones", language="en",
                speaker=path.parent.name, alignment=None if path.stem == "0" else {"word": items},
            )  # fmt: skip
            cut = recording.to_cut()
            cut.id, cut.supervisions = path.stem, [only]
            yield cut

    CutSet.from_cuts(cuts()).to_file(folder / "cuts-train.jsonl.gz")
    return folder


def truth(folder: Path, name: str) -> list[Label]:
    return xwaves.read(folder / "labels" / f"{name}.lab")


def test_words_are_without_the_pauses_after_them(tones: Path) -> None:
    """To a frame of 10 ms at either end, where silence is 30 dB down; nothing else is said."""
    config = LabelsConfig(str(tones / "cuts-train.jsonl.gz"), "words")
    found = words.find(config, "labels.words")
    assert len(found) == 11  # the one that was not aligned has no words
    for utterance, said in found:
        assert utterance.aligned
        known = [each for each in truth(tones, utterance.id) if each.name != "pau"]
        assert [each.name for each in said] == [each.name for each in known]
        for one, other in zip(said, known, strict=True):
            assert one.start == pytest.approx(other.start, abs=0.011)
            assert one.end == pytest.approx(other.end, abs=0.011)
        assert all(one.end <= other.start for one, other in itertools.pairwise(said))
    assert len(words.find(LabelsConfig(config.corpus, "words", utterances=5), "")) == 5


def test_a_word_that_is_not_heard_is_none() -> None:
    wave = np.zeros(16000, np.float32)
    said = (("one", 0.0, 0.5), ("two", 0.5, 1.0))

    def spoken(sound: np.ndarray) -> list[str]:
        one = Utterance(id="0", load=lambda: (sound, 16000), segments=said, aligned=True)
        return [each.name for each in words._said(one)]

    assert spoken(wave) == []
    assert spoken(np.where(np.arange(16000) < 8000, 0, 0.1 * np.sin(np.arange(16000)))) == ["two"]
    assert spoken(wave[:3000]) == []


def test_sentences_are_no_words(tones: Path, tmp_path: Path) -> None:
    """A cut with two transcripts, of which one has words, has segments that are none."""
    from lhotse import CutSet

    [cut] = [each for each in CutSet.from_file(tones / "cuts-train.jsonl.gz") if each.id == "1"]
    second = replace(cut.supervisions[0], id="other", alignment=None)
    for supervisions, aligned in ((cut.supervisions, True), ([*cut.supervisions, second], False)):
        cut.supervisions = supervisions
        CutSet.from_cuts([cut]).to_file(tmp_path / "cuts.jsonl")
        [only] = speech.find(tmp_path / "cuts.jsonl")
        assert only.segments and only.aligned == aligned


def test_words_are_probed_beside_phones(tones: Path, tmp_path: Path) -> None:
    """Here they are the same, so as much is told of them: to the edges that silence has."""
    settings = ["units.teacher.kind=log-mel", "units.clusters=16", f"training.out={tmp_path / 'k'}"]
    manifest = tones / "cuts-train.jsonl.gz"
    more = f"data.corpora=[{manifest}]"
    model = registry.train_recipe(ROOT / "recipes" / "units-mfcc.yaml", [more, *settings])
    overrides = [
        f"labels.phones.corpus={manifest}",
        f"labels.phones.folder={tones / 'labels'}",
        f"labels.words.corpus={manifest}",
        f"speakers.corpus={manifest}",
        f"tokenizers={{tones: {{model: {model}}}, mfcc: null, whisper: null, codec: null}}",
    ]
    _, table = run.run(ROOT / "eval" / "probe.yaml", overrides, tmp_path / "probe.json").renderables
    assert isinstance(table, Table)
    titles = [str(column.header) for column in table.columns]
    assert titles == [
        "tokenizer", "of phones, %", "ABX of phones, %", "of words, %", "ABX of words, %",
        "of speakers, %",
    ]  # fmt: skip
    found = json.loads((tmp_path / "probe.json").read_text())["tokenizers"]["tones"]
    assert found["abx:words"]["n"] == found["abx:phones"]["n"] == 4
    assert found["abx:words"]["mean"] < 0.05
    assert found["told:words"]["mean"] == pytest.approx(found["told:phones"]["mean"], abs=0.1)
    assert (found["told:words"]["n"], found["told:phones"]["n"]) == (11, 12)
