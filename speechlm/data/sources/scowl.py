"""English words from a Debian package: the list of SCOWL (Atkinson), American spelling."""

from __future__ import annotations

from pathlib import Path

from speechlm.data import debian
from speechlm.errors import SpeechLMError

PACKAGE = "wamerican"
FILE = "usr/share/dict/american-english"


def american_english(cache: str | Path) -> list[str]:
    """All words, names and forms with an apostrophe. The package is fetched if need be.

    Raises:
        SpeechLMError: when it cannot be had, or is damaged.
    """
    root, _ = debian.unpacked([PACKAGE], Path(cache), "the list of words")
    try:
        return (root / FILE).read_text("utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise SpeechLMError(f"{root / FILE}: not a list of words: {error}") from None
