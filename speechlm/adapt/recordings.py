"""The folder of recordings as a prepared corpus, some of it held out."""

from __future__ import annotations

from pathlib import Path

from omegaconf import OmegaConf

from speechlm.adapt.options import AdaptOptions
from speechlm.data.config import FolderConfig, SplitConfig
from speechlm.data.corpus import PreparedCorpus
from speechlm.data.prepare import prepare
from speechlm.data.sources import open_source
from speechlm.data.splits import position
from speechlm.errors import SpeechLMError

FEWEST = 10
"""Recordings; of fewer, held-out ones would give no interval to speak of."""
TEST_SHARE, MOST_TEST = 0.15, 30
DEV_SHARE, MOST_DEV = 0.05, 20
"""Held out for the comparison and for validation: so many of the recordings, at most."""


def prepare_recordings(options: AdaptOptions, sample_rate: int) -> PreparedCorpus:
    """Prepare the folder; hold out recordings for validation (dev) and the comparison (test).

    Recordings are held out whole, by a hash of their names, so that they are the same in every run.
    Lists in the folder that name a split of their own are followed.

    Raises:
        SpeechLMError: when there are too few recordings, or none can be read.
    """
    if (options.corpus / "corpus.json").is_file():
        return PreparedCorpus.open(options.corpus)
    config = FolderConfig(
        name=options.folder.resolve().name,
        kind="folder",
        description=f"recordings to which {options.model} was adapted",
        licence=options.licence,
        output=str(options.corpus),
        sample_rate=sample_rate,
        path=str(options.folder),
        language=options.language,
    )
    names = [utterance.id for utterance in open_source(config).utterances]
    if len(names) < FEWEST:
        raise SpeechLMError(
            f"{options.folder}: {len(names)} recordings are too few, {FEWEST} are needed: add "
            "some, or cut long ones into sentences"
        )
    config.split = _split(names)
    declared = options.out / "corpus.yaml"
    OmegaConf.save(OmegaConf.structured(config), declared)
    prepared = prepare(declared, [])
    for split, fewest in (("train", 1), ("dev", 1), ("test", 2)):
        if prepared.utterances[split] < fewest:
            raise SpeechLMError(
                f"{options.folder}: too few usable recordings: {prepared.utterances[split]} are "
                f"left for {split}; add some, remove {options.out} and run the command again"
            )
    return prepared


def _split(names: list[str]) -> SplitConfig:
    """Shares of the hash's range that hold out the numbers of recordings that are wanted."""
    points = sorted(map(position, names))
    test = min(MOST_TEST, max(2, round(TEST_SHARE * len(points))))
    dev = min(MOST_DEV, max(2, round(DEV_SHARE * len(points))))
    first = (points[test - 1] + points[test]) / 2
    second = (points[test + dev - 1] + points[test + dev]) / 2
    return SplitConfig(by="utterance", dev=second - first, test=first)


def default_out(family: str, folder: Path) -> Path:
    """Where an adaptation goes unless it is told."""
    return Path("runs") / f"adapt-{family}-{folder.resolve().name}"
