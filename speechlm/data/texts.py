"""Texts to train on: of tokenized corpora, or of plain files with a text a line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from speechlm.data.tokens import FILE, Tokens
from speechlm.errors import SpeechLMError
from speechlm.utils.text import read_text


def read(source: str | Path, split: str = "train") -> list[str]:
    """The texts of a split of a tokenized corpus, or the lines of a file, but empty ones.

    Raises:
        SpeechLMError: when there is no such thing, or it is not text.
    """
    source = Path(source)
    if (source / FILE).is_file():
        entries = Tokens(source).entries
        return [entry.text for entry in entries if entry.split == split and entry.text]
    try:
        text = read_text(source)
    except FileNotFoundError:
        raise SpeechLMError(f"{source}: no such tokenized corpus or file of text") from None
    except OSError as error:
        raise SpeechLMError(f"{source}: {error.strerror or error}") from None
    if "\0" in text:
        raise SpeechLMError(f"{source}: not a text")
    return [line for line in text.splitlines() if line.strip()]


def read_all(sources: Iterable[str | Path], split: str = "train") -> list[str]:
    """The texts of several sources, one after the other."""
    return [text for source in sources for text in read(source, split)]
