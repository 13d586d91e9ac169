"""``speechlm tokenize`` and ``speechlm text-tokenizer``, as a user runs them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from speechlm.cli import main
from speechlm.data.tokens import Tokens
from speechlm.tokenizers.text import TextTokenizer
from tests.data.trees import text_file, tone, wave_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        wave_file(tmp_path / "mine" / f"{name}.wav", tone(0.4))
        text_file(tmp_path / "mine" / f"{name}.txt", f"THE LETTER {name}")
    return tmp_path


def verb(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["speechlm", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def test_from_recordings_to_units_and_pieces(
    folder: Path,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (folder / "mine" / "c.wav").write_bytes(b"no sound")
    asked = folder / "mine", folder / "out", "--model", tiny_model, "--num-codebooks", 2
    assert verb(monkeypatch, "tokenize", *asked) == 0
    printed = " ".join(capfd.readouterr().out.split())
    assert "train │ 2 │ 0.0" in printed
    assert "dropped: c: " in printed
    assert "2 levels of tiny" in printed
    assert Tokens(folder / "out").units.num_codebooks == 2
    assert verb(monkeypatch, "text-tokenizer", folder / "text.model", folder / "out") == 0
    assert TextTokenizer.load(folder / "text.model").normalise("The letter A") == "the letter a"
    # Bytes, what no text has, a space, and seven letters.
    assert "265 pieces" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["tokenize", "nowhere", "out"], "nowhere: no such file or folder"),
        (["tokenize", "mine", "out", "--num-codebooks", "99"], "has 1 to 12 levels, not 99"),
        (["tokenize", "mine", "out", "--model", "nowhere"], "nowhere: "),
        (["text-tokenizer", "out", "nowhere"], "nowhere: no such tokenized corpus or file"),
        (["text-tokenizer", "out", "mine/a.txt", "--kind", "word"], "kind is char, unigram, bpe"),
        (["text-tokenizer", "none/out", "mine/a.txt"], "none/out: cannot be written"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str],
    says: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    assert verb(monkeypatch, *arguments) == 2
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert line.startswith("error: ")
    assert says in line
    assert sorted(path.name for path in folder.iterdir()) == ["mine"]
