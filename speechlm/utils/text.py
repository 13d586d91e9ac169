"""Text files of any common encoding."""

from __future__ import annotations

import codecs
import logging
from pathlib import Path

log = logging.getLogger(__name__)

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: str | Path) -> str:
    """The text of a file: in the encoding that its byte order mark names, or UTF-8.

    What is neither is read as Windows-1252, which every byte means something in, with a warning.

    Raises:
        OSError: when it cannot be read.
    """
    data = Path(path).read_bytes()
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        log.warning("%s: is not UTF-8, and read as Windows-1252", path)
        return data.decode("cp1252", errors="replace")
