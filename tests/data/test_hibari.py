"""A corpus of sentences of texts, by a synthesiser that stands in for hibari-tts."""

from __future__ import annotations

import lzma
import sys
from pathlib import Path

import numpy as np
import pytest

from speechlm.data.prepare import prepare
from speechlm.data.sources import hibari
from speechlm.errors import SpeechLMError

DECLARED = Path(__file__).parents[2] / "data" / "hibari.yaml"
TEXT = "The fox ran home. It was 5 o'clock! Привет мир друг.\n\nNo.\nThe fox ran home.\n"


def test_sentences_of_texts_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, float, int]] = []

    def speak(text: str, speed: float, seed: int) -> np.ndarray:
        asked.append((text, speed, seed))
        return 0.1 * np.sin(np.arange(12000 + 1000 * len(text)) / 20)

    monkeypatch.setattr(hibari, "_hibari", lambda: speak)
    monkeypatch.setattr(hibari, "version", lambda package: "0")
    (tmp_path / "plain.txt").write_text(TEXT, "utf-8")
    with lzma.open(tmp_path / "packed.txt.xz", "wt", encoding="utf-8") as file:
        file.write("A bird sang all day.\n")
    texts = f"texts=[{tmp_path / 'plain.txt'},{tmp_path / 'packed.txt.xz'}]"
    usual = [texts, "split.dev=0", "split.test=0", f"output={tmp_path / 'out'}"]
    corpus = prepare(DECLARED, [*usual, "synthetic_prob=0"])
    found = {cut.supervisions[0].text for cut in corpus.cuts("train")}
    # Not twice, not in letters that it cannot read, not of fewer words than asked for.
    assert found == {"The fox ran home.", "It was five o'clock!", "A bird sang all day."}
    assert {text for text, _, _ in asked} == found
    assert all(0.85 <= speed <= 1.15 for _, speed, _ in asked)
    assert {cut.supervisions[0].speaker for cut in corpus.cuts("train")} == {"hibari-heart"}
    more = prepare(
        DECLARED,
        [*usual[:3], f"output={tmp_path / 'more'}", "utterances=20", "synthetic_prob=1"],
    )
    assert len(list(more.cuts("train"))) == 20


def test_mistakes_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def message(*settings: str) -> str:
        with pytest.raises(SpeechLMError) as no:
            prepare(DECLARED, [f"output={tmp_path / str(len(settings))}", *settings])
        assert "\n" not in str(no.value)
        return str(no.value)

    assert "none.txt: cannot be read as text" in message(f"texts=[{tmp_path / 'none.txt'}]")
    (tmp_path / "short.txt").write_text("No.\n")
    short = f"texts=[{tmp_path / 'short.txt'}]"
    assert "no sentence of 3 to 25 words" in message(short, "seed=1")
    (tmp_path / "bad.txt.xz").write_bytes(b"not packed")
    assert "bad.txt.xz: cannot be read as text" in message(
        f"texts=[{tmp_path / 'bad.txt.xz'}]", "seed=1", "utterances=2"
    )
    monkeypatch.setitem(sys.modules, "hibari", None)
    hibari._hibari.cache_clear()
    (tmp_path / "good.txt").write_text(TEXT, "utf-8")
    good = f"texts=[{tmp_path / 'good.txt'}]"
    assert "make synthetic" in message(good, "seed=1", "utterances=2", "min_words=2")
