"""What an adaptation is asked for, and where its files are."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

from speechlm import hub
from speechlm.errors import SpeechLMError
from speechlm.utils.files import atomic_path

UNKNOWN_LICENCE = "unknown"


@dataclass(frozen=True)
class AdaptOptions:
    """What to adapt, to what, and for how long.

    Attributes:
        model: folder, shipped name or hub id of the model to adapt.
        folder: the recordings.
        out: the folder for everything that is written.
        minutes: of training.
        licence: of the recordings, for the card.
        language: of the recordings; None when unknown.
        train_all: of a codec: train all of it, and not the decoder alone.
    """

    model: str
    folder: Path
    out: Path
    minutes: float = 20.0
    licence: str = UNKNOWN_LICENCE
    language: str | None = None
    train_all: bool = False

    def __post_init__(self) -> None:
        if not (0 < self.minutes < math.inf):
            raise SpeechLMError(f"--minutes is above 0, not {self.minutes:g}")
        if not self.folder.is_dir():
            raise SpeechLMError(f"{self.folder}: no such folder of recordings")
        hub.find_model(self.model)

    @property
    def corpus(self) -> Path:
        """The prepared recordings."""
        return self.out / "corpus"

    @property
    def adapted(self) -> Path:
        """The folder of the adapted model."""
        return self.out / "model"

    def new_name(self, name: str) -> str:
        """A name for what ``name`` has become; letters, digits and ``._-`` of the folder's."""
        return f"{name}-{re.sub('[^A-Za-z0-9._-]+', '-', self.folder.resolve().name)}"

    def claim(self, family: str) -> None:
        """Note in ``out`` what is adapted to what.

        Raises:
            SpeechLMError: when ``out`` holds another adaptation.
        """
        asked = {
            "family": family,
            "model": self.model,
            "folder": str(self.folder.resolve()),
            "language": self.language,
            "all": self.train_all,
        }
        mark = self.out / "adapt.json"
        if mark.is_file():
            if json.loads(mark.read_text("utf-8")) != asked:
                raise SpeechLMError(
                    f"{self.out}: holds another adaptation (adapt.json there): give another --out"
                )
            return
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            with atomic_path(mark) as path:
                path.write_text(json.dumps(asked, indent=1) + "\n", "utf-8")
        except OSError as error:
            raise SpeechLMError(f"{self.out}: cannot be written: {error.strerror}") from None
