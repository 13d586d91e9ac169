"""From a declaration to a prepared corpus, for one's own recordings."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechlm import audio
from speechlm.data import decode
from speechlm.data.corpus import PreparedCorpus, read_cuts
from speechlm.data.prepare import prepare
from speechlm.data.sources import folder
from speechlm.data.splits import SPLITS
from speechlm.errors import SpeechLMError
from tests.data.trees import librispeech, text_file, tone, wave_file

DATA = Path(__file__).parents[2] / "data"


def prepared(name: str, tmp_path: Path, *overrides: str) -> PreparedCorpus:
    return prepare(DATA / f"{name}.yaml", [f"output={tmp_path / 'out'}", *overrides])


def texts(corpus: PreparedCorpus) -> dict[str, str | None]:
    return {cut.id: cut.supervisions[0].text for split in SPLITS for cut in corpus.cuts(split)}


def speakers(corpus: PreparedCorpus, split: str) -> set[str]:
    return {cut.supervisions[0].speaker for cut in corpus.cuts(split)}


def voices(folder: Path, people: int, each: int) -> Path:
    for person in range(people):
        for number in range(each):
            wave_file(folder / f"person{person}" / f"{number}.wav", tone(0.31))
    return folder


def test_folder_with_words_beside(tmp_path: Path) -> None:
    source = tmp_path / "mine"
    wave_file(source / "ann/one.wav", tone(0.5, 48000), 48000)
    text_file(source / "ann/one.txt", "Hello  there.\n")
    wave_file(source / "ann/deep/two.FLAC", tone(0.75))
    wave_file(source / "bob/stereo.ogg", np.stack([tone(1, 44100)] * 2, axis=1), 44100)
    wave_file(source / ".hidden/three.wav", tone())
    wave_file(source / "ann/._one.wav", tone())
    text_file(source / "notes.md", "no sound")

    corpus = prepared("folder", tmp_path, f"path={source}", "language=en")

    assert texts(corpus) == {"ann-one": "Hello there.", "ann-deep-two": None, "bob-stereo": None}
    cuts = {cut.id: cut for split in SPLITS for cut in corpus.cuts(split)}
    assert {name: cut.supervisions[0].speaker for name, cut in cuts.items()} == {
        "ann-one": "ann",
        "ann-deep-two": "deep",
        "bob-stereo": "bob",
    }
    assert {cut.supervisions[0].language for cut in cuts.values()} == {"en"}
    for name, seconds in (("ann-one", 0.5), ("ann-deep-two", 0.75), ("bob-stereo", 1.0)):
        cut = cuts[name]
        assert cut.sampling_rate == 16000
        assert cut.duration == pytest.approx(seconds, abs=1e-3)
        info = soundfile.info(tmp_path / "out/audio" / f"{name}.flac")
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
        assert info.frames == cut.recording.num_samples
        heard = cut.load_audio()[0]
        middle = slice(1000, -1000)
        np.testing.assert_allclose(heard[middle], tone(seconds)[middle], atol=0.01)
    assert sum(corpus.utterances.values()) == 3
    assert sum(corpus.minutes.values()) == pytest.approx(2.25 / 60, abs=0.02)


def test_a_corpus_may_be_moved(tmp_path: Path) -> None:
    source = voices(tmp_path / "mine", people=1, each=3)
    prepared("folder", tmp_path, f"path={source}", "split.dev=0", "split.test=0")
    shutil.move(tmp_path / "out", tmp_path / "elsewhere")
    moved = read_cuts([tmp_path / "elsewhere"], "train")
    assert len(moved) == 3
    assert all(cut.load_audio().shape == (1, cut.num_samples) for cut in moved)


def test_speakers_are_not_shared_between_splits(tmp_path: Path) -> None:
    source = voices(tmp_path / "mine", people=12, each=2)
    corpus = prepared("folder", tmp_path, f"path={source}", "split.dev=0.3", "split.test=0.3")
    train, dev, test = (speakers(corpus, split) for split in SPLITS)
    assert train
    assert dev
    assert test
    assert not train & dev | train & test | dev & test
    assert len(train | dev | test) == 12


def test_one_speaker_is_split_by_utterance(tmp_path: Path) -> None:
    source = voices(tmp_path / "mine", people=1, each=20)
    corpus = prepared("folder", tmp_path, f"path={source}", "split.dev=0.3", "split.test=0.3")
    assert all(corpus.utterances[split] for split in SPLITS)


def test_a_small_corpus_has_a_dev_split(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = voices(tmp_path / "mine", people=2, each=10)
    corpus = prepared("folder", tmp_path, f"path={source}", "split.dev=0.1", "split.test=0")
    assert (corpus.utterances["train"], corpus.utterances["dev"]) == (18, 2)
    assert "2 of the training recordings are dev" in caplog.text
    none = prepared("folder", tmp_path / "b", f"path={source}", "split.dev=0", "split.test=0")
    assert none.utterances["dev"] == 0


def test_new_recordings_move_no_other(tmp_path: Path) -> None:
    source = voices(tmp_path / "mine", people=12, each=2)
    shares = ["split.dev=0.3", "split.test=0.3"]
    before = prepared("folder", tmp_path / "a", f"path={source}", *shares)
    voices(source, people=14, each=3)
    after = prepared("folder", tmp_path / "b", f"path={source}", *shares)
    for split in SPLITS:
        assert {cut.id for cut in before.cuts(split)} <= {cut.id for cut in after.cuts(split)}
    assert sum(after.utterances.values()) == 42


def test_a_corpus_keeps_its_own_test_set(tmp_path: Path) -> None:
    source = voices(tmp_path / "an4", people=12, each=1)
    for name, people in (("train", range(8)), ("test", range(8, 12))):
        rows = [{"audio": f"person{i}/0.wav", "text": "YES", "speaker": f"p{i}"} for i in people]
        text_file(source / f"{name}.jsonl", "\n".join(json.dumps(row) for row in rows))
    corpus = prepared("an4", tmp_path, f"path={source}", "split.dev=0.4", "split.test=0.6")
    assert speakers(corpus, "test") == {"p8", "p9", "p10", "p11"}
    assert speakers(corpus, "dev")
    assert len(speakers(corpus, "dev") | speakers(corpus, "train")) == 8
    assert set(texts(corpus).values()) == {"YES"}


def test_sphinx_layout(tmp_path: Path) -> None:
    source = tmp_path / "an4"
    wave_file(source / "wav/an4_clstk/fjmd/an10-fjmd-b.wav", tone())
    wave_file(source / "wav/an4test_clstk/mjwl/x.wav", tone())
    text_file(source / "etc/an4_train.transcription", "<s> YES </s> (an10-fjmd-b)\n")
    text_file(source / "etc/an4_test.transcription", "<s> NO </s> (x)\n<s> GO </s> (lost)\n")
    corpus = prepared("an4", tmp_path, f"path={source}", "split.dev=0")
    assert speakers(corpus, "train") == {"fjmd"}
    assert speakers(corpus, "test") == {"mjwl"}
    assert sorted(texts(corpus).values()) == ["NO", "YES"]
    assert corpus.dropped == {"listed but not there": 1}


def test_what_is_no_speech_is_left_out_and_counted(tmp_path: Path) -> None:
    source = tmp_path / "mine"
    wave_file(source / "good.wav", tone())
    wave_file(source / "short.wav", tone(0.29))
    wave_file(source / "silent.wav", 0.003 * tone())
    wave_file(source / "none.wav", np.zeros(0, np.float32))
    (source / "empty.wav").touch()
    (source / "broken.wav").write_bytes(b"RIFFxxxx")
    corpus = prepared("folder", tmp_path, f"path={source}")
    assert list(texts(corpus)) == ["good"]
    assert corpus.dropped == {"shorter than 0.3 s": 1, "silent": 1, "empty or unreadable": 3}
    facts = json.loads((tmp_path / "out/corpus.json").read_text())
    assert facts["dropped_ids"]["silent"] == "silent"


def test_no_usable_recording(tmp_path: Path) -> None:
    source = tmp_path / "mine"
    wave_file(source / "short.wav", tone(0.1))
    with pytest.raises(SpeechLMError, match="folder: no usable recording among 1"):
        prepared("folder", tmp_path, f"path={source}")
    assert not (tmp_path / "out/corpus.json").exists()


def test_a_finished_corpus_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = voices(tmp_path / "mine", people=2, each=2)
    first = prepared("folder", tmp_path, f"path={source}")
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    shutil.rmtree(source)
    assert prepared("folder", tmp_path, f"path={source}") == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == stamps


def test_a_key_younger_than_the_folder_has_its_default_there(tmp_path: Path) -> None:
    source = voices(tmp_path / "mine", people=2, each=1)
    first = prepared("folder", tmp_path, f"path={source}")
    mark = tmp_path / "out/config.yaml"
    before = mark.read_text()
    mark.write_text(before.replace("sample_rate: 16000\n", ""))
    assert mark.read_text() != before
    assert prepared("folder", tmp_path, f"path={source}") == first
    with pytest.raises(SpeechLMError, match="other settings"):
        prepared("folder", tmp_path, f"path={source}", "sample_rate=24000")


def test_another_sample_rate(tmp_path: Path) -> None:
    wave_file(tmp_path / "mine/ann/high.wav", tone(0.5, 48000, hertz=10_000), 48000)
    corpus = prepared("folder", tmp_path, f"path={tmp_path / 'mine'}", "sample_rate=24000")
    (cut,) = (cut for split in SPLITS for cut in corpus.cuts(split))
    assert (cut.sampling_rate, cut.num_samples, cut.duration) == (24000, 12000, 0.5)
    spectrum = np.abs(np.fft.rfft(cut.load_audio()[0]))
    assert spectrum.argmax() * 24000 / 12000 == 10_000
    assert sum(corpus.minutes.values()) == pytest.approx(0.5 / 60, abs=0.005)
    summary = json.loads((corpus.folder / "corpus.json").read_text())
    assert summary["sample_rate"] == 24000


def test_an_interrupted_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = voices(tmp_path / "mine", people=1, each=4)
    survey, calls = decode.Levels.of, []

    def interrupted(pieces: Iterator[np.ndarray]) -> decode.Levels:
        calls.append(pieces)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return survey(pieces)

    monkeypatch.setattr(decode.Levels, "of", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepared("folder", tmp_path, f"path={source}")
    assert not (tmp_path / "out/corpus.json").exists()
    assert len(list((tmp_path / "out/audio").iterdir())) == 2
    with pytest.raises(SpeechLMError, match="not a prepared corpus"):
        PreparedCorpus.open(tmp_path / "out")

    corpus = prepared("folder", tmp_path, f"path={source}")
    assert len(calls) == 3 + 2  # the two that were there were not decoded again
    assert sum(corpus.utterances.values()) == 4
    fresh = prepared("folder", tmp_path / "fresh", f"path={source}")
    for split in SPLITS:
        name = f"cuts-{split}.jsonl.gz"
        assert (tmp_path / "out" / name).read_bytes() == (fresh.folder / name).read_bytes()


def test_other_settings_do_not_mix(tmp_path: Path) -> None:
    source = voices(tmp_path / "mine", people=2, each=1)
    prepared("folder", tmp_path, f"path={source}")
    with pytest.raises(SpeechLMError, match="prepared with other settings"):
        prepared("folder", tmp_path, f"path={source}", "min_seconds=1")


def test_output_inside_the_source_is_not_a_source(tmp_path: Path) -> None:
    source = voices(tmp_path, people=2, each=1)
    prepared("folder", tmp_path, f"path={source}")
    (tmp_path / "out/corpus.json").unlink()
    assert sum(prepared("folder", tmp_path, f"path={source}").utterances.values()) == 2


def test_ids_that_clash(tmp_path: Path) -> None:
    wave_file(tmp_path / "mine/a/b.wav", tone())
    wave_file(tmp_path / "mine/a-b.wav", tone())
    corpus = prepared("folder", tmp_path, f"path={tmp_path / 'mine'}")
    assert sum(corpus.utterances.values()) == 2
    names = {path.stem for path in (tmp_path / "out/audio").iterdir()}
    assert names == {"a-b", "a-b-wav"}


def test_a_failed_run_does_not_keep_the_folder_from_the_next(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for _ in range(2):
        with pytest.raises(SpeechLMError, match="found no recordings"):
            prepared("folder", tmp_path, f"path={tmp_path / 'mine'}")
    wave_file(tmp_path / "other/a.wav", tone())
    corpus = prepared("folder", tmp_path, f"path={tmp_path / 'other'}")
    assert sum(corpus.utterances.values()) == 1


@pytest.mark.parametrize("name", ["folder", "an4", "librispeech"])
def test_no_such_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(SpeechLMError, match="nowhere: no such folder"):
        prepared(name, tmp_path, f"path={tmp_path / 'nowhere'}")


def test_a_folder_without_recordings(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(SpeechLMError, match="folder: found no recordings"):
        prepared("folder", tmp_path, f"path={tmp_path / 'mine'}")


def test_output_that_cannot_be_made(tmp_path: Path) -> None:
    source = voices(tmp_path / "mine", people=1, each=1)
    text_file(tmp_path / "out", "a file")
    with pytest.raises(SpeechLMError, match="out: cannot be made"):
        prepared("folder", tmp_path, f"path={source}")


def test_levels_are_kept_and_faults_mended() -> None:
    def mended(wave: np.ndarray) -> np.ndarray:
        pieces = np.array_split(wave, 7)
        levels = decode.Levels.of(pieces)
        assert levels.samples == len(wave)
        return np.concatenate(list(levels.mended(pieces)))

    wave = tone()
    np.testing.assert_array_equal(mended(wave), wave)
    np.testing.assert_allclose(mended(wave + np.float32(0.2)), wave, atol=1e-6)
    full = wave * (0.999 / np.abs(wave).max())
    np.testing.assert_allclose(mended(5 * wave), full, atol=1e-6)
    np.testing.assert_allclose(mended(5 * wave - np.float32(0.7)), full, atol=1e-6)


def test_a_long_recording_passes_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To what is made of it as a whole, in memory that does not grow."""
    noise = np.random.default_rng(0).standard_normal(62 * 24000).astype(np.float32)
    for name, seconds in (("short", 31), ("long", 62)):
        wave = 0.5 * noise[: seconds * 24000] + 0.1
        soundfile.write(wave_file(tmp_path / name / "a.wav", wave, 24000), wave, 24000, "FLOAT")
    monkeypatch.setattr(folder, "LONG", 70.0)
    whole = prepared("folder", tmp_path / "whole", f"path={tmp_path / 'long'}")
    monkeypatch.setattr(folder, "LONG", 5.0)
    monkeypatch.setattr(audio.decoders, "PIECE", 1 << 15)
    monkeypatch.setattr(audio, "read", pytest.fail)
    peaks = []
    for name in ("short", "short", "long"):  # the first loads what is loaded once
        tracemalloc.start()
        corpus = prepared("folder", tmp_path / f"{name}{len(peaks)}", f"path={tmp_path / name}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    made = [soundfile.read(each.folder / "audio" / "a.flac")[0] for each in (whole, corpus)]
    np.testing.assert_allclose(made[0], made[1], atol=1.01 / 32768)  # rounding of 16 bits
    assert len(made[0]) == 62 * 16000
    assert peaks[2] - peaks[1] < 200_000  # half a minute more of samples would be 2 MB


def test_cuts_of_several_corpora(tmp_path: Path) -> None:
    folders = []
    for name in ("a", "b"):
        source = voices(tmp_path / name, people=1, each=2)
        shares = ("split.dev=0", "split.test=0")
        corpus = prepared("folder", tmp_path / f"{name}-out", f"path={source}", *shares)
        folders.append(corpus.folder)
    assert len(read_cuts(folders, "train")) == 4
    assert len(read_cuts(folders, "dev")) == 0
    with pytest.raises(SpeechLMError, match="not a prepared corpus"):
        read_cuts([tmp_path], "train")


def test_lhotse_recipe(tmp_path: Path) -> None:
    librispeech(tmp_path)
    corpus = prepared("librispeech", tmp_path, f"path={tmp_path / 'LibriSpeech'}")
    assert corpus.utterances == {"train": 2, "dev": 2, "test": 2}
    assert speakers(corpus, "dev") == {"174"}
    assert texts(corpus)["61-7-0001"] == "I KNOW"
    (cut, _) = corpus.cuts("train")
    np.testing.assert_allclose(cut.load_audio()[0], tone(), atol=1e-3)


def test_lhotse_recipe_without_its_files(tmp_path: Path) -> None:
    with pytest.raises(SpeechLMError, match="librispeech: ") as caught:
        prepared("librispeech", tmp_path, f"path={tmp_path}")
    assert "\n" not in str(caught.value)


def test_lhotse_options_are_the_recipes(tmp_path: Path) -> None:
    with pytest.raises(SpeechLMError, match=r"librispeech has no option dataset_part; .*num_jobs"):
        prepared("librispeech", tmp_path, f"path={tmp_path}", "options.dataset_part=dev-clean")


def test_no_such_lhotse_recipe(tmp_path: Path) -> None:
    with pytest.raises(SpeechLMError, match="no prepare_librispeach; near: librispeech"):
        prepared("librispeech", tmp_path, f"path={tmp_path}", "recipe=librispeach")


def test_torch_is_imported_only_when_needed() -> None:
    code = "import sys, speechlm.data.prepare; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
