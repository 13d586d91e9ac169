"""``speechlm align``: when each word of a prepared corpus is said, into its cuts.

A recording is only as well aligned as its transcript says what is in it.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import track

from speechlm import audio, hub
from speechlm.alignment.words import RATE, Aligner
from speechlm.config import load_yaml
from speechlm.data.corpus import PreparedCorpus, write_cuts
from speechlm.data.speech import loaded
from speechlm.data.splits import SPLITS
from speechlm.errors import SpeechLMError

if TYPE_CHECKING:
    from lhotse.cut import Cut


def build(model: str | None, language: str) -> Aligner:
    """The aligner that training left in the folder ``model``; else Whisper, as
    :func:`speechlm.whisper.find` takes it.

    Raises:
        SpeechLMError: when it, or what it needs, is not there, or does not know the language.
    """
    if model is not None and (Path(model) / hub.CONFIG).is_file():
        from speechlm.alignment import ctc

        declared = load_yaml(Path(model) / hub.CONFIG, [])
        if (kind := declared.get("kind")) != "aligner":
            raise SpeechLMError(f"{model}: no aligner, but of kind {kind}")
        if (known := declared.get("language")) != language:
            raise SpeechLMError(f"{model}: an aligner of {known!r}, not {language!r}")
        return ctc.load(Path(model))
    from speechlm.alignment.attention import AttentionAligner

    return AttentionAligner(model, language)


def align(
    folder: str | Path, language: str, model: str | None, again: bool = False
) -> Counter[str]:
    """Align what a prepared corpus has in a language, and is not aligned yet; or ``again``, all.

    Returns:
        How many utterances are aligned now, and how many are not, by reason.

    Raises:
        SpeechLMError: when it is not a prepared corpus, or something that is needed is missing.
    """
    corpus = PreparedCorpus.open(folder)
    aligner = build(model, language)
    counts: Counter[str] = Counter()
    for split in SPLITS:
        title, screen = f"{corpus.name} {split}", Console(stderr=True)
        aligned = []
        for cut in track(list(corpus.cuts(split)), description=title, console=screen):
            try:
                counts[_add(cut, aligner, language, again)] += 1
            except SpeechLMError as reason:
                counts[str(reason)] += 1
            aligned.append(cut)
        write_cuts(corpus.folder, split, aligned)
    return counts


def _add(cut: Cut, aligner: Aligner, language: str, again: bool) -> str:
    from lhotse.supervision import AlignmentItem

    said = [each for each in cut.supervisions if each.text]
    if len(said) != 1 or said[0].language != language:
        return f"not one transcript in {language}"
    [only] = said
    if only.alignment and not again:
        return "aligned before"
    words = aligner(audio.resample(*loaded(cut), RATE), str(only.text))
    only.alignment = {
        "word": [AlignmentItem(w.text, w.start, round(w.stop - w.start, 4)) for w in words]
    }
    return "aligned"
