"""Synthetic speech: its sentences, verses and voices, without the model."""

from __future__ import annotations

import io
import re
import sys
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from speechlm.cli import main
from speechlm.data import texts
from speechlm.data.prepare import prepare
from speechlm.data.sentences import KINDS, ONES, cardinal, ordinal, sentence, year
from speechlm.data.sources import kokoro
from speechlm.data.sources import web_bible as verses
from speechlm.data.sources.kokoro import spoken
from speechlm.errors import SpeechLMError
from tests.data.trees import fetched, tone

DECLARED = Path(__file__).parents[2] / "data" / "kokoro.yaml"
VERSES = ["In the beginning.", "Jesus wept.", "A verse that is by far too long to be read aloud."]


def module(stem: Path, entries: list[str]) -> None:
    """A SWORD text of two blocks, with an empty entry before each verse."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    blocks, places, spots, packed = [entries[::2], entries[1::2]], [], [], b""
    for number, block in enumerate(blocks):
        text = b""
        for entry in block:
            raw = entry.encode()
            spots += [(number, 0, 0), (number, len(text), len(raw))]
            text += raw
        pressed = zlib.compress(text)
        places.append((len(packed), len(pressed), len(text)))
        packed += pressed
    stem.with_suffix(".bzz").write_bytes(packed)
    np.array(places, verses.BLOCK).tofile(stem.with_suffix(".bzs"))
    np.array(spots, verses.VERSE).tofile(stem.with_suffix(".bzv"))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """What would be downloaded, made up: verses, two voices, and a model."""
    folder = tmp_path / "packages"
    root = fetched(folder, verses.PACKAGE)
    module(root / verses.MODULE / "ot", VERSES[:1])
    module(root / verses.MODULE / "nt", VERSES[1:])
    with tarfile.open(folder / f"{kokoro.VOICES}.tgz", "w:gz") as archive:
        for number, name in enumerate(("af_one", "bm_two")):
            data = np.full((510, 256), number, "<f4").tobytes()
            member = tarfile.TarInfo(f"package/voices/{name}.bin")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    (folder / "kokoro.onnx").write_bytes(b"a model")
    return folder


class Kokoro:
    """Speaks a tone as high as its voice, for as long as the text."""

    def __init__(self, voices: Path):
        self.voices = np.load(voices)
        self.asked: list[tuple[str, str, str]] = []

    def create(self, text: str, voice: str, lang: str) -> tuple[np.ndarray, int]:
        self.asked.append((text, voice, lang))
        assert self.voices[voice].shape == (510, 1, 256)
        return tone(0.4 + len(text) / 100, 24000, 300 + 100 * self.voices[voice][0, 0, 0]), 24000


def test_a_corpus_of_voices(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Kokoro] = []

    def runner(model: Path, voices: Path) -> Kokoro:
        made[:] = made or [Kokoro(voices)]
        return made[0]

    monkeypatch.setattr(kokoro, "_kokoro", runner)
    settings = [f"package_cache={cache}", "voices=[af_one,bm_two]", "longest=40"]
    settings += ["utterances=30", "split.dev=0", "split.test=0"]
    corpus = prepare(DECLARED, [*settings, f"output={tmp_path / 'out'}"])
    cuts = list(corpus.cuts("train"))
    assert len(cuts) == 30
    asked = {(cut.supervisions[0].text, cut.supervisions[0].speaker) for cut in cuts}
    assert {(spoken(text), speaker[7:]) for text, speaker in asked} == {
        (text, voice) for text, voice, _ in made[0].asked
    }
    assert {(voice, lang) for _, voice, lang in made[0].asked} == {
        ("af_one", "en-us"), ("bm_two", "en-gb"),
    }  # fmt: skip
    texts = [cut.supervisions[0].text for cut in cuts]
    assert set(VERSES[:2]) <= set(texts)
    assert VERSES[2] not in texts
    assert any(re.fullmatch(r"[a-z ]+", text) for text in texts)
    assert {cut.id.rsplit("-", 1)[0] for cut in cuts} == {"kokoro-af_one", "kokoro-bm_two"}
    more = [each if not each.startswith("utt") else "utterances=33" for each in settings]
    longer = prepare(DECLARED, [*more, f"output={tmp_path / 'more'}"])
    assert {cut.id: cut.supervisions[0].text for cut in longer.cuts("train")}.items() >= {
        cut.id: cut.supervisions[0].text for cut in cuts
    }.items()


def test_what_is_missing_is_one_line(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def message(*settings: str) -> str:
        usual = [f"package_cache={cache}", f"output={tmp_path / 'out'}", "voices=[af_one]"]
        with pytest.raises(SpeechLMError) as no:
            prepare(DECLARED, [*usual, *settings])
        assert "\n" not in str(no.value)
        (tmp_path / "out" / "config.yaml").unlink()
        return str(no.value)

    assert "no voice zf_x; voices: af_one, bm_two" in message("voices=[zf_x]")
    assert "kokoro: sentences must be some of command, digits" in message("sentences=[poems]")
    (cache / f"{kokoro.VOICES}.npz").unlink()
    (cache / f"{kokoro.VOICES}.tgz").unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "there is no npm here; install npm, or put kokoro-js-1.2.1.tgz into" in message()
    (cache / "kokoro.onnx").unlink()
    monkeypatch.setitem(sys.modules, "kokoro_onnx", None)
    assert "it is in the extra [synthetic]: make synthetic" in message()


def test_parts_of_another_version_are_refused(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Package:
        def joinpath(self, name: str) -> Path:
            (tmp_path / name).write_bytes(b"part")
            return tmp_path / name

        __truediv__ = joinpath

    def package(name: str) -> Any:
        return name

    (cache / "kokoro.onnx").unlink()
    monkeypatch.setattr(kokoro, "_package", package)
    monkeypatch.setattr(kokoro, "files", lambda name: Package())
    with pytest.raises(SpeechLMError, match=r"its model are not those of version 0\.1\.0"):
        kokoro._model(cache)
    assert not (cache / "kokoro.onnx").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("P A R K E R", "P, eigh, R, K, E, R."),
        ("A B A", "eigh, B, eigh."),
        ("V O K forty one", "V, O, K forty one."),
        ("A man went up.", "A man went up."),
        ("twentieth of July", "twentieth of July."),
    ],
)
def test_letters_are_read_as_letters(text: str, expected: str) -> None:
    assert spoken(text) == expected


def test_numbers_in_words() -> None:
    words = {0: "zero", 13: "thirteen", 40: "forty", 99: "ninety nine", 100: "one hundred"}
    words |= {808: "eight hundred eight", 4236: "four thousand two hundred thirty six"}
    assert {number: cardinal(number) for number in words} == words
    days = {1: "first", 2: "second", 3: "third", 12: "twelfth", 20: "twentieth", 31: "thirty first"}
    days |= {8: "eighth", 19: "nineteenth", 25: "twenty fifth"}
    assert {number: ordinal(number) for number in days} == days
    years = {1905: "nineteen oh five", 1900: "nineteen hundred", 1964: "nineteen sixty four"}
    assert {number: year(number) for number in years} == years
    assert len({cardinal(number) for number in range(10000)}) == 10000


def test_sentences_are_many_and_stay_the_same() -> None:
    found = [sentence(number) for number in range(600)]
    assert found == [sentence(number) for number in range(600)]
    assert len(set(found)) > 450
    assert all(re.fullmatch(r"[A-Za-z]+( [A-Za-z]+)*", each) for each in found)
    # Every letter is spelled somewhere.
    assert {word for each in found for word in each.split() if len(word) == 1} >= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    )


def test_sentences_of_some_kinds() -> None:
    assert [sentence(number, 1, KINDS) for number in range(50)] == [
        sentence(number, 1) for number in range(50)
    ]
    for number in range(50):
        words = sentence(number, kinds=("name",)).split()
        assert all(len(word) == 1 for word in words)
        assert set(sentence(number, kinds=["digits"]).split()) <= set(ONES[:10])


def test_a_file_of_verses(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "new" / "web.txt"
    arguments = ["verses", str(out), "--cache", str(cache)]
    monkeypatch.setattr(sys, "argv", ["speechlm", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    assert texts.read(out) == [VERSES[0], VERSES[1], VERSES[2]]


def test_verses_are_plain_text(tmp_path: Path) -> None:
    marked = (
        '<w lemma="x">In</w> the <note type="study">a <w>note</w></note> beginning <p/>, “ God ”.'
    )
    module(tmp_path / "ot", [marked, "&lt;two", "x" * 700])
    assert verses.read_module(tmp_path / "ot") == ["In the beginning, “God”.", "<two"]
    (tmp_path / "ot.bzz").write_bytes(b"no blocks")
    with pytest.raises(SpeechLMError, match=r"ot\.bzz: not a SWORD text"):
        verses.read_module(tmp_path / "ot")
