"""Layouts of folders of recordings: what is read from each, and what is refused."""

from __future__ import annotations

import csv
import gzip
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlm.data import layouts
from speechlm.data.config import FolderConfig
from speechlm.data.layouts import LAYOUTS
from speechlm.data.sources import folder
from speechlm.data.utterance import Utterance
from speechlm.errors import SpeechLMError
from tests.data.trees import text_file, tone, wave_file

Row = tuple[str, str, str]
"""Name of a recording, text, speaker."""
ROWS: list[Row] = [("u1", 'She said "yes", twice.', "ann"), ("u2", "Café au lait", "bob")]


def utterances(path: Path, **keys: object) -> list[Utterance]:
    config = FolderConfig(name="x", kind="folder", path=str(path), output="none", **keys)
    return folder.source(config).utterances


def write_rows(path: Path, rows: list[list[str]], **dialect: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, **dialect).writerows(rows)


def jsonl(root: Path, rows: list[Row]) -> str:
    lines = [json.dumps({"audio": f"{n}.wav", "text": t, "speaker": s}) for n, t, s in rows]
    text_file(root / "all.jsonl", "\n".join(lines))
    return "{}.wav"


def audiofolder_jsonl(root: Path, rows: list[Row]) -> str:
    lines = [
        json.dumps({"file_name": f"{n}.wav", "transcription": t, "spk": s}) for n, t, s in rows
    ]
    text_file(root / "data" / "metadata.jsonl", "\n".join(lines))
    return "data/{}.wav"


def audiofolder(root: Path, rows: list[Row]) -> str:
    table = [
        ["file_name", "transcription", "speaker_id"],
        *([f"{n}.wav", t, s] for n, t, s in rows),
    ]
    write_rows(root / "data" / "metadata.csv", table)
    return "data/{}.wav"


def comma_table(root: Path, rows: list[Row]) -> str:
    table = [["Speaker", "Text", "Path"], *([s, t, f"sound/{n}.wav"] for n, t, s in rows)]
    write_rows(root / "mine.csv", table)
    return "sound/{}.wav"


def semicolon_table(root: Path, rows: list[Row]) -> str:
    table = [["audio", "sentence", "spk"], *([f"{n}.wav", t, s] for n, t, s in rows)]
    write_rows(root / "mine.csv", table, delimiter=";", lineterminator="\n")
    return "{}.wav"


def tab_table(root: Path, rows: list[Row]) -> str:
    table = [["file", "transcript", "speaker"], *([f"{n}.wav", t, s] for n, t, s in rows)]
    write_rows(root / "mine.tsv", table, delimiter="\t")
    return "{}.wav"


def common_voice(root: Path, rows: list[Row]) -> str:
    lines = ["client_id\tpath\tsentence\tup_votes\tlocale"]
    lines += [f"{s}\t{n}.wav\t{t}\t2\ten" for n, t, s in rows]
    text_file(root / "validated.tsv", "\n".join(lines) + "\n")
    (root / "clips").mkdir()
    return "clips/{}.wav"


def kaldi(root: Path, rows: list[Row]) -> str:
    text_file(root / "data/all/wav.scp", "".join(f"{n} sound/{n}.wav\n" for n, _, _ in rows))
    text_file(root / "data/all/text", "".join(f"{n} {t}\n" for n, t, _ in rows))
    text_file(root / "data/all/utt2spk", "".join(f"{n} {s}\n" for n, _, s in rows))
    return "sound/{}.wav"


WRITERS: dict[str, list[Callable[[Path, list[Row]], str]]] = {
    "jsonl": [jsonl, audiofolder_jsonl],
    "kaldi": [kaldi],
    "common-voice": [common_voice],
    "audiofolder": [audiofolder],
    "table": [comma_table, semicolon_table, tab_table],
}
"""Each writes texts and speakers in a layout, and gives where recordings belong."""
WRITER = [(name, writer) for name, writers in WRITERS.items() for writer in writers]


@pytest.mark.parametrize(
    ("name", "writer"), WRITER, ids=lambda value: getattr(value, "__name__", "")
)
def test_texts_and_speakers_are_read(
    name: str, writer: Callable[[Path, list[Row]], str], tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    place = writer(tmp_path, ROWS)
    for number, (recording, _, _) in enumerate(ROWS):
        wave_file(tmp_path / place.format(recording), tone(0.1 * (number + 1)))
    assert layouts.detect(tmp_path)[0] == name
    found = utterances(tmp_path)
    assert [(one.text, one.speaker) for one in found] == [(t, s) for _, t, s in ROWS]
    assert [len(one.audio()[0]) for one in found] == [1600, 3200]
    assert caplog.text == ""
    assert [one.id for one in utterances(tmp_path, layout=name)] == [one.id for one in found]


CHARACTERS = st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="\ufeff")
TEXTS = st.lists(
    st.text(CHARACTERS, min_size=1).map(lambda text: " ".join(text.split())).filter(bool),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize(
    "writer", [writer for _, writer in WRITER], ids=lambda value: value.__name__
)
@settings(max_examples=20, deadline=None)
@given(texts=TEXTS)
def test_any_text_is_read_as_it_was_written(
    writer: Callable[[Path, list[Row]], str], texts: list[str]
) -> None:
    rows = [(f"u{number}", text, "ann") for number, text in enumerate(texts)]
    with tempfile.TemporaryDirectory() as root:
        writer(Path(root), rows)
        _, (path,) = layouts.detect(Path(root))
        assert [entry.text for entry in layouts.read(path)] == texts


def test_ljspeech(tmp_path: Path) -> None:
    lines = 'LJ001-0001|Printing, in 1450|Printing, in fourteen fifty\nLJ001-0002|in "being"|\n'
    text_file(tmp_path / "metadata.csv", lines)
    for name in ("LJ001-0001", "LJ001-0002"):
        wave_file(tmp_path / "wavs" / f"{name}.wav", tone(0.1))
    assert layouts.detect(tmp_path)[0] == "ljspeech"
    found = utterances(tmp_path)
    assert [one.text for one in found] == ["Printing, in fourteen fifty", 'in "being"']
    assert [one.speaker for one in found] == ["wavs", "wavs"]


def test_librispeech(tmp_path: Path) -> None:
    chapter = tmp_path / "dev-clean" / "84" / "121123"
    text_file(chapter / "84-121123.trans.txt", "84-121123-0000 GO DO YOU HEAR\n")
    wave_file(chapter / "84-121123-0000.flac", tone(0.1))
    assert layouts.detect(tmp_path)[0] == "librispeech"
    (one,) = utterances(tmp_path)
    assert (one.text, one.speaker, one.split) == ("GO DO YOU HEAR", "84", "dev")
    # The folder that the user names is no split.
    (one,) = utterances(tmp_path / "dev-clean")
    assert one.split is None


def test_sphinx(tmp_path: Path) -> None:
    words = "<s> G TWO EIGHTY NINE </s> (an10-fjmd-b)\nYES (an11-fjmd-b)\n"
    text_file(tmp_path / "etc/an4_train.transcription", words)
    for name in ("an10", "an11"):
        wave_file(tmp_path / "wav" / "fjmd" / f"{name}-fjmd-b.wav", tone(0.1))
    found = utterances(tmp_path)
    assert [(one.text, one.speaker, one.split) for one in found] == [
        ("G TWO EIGHTY NINE", "fjmd", "train"),
        ("YES", "fjmd", "train"),
    ]


def test_kaldi_paths_and_splits(tmp_path: Path) -> None:
    wave_file(tmp_path / "WAVE/SPEAKER0003/000030012.WAV", tone(0.1))
    text_file(tmp_path / "test/wav.scp", "000030012\tWAVE/SPEAKER0003/000030012.WAV\n")
    text_file(tmp_path / "test/text", "000030012\tMARK IS GOING\n")
    text_file(tmp_path / "test/utt2spk", "000030012 0003\n")
    (one,) = utterances(tmp_path)
    assert (one.text, one.speaker, one.split) == ("MARK IS GOING", "0003", "test")
    assert one.id == "WAVE-SPEAKER0003-000030012"


def test_kaldi_segments(tmp_path: Path) -> None:
    wave = np.arange(16000, dtype=np.float32) / 32768
    path = wave_file(tmp_path / "long.wav", wave)
    text_file(tmp_path / "wav.scp", f"rec {path}\n")
    text_file(tmp_path / "segments", "a rec 0.25 0.5\nb rec 0.5 -1\n")
    text_file(tmp_path / "text", "a first\nb second\n")
    first, second = utterances(tmp_path)
    assert [(one.id, one.text) for one in (first, second)] == [("a", "first"), ("b", "second")]
    np.testing.assert_array_equal(first.load()[0], wave[4000:8000])
    np.testing.assert_array_equal(second.load()[0], wave[8000:])


@pytest.mark.parametrize("name", ["cuts-train.jsonl.gz", "mine.jsonl"])
def test_cuts_with_two_sentences(tmp_path: Path, name: str) -> None:
    wave = tone(1.0)
    wave_file(tmp_path / "a.wav", wave)
    said = [
        {"id": f"a-{n}", "recording_id": "a", "start": n / 2, "duration": 0.5, "channel": 0,
         "text": text, "speaker": "ann", "language": "en"}
        for n, text in enumerate(["first", "second"])
    ]  # fmt: skip
    recording = {"id": "a", "sources": [{"type": "file", "channels": [0], "source": "a.wav"}],
                 "sampling_rate": 16000, "num_samples": 16000, "duration": 1.0}  # fmt: skip
    cut = {"id": "a", "start": 0.0, "duration": 1.0, "channel": 0, "supervisions": said,
           "recording": recording, "type": "MonoCut"}  # fmt: skip
    data = (json.dumps(cut) + "\n").encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    found = utterances(tmp_path)
    split = "train" if "train" in name else None
    assert [(one.id, one.text, one.speaker, one.split) for one in found] == [
        ("a-0", "first", "ann", split),
        ("a-1", "second", "ann", split),
    ]
    np.testing.assert_allclose(found[1].load()[0], wave[8000:], atol=1e-4)


def test_a_recording_in_two_lists_is_taken_once_and_counted(tmp_path: Path) -> None:
    wave_file(tmp_path / "a.wav", tone(0.1))
    for name in ("all.csv", "test.csv"):
        text_file(tmp_path / name, "audio,text\na.wav,hello\n")
    config = FolderConfig(name="x", kind="folder", path=str(tmp_path), output="none")
    found = folder.source(config)
    assert [(one.id, one.split) for one in found.utterances] == [("a", "test")]
    assert found.skipped["listed again"] == 1
    assert found.skipped["in no list"] == 0


def test_a_name_that_two_recordings_have_is_not_guessed(tmp_path: Path) -> None:
    for name in ("x/a.wav", "y/a.wav"):
        wave_file(tmp_path / name, tone(0.1))
    text_file(tmp_path / "etc/all.transcription", "hello (a)\n")
    config = FolderConfig(name="x", kind="folder", path=str(tmp_path), output="none")
    found = folder.source(config)
    assert not found.utterances
    assert found.skipped["of an ambiguous name"] == 1
    assert found.skipped["in no list"] == 2


def test_files_that_are_not_read_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wave_file(tmp_path / "a.wav", tone(0.1))
    for name in ("a.txt", "README.md", "LICENSE", ".hidden", "none/a.flac"):
        text_file(tmp_path / name, "hello")
    utterances(tmp_path)
    assert caplog.text == ""
    for name in [*(f"{number}.TextGrid" for number in range(3)), "prompts.tsv", *"xyz"]:
        text_file(tmp_path / name, "number\tprompt\n")
    utterances(tmp_path)
    assert "layout=files, without 0.TextGrid, 1.TextGrid" in caplog.text
    assert "and 2 more" in caplog.text
    caplog.clear()
    text_file(tmp_path / "list.csv", "audio,text\na.wav,hi\n")
    utterances(tmp_path)
    assert "layout=table, without 0.TextGrid, 1.TextGrid, 2.TextGrid, a.txt, " in caplog.text


def test_marks_of_encodings(tmp_path: Path) -> None:
    wave_file(tmp_path / "a.wav", tone(0.1))
    for encoding in ("utf-8-sig", "utf-16", "cp1252"):
        (tmp_path / "list.csv").write_bytes("audio;text\r\na.wav;café\r\n".encode(encoding))
        assert [one.text for one in utterances(tmp_path)] == ["café"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", '{"audio": "x.wav"}\n{"text": "x"}\n', "a.jsonl:2: names no recording"),
        ("a.jsonl", "[]\n", "a.jsonl:1: needs a JSON object"),
        ("a.jsonl", "not json\n", "a.jsonl:1: needs a JSON object"),
        ("a.jsonl", '{"audio": ["x.wav"]}\n', r"a.jsonl:1: audio is \['x.wav'\], not a text"),
        ("a.transcription", "hello\n", "a.transcription:1: needs <s> WORDS </s>"),
        ("a.csv", "", "a.csv: is empty"),
        ("a.csv", "id,text\n1,x\n", "a.csv: needs a column of recordings .*its header is id, text"),
        ("a.csv", "audio,text\na.wav,b,c\n", "a.csv:2: has 3 fields, the header 2"),
        ("a.csv", "audio,text\n,b\n", "a.csv:2: names no recording"),
        ("a.csv", 'audio,text\na.wav,"b" c\n', "a.csv: .*expected after"),
        ("metadata.csv", "a|b\nc\n", r"metadata.csv:2: needs id\|text"),
        ("wav.scp", "a sox a.wav -t wav - |\n", "wav.scp:1: is a shell command, which is not run"),
        ("wav.scp", "a\n", "wav.scp:1: needs an id and the path"),
        ("1-2.trans.txt", "3-4-0 HELLO\n", "1-2.trans.txt:1: 3-4-0 is no recording of 1-2"),
        ("a.xml", "", "a.xml: a list of recordings is .jsonl"),
    ],
)
def test_bad_lists_name_the_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(SpeechLMError, match=message):
        layouts.read(text_file(tmp_path / name, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a rec 1 2\n", "segments:1: wav.scp has no recording rec"),
        ("a x 1\n", "segments:1: needs an id, a recording, start and end"),
        ("a x 2 1\n", "segments:1: is no stretch of time: 2 to 1 s"),
        ("a x nan 1\n", "segments:1: is no stretch of time"),
    ],
)
def test_bad_segments_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    text_file(tmp_path / "segments", text)
    with pytest.raises(SpeechLMError, match=message):
        layouts.read(text_file(tmp_path / "wav.scp", "x x.wav\n"))


def test_layouts_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(SpeechLMError, match="layout=csv: is one of cuts, jsonl"):
        layouts.detect(tmp_path, "csv")
    for name, layout in LAYOUTS.items():
        with pytest.raises(SpeechLMError, match=f"holds no .*, which layout={name} has"):
            layouts.detect(tmp_path, name)
        assert layout.find(tmp_path) == []
    with pytest.raises(SpeechLMError, match="no such list"):
        layouts.read(tmp_path / "none.jsonl")
