"""What a source of recordings yields, and the folder that a prepared corpus is.

::

    NAME/
      config.yaml             the declaration that it was made with
      audio/*.flac            one sample rate (16 kHz unless asked), mono, 16 bit
      cuts-train.jsonl.gz     Lhotse cuts; recording paths are relative to NAME/
      cuts-dev.jsonl.gz
      cuts-test.jsonl.gz
      corpus.json             licence, packages, counts, minutes; written last
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from speechlm.data.splits import SPLITS
from speechlm.data.utterance import Utterance
from speechlm.errors import SpeechLMError
from speechlm.utils.files import atomic_path

if TYPE_CHECKING:
    from lhotse import CutSet
    from lhotse.cut import Cut


@dataclass
class CorpusSource:
    """All recordings of a corpus, with the versions of what they came from."""

    utterances: list[Utterance]
    versions: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    """Files that the source knows to be no speech, by reason."""


@dataclass
class PreparedCorpus:
    """A finished corpus: counts and minutes a split, and what was left out and why."""

    name: str
    folder: Path
    utterances: dict[str, int]
    minutes: dict[str, float]
    dropped: dict[str, int]

    @classmethod
    def open(cls, folder: str | Path) -> PreparedCorpus:
        """Read the summary of a finished corpus.

        Raises:
            SpeechLMError: when ``folder`` is not one.
        """
        folder = Path(folder)
        try:
            facts = json.loads((folder / "corpus.json").read_text("utf-8"))
            return cls(
                name=facts["name"],
                folder=folder,
                utterances={split: facts["splits"][split]["utterances"] for split in SPLITS},
                minutes={split: facts["splits"][split]["minutes"] for split in SPLITS},
                dropped=facts["dropped"],
            )
        except (OSError, ValueError, KeyError, TypeError):
            raise SpeechLMError(
                f"{folder}: not a prepared corpus; make one with speechlm prepare NAME"
            ) from None

    def cuts(self, split: str) -> CutSet:
        """Read the cuts of a split, with recording paths that work from anywhere."""
        return read_cuts([self.folder], split)


def read_cuts(folders: Iterable[str | Path], split: str) -> CutSet:
    """Read the cuts of one split of several prepared corpora, one after the other.

    Raises:
        SpeechLMError: when a folder is not a finished corpus.
    """
    from lhotse import CutSet

    cuts = []
    for folder in folders:
        corpus = PreparedCorpus.open(folder)
        part = CutSet.from_jsonl(corpus.folder / f"cuts-{split}.jsonl.gz")
        cuts += list(part.with_recording_path_prefix(str(corpus.folder.resolve())))
    return CutSet.from_cuts(cuts)


def write_cuts(folder: Path, split: str, cuts: Iterable[Cut]) -> None:
    """Write the cuts of a split of a prepared corpus; recording paths become relative to it."""
    lines = []
    for cut in cuts:
        fields = cut.to_dict()
        for source in fields["recording"]["sources"]:
            source["source"] = source["source"].removeprefix(f"{folder.resolve()}/")
        lines.append(json.dumps(fields, ensure_ascii=False) + "\n")
    with atomic_path(folder / f"cuts-{split}.jsonl.gz") as temporary:
        temporary.write_bytes(gzip.compress("".join(lines).encode(), mtime=0))
