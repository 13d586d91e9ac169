"""``speechlm prepare``: a declaration in ``data/`` -> a prepared corpus (``speechlm.data.corpus``).

It may be interrupted at any moment and started again: every file is whole or absent, recordings
that are there are not decoded again, and ``corpus.json``, written last, says that all is done.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from rich.console import Console
from rich.progress import track

from speechlm import audio
from speechlm.config import load_yaml, to_dataclass
from speechlm.data import config as corpus_config
from speechlm.data import decode
from speechlm.data.config import CorpusConfig
from speechlm.data.corpus import CorpusSource, PreparedCorpus, write_cuts
from speechlm.data.sources import open_source
from speechlm.data.splits import SPLITS, assign, position
from speechlm.data.utterance import Utterance
from speechlm.errors import SpeechLMError
from speechlm.utils.files import atomic_path

log = logging.getLogger(__name__)

DUPLICATE = "of an id that another recording has"
WHERE_ONLY = ("output", "package_cache", "download")
"""Keys that say where files go and not what is in them."""


@dataclass(frozen=True)
class _Kept:
    utterance: Utterance
    samples: int
    split: str


def prepare(path: str | Path, overrides: list[str]) -> PreparedCorpus:
    """Prepare the corpus that ``path`` declares; do nothing when it is finished already.

    Args:
        path: a ``data/*.yaml``.
        overrides: dotted changes to it, as ``["output=/big/disk/an4", "split.dev=0.1"]``.

    Raises:
        SpeechLMError: for a bad declaration, a missing tool or recording, or a folder that holds
            this corpus prepared with other settings.
    """
    config = corpus_config.load(path, overrides)
    folder = Path(config.output)
    _claim(folder, config)
    if (folder / "corpus.json").exists():
        return PreparedCorpus.open(folder)
    found = open_source(config)
    if not found.utterances:
        raise SpeechLMError(f"{config.name}: found no recordings")
    kept: list[_Kept] = []
    dropped: dict[str, str] = {}
    taken: set[str] = set()
    alone = len({utterance.speaker for utterance in found.utterances}) == 1
    own = {utterance.split for utterance in found.utterances if utterance.split}
    screen = Console(stderr=True)
    for utterance in track(found.utterances, description=config.name, console=screen):
        flac = folder / "audio" / f"{utterance.id}.flac"
        if utterance.id in taken:
            found.skipped[DUPLICATE] = found.skipped.get(DUPLICATE, 0) + 1
            continue
        taken.add(utterance.id)
        try:
            samples = _store(utterance, flac, config)
        except _Unfit as reason:
            dropped[utterance.id] = str(reason)
            continue
        by_utterance = config.split.by == "utterance" or alone
        key = utterance.id if by_utterance else utterance.speaker or utterance.id
        kept.append(_Kept(utterance, samples, _split(utterance, key, own, config)))
    if not kept:
        raise SpeechLMError(f"{config.name}: no usable recording among {len(found.utterances)}")
    kept = _with_dev(kept, own, config)
    for split in SPLITS:
        _write_cuts(folder, split, [one for one in kept if one.split == split], config)
    _write_summary(folder, config, found, kept, dropped)
    return PreparedCorpus.open(folder)


class _Unfit(Exception):
    """Why a recording is left out."""


def _claim(folder: Path, config: CorpusConfig) -> None:
    """Write the declaration into the folder, or see that the one there says the same."""
    settings = _settings(config)
    mark = folder / "config.yaml"
    if mark.exists():
        # Read as a declaration: a key that is younger than the folder has its default there.
        same = (
            _settings(to_dataclass(type(config), load_yaml(mark, []), mark, warn=False)) == settings
        )
        if same:
            return
        # A run that failed before its first recording keeps no name from the next one.
        if (folder / "corpus.json").exists() or any((folder / "audio").glob("*")):
            raise SpeechLMError(
                f"{folder}: holds {config.name} prepared with other settings (config.yaml there); "
                "remove it or give output=ANOTHER_FOLDER"
            )
    try:
        (folder / "audio").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpeechLMError(f"{folder}: cannot be made: {error.strerror}") from None
    with atomic_path(mark) as temporary:
        temporary.write_text(OmegaConf.to_yaml(OmegaConf.create(settings)), "utf-8")


def _settings(config: CorpusConfig) -> dict[str, Any]:
    return {key: value for key, value in asdict(config).items() if key not in WHERE_ONLY}


def _split(utterance: Utterance, key: str, own: set[str], config: CorpusConfig) -> str:
    """Keep the corpus's own split; carve what it lacks out of what is not dev or test there."""
    if utterance.split in ("dev", "test"):
        return utterance.split
    dev = 0.0 if "dev" in own else config.split.dev
    test = 0.0 if "test" in own else config.split.test
    return assign(key, dev, test)


def _with_dev(kept: list[_Kept], own: set[str], config: CorpusConfig) -> list[_Kept]:
    """In a corpus so small that no speaker falls to dev: some utterances of training speakers.

    Training needs a dev split. These are the utterances of the lowest positions.
    """
    train = [one for one in kept if one.split == "train"]
    empty = not any(one.split == "dev" for one in kept)
    if not empty or "dev" in own or not config.split.dev or len(train) < 2:
        return kept
    number = max(1, round(config.split.dev * len(train)))
    by_position = sorted(train, key=lambda one: position(one.utterance.id))
    moved = {one.utterance.id for one in by_position[:number]}
    log.warning(
        "%s: too few speakers or recordings for a dev split of its own: %d of the training "
        "recordings are dev",
        config.name,
        number,
    )
    return [replace(one, split="dev") if one.utterance.id in moved else one for one in kept]


def _store(utterance: Utterance, flac: Path, config: CorpusConfig) -> int:
    """Decode one recording into its FLAC unless it is there; give its length in samples."""
    if flac.exists():
        return audio.info(flac).frames
    rate = config.sample_rate
    try:
        read = _reader(utterance, rate)
        levels = decode.Levels.of(read())
    except SpeechLMError as error:
        raise _Unfit("empty or unreadable") from error
    if levels.samples < config.min_seconds * rate:
        raise _Unfit(f"shorter than {config.min_seconds:g} s")
    if levels.peak < decode.SILENCE:
        raise _Unfit("silent")
    with audio.AudioWriter(flac, rate) as writer:
        for piece in levels.mended(read()):
            writer.write(piece)
    return levels.samples


def _reader(utterance: Utterance, rate: int) -> Callable[[], Iterator[np.ndarray]]:
    """The samples at that rate, as often as is asked: from memory, or if long from the file."""
    if utterance.pieces() is None:
        whole = audio.resample(*utterance.audio(), rate)
        return lambda: iter([whole])

    def read() -> Iterator[np.ndarray]:
        long = utterance.pieces()
        assert long is not None
        pieces, own = long
        return audio.resampled(pieces, own, rate)

    return read


def _write_cuts(folder: Path, split: str, kept: list[_Kept], config: CorpusConfig) -> None:
    from lhotse import AudioSource, MonoCut, Recording, SupervisionSegment

    cuts = []
    for one in kept:
        name, seconds = one.utterance.id, one.samples / config.sample_rate
        cut = MonoCut(
            id=name,
            start=0.0,
            duration=seconds,
            channel=0,
            recording=Recording(
                id=name,
                sources=[AudioSource(type="file", channels=[0], source=f"audio/{name}.flac")],
                sampling_rate=config.sample_rate,
                num_samples=one.samples,
                duration=seconds,
            ),
            supervisions=[
                SupervisionSegment(
                    id=name,
                    recording_id=name,
                    start=0.0,
                    duration=seconds,
                    text=one.utterance.text,
                    language=one.utterance.language,
                    speaker=one.utterance.speaker,
                )
            ],
            custom=None if config.bandwidth is None else {"bandwidth": config.bandwidth},
        )
        cuts.append(cut)
    write_cuts(folder, split, cuts)


def _write_summary(
    folder: Path,
    config: CorpusConfig,
    found: CorpusSource,
    kept: list[_Kept],
    dropped: dict[str, str],
) -> None:
    splits = {}
    for split in SPLITS:
        part = [one for one in kept if one.split == split]
        splits[split] = {
            "utterances": len(part),
            "minutes": round(sum(one.samples for one in part) / config.sample_rate / 60, 2),
            "speakers": len({one.utterance.speaker for one in part}),
            "with_text": sum(one.utterance.text is not None for one in part),
        }
    facts = {
        "name": config.name,
        "description": config.description,
        "licence": config.licence,
        "sources": found.versions,
        "sample_rate": config.sample_rate,
        "bandwidth": config.bandwidth,
        "languages": sorted({one.utterance.language or "unknown" for one in kept}),
        "splits": splits,
        "dropped": {k: n for k, n in found.skipped.items() if n} | Counter(dropped.values()),
        "dropped_ids": dropped,
    }
    with atomic_path(folder / "corpus.json") as temporary:
        temporary.write_text(json.dumps(facts, ensure_ascii=False, indent=2) + "\n", "utf-8")
