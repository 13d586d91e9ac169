"""Phones and their times, as Festival's tools write them: xwaves label files."""

from __future__ import annotations

from pathlib import Path

from speechlm.data import speech
from speechlm.errors import SpeechLMError
from speechlm.evaluation.probe.config import LabelsConfig
from speechlm.evaluation.probe.labels import Label, Labelled, spread


def find(config: LabelsConfig, key: str) -> list[Labelled]:
    """See :func:`speechlm.evaluation.probe.labels.find`."""
    if config.folder is None:
        raise SpeechLMError(f"{key}.folder is where the label files are: give it")
    folder = Path(config.folder)
    found = [
        (utterance, path)
        for utterance in speech.find(config.corpus)
        if (path := of(utterance.id, folder)) is not None
    ]
    if not found:
        raise SpeechLMError(f"{key}.folder: {folder} has no label file of {config.corpus}")
    return [(one, read(path)) for one, path in spread(found, config.utterances)]


def of(utterance: str, folder: Path) -> Path | None:
    """The label file of an utterance: of its name, or of one that its name ends in."""
    parts = utterance.split("-")
    names = ("-".join(parts[first:]) for first in range(len(parts)))
    return next((path for name in names if (path := folder / f"{name}.lab").is_file()), None)


def read(path: Path) -> list[Label]:
    """The labels of a file: after a line ``#``, a line "end colour name" each.

    Raises:
        SpeechLMError: when it cannot be read, or is none.
    """
    labels: list[Label] = []
    try:
        lines = path.read_text("utf-8").split("#", 1)[1].splitlines()
        for line in filter(None, map(str.strip, lines)):
            end, _, name = line.split(maxsplit=2)
            labels.append(Label(name, labels[-1].end if labels else 0.0, float(end)))
    except (OSError, IndexError, ValueError) as error:
        raise SpeechLMError(f"{path}: not a file of labels: {error}") from None
    return labels
