"""Cuts of Lhotse: each supervision of a cut is an utterance, a cut without any is one too."""

from __future__ import annotations

import gzip
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from speechlm.data.layouts.base import Listed
from speechlm.data.splits import named_split
from speechlm.errors import SpeechLMError

if TYPE_CHECKING:
    from lhotse.cut import Cut

TYPES = ("MonoCut", "MultiCut", "MixedCut")


def find(folder: Path) -> list[Path]:
    """JSON lines of cuts, compressed or not."""
    return sorted(path for path in folder.glob("*.jsonl*") if is_cuts(path))


def is_cuts(path: Path) -> bool:
    """Whether the first line of a file is a cut."""
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8") as file:
            first = json.loads(file.readline())
    except (OSError, EOFError, UnicodeDecodeError, ValueError):
        return False
    return isinstance(first, dict) and first.get("type") in TYPES


def read(path: Path) -> list[Listed]:
    """The utterances of a manifest of cuts, whose recordings are relative to it.

    Raises:
        SpeechLMError: when it is damaged, a cut has no recording, or the recording is the output of
            a shell command.
    """
    from lhotse import CutSet

    try:
        cuts = CutSet.from_file(path).with_recording_path_prefix(str(path.parent.resolve()))
        parts = [part for cut in cuts for part in _parts(cut)]
    except SpeechLMError:
        raise
    except Exception as error:  # Lhotse raises assertions and errors of many kinds
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SpeechLMError(f"{path}: not a manifest of cuts ({reason})") from None
    return [_entry(part, path) for part in parts]


def _parts(cut: Cut) -> list[Cut]:
    if len(cut.supervisions) < 2:
        return [cut]
    return list(cut.trim_to_supervisions(keep_overlapping=False))


def _entry(cut: Cut, path: Path) -> Listed:
    from speechlm.data.speech import check_sources, loaded

    if not cut.has_recording:
        raise SpeechLMError(f"{path}: cut {cut.id} has no recording")
    check_sources(cut)
    said = cut.supervisions[0] if cut.supervisions else None
    return Listed(
        audio=cut.id,
        text=said.text if said else None,
        speaker=(said and said.speaker) or getattr(cut, "recording_id", None),
        language=said.language if said else None,
        split=named_split(path.name),
        id=said.id if said else cut.id,
        load=partial(loaded, cut),
    )
