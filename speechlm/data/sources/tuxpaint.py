"""Tux Paint's stamps: volunteers say what each picture shows, in about ten languages."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from speechlm import audio
from speechlm.data import debian
from speechlm.data.config import VoicesConfig
from speechlm.data.corpus import CorpusSource
from speechlm.data.utterance import Utterance

STAMPS = "usr/share/tuxpaint/stamps"


def source(config: VoicesConfig) -> CorpusSource:
    """Fetch the package and pair ``NAME_desc[_LANGUAGE].ogg`` with ``NAME.txt``.

    Only descriptions are speech; ``NAME.ogg`` is the sound that the thing makes.
    """
    root, versions = debian.unpacked(config.packages, Path(config.package_cache), config.name)
    stamps = root / STAMPS
    utterances = []
    for language in config.languages:
        ending = "_desc" if language == "en" else f"_desc_{language}"
        for path in sorted(stamps.rglob(f"*{ending}.ogg")):
            name = path.stem.removesuffix(ending)
            words = path.with_name(f"{name}.txt")
            texts = descriptions(words.read_text("utf-8")) if words.exists() else {}
            place = path.parent.relative_to(stamps).as_posix().replace("/", "-")
            utterances.append(
                Utterance(
                    id=f"tuxpaint-{language}-{place}-{name}",
                    load=partial(audio.read, path),
                    speaker=f"tuxpaint-{language}",
                    language=language,
                    text=texts.get(language),
                )
            )
    return CorpusSource(utterances, versions)


def descriptions(words: str) -> dict[str, str]:
    """Parse a stamp's text: the first line is English, then ``LANGUAGE.utf8=text`` lines."""
    english, *others = words.splitlines() or [""]
    texts = {"en": english.strip()}
    for line in others:
        language, mark, text = line.partition(".utf8=")
        if mark:
            texts[language] = text.strip()
    return {language: text for language, text in texts.items() if text}
