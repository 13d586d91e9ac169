"""festvox-ru: sentences read by one Russian speaker, recorded for a Festival voice."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from speechlm import audio
from speechlm.data import debian
from speechlm.data.config import DebianConfig
from speechlm.data.corpus import CorpusSource
from speechlm.data.utterance import Utterance

VOICE = "usr/share/festival/voices/russian/msu_ru_nsh_clunits"


def source(config: DebianConfig) -> CorpusSource:
    """Fetch the package and pair each sentence with its prompt."""
    root, versions = debian.unpacked(config.packages, Path(config.package_cache), config.name)
    prompts = transcripts((root / VOICE / "etc/txt.done.data").read_text("utf-8"))
    utterances = [
        Utterance(
            id=f"festvox-{path.stem}",
            load=partial(audio.read, path),
            speaker="festvox-nsh",
            language="ru",
            text=prompts.get(path.stem),
        )
        for path in sorted((root / VOICE / "wav").glob("*.wav"))
    ]
    return CorpusSource(utterances, versions)


def transcripts(prompts: str) -> dict[str, str]:
    """Parse Festival's ``( name "text" )`` lines, without the ``+`` that marks stressed vowels."""
    lines = re.findall(r'^\(\s*(\S+)\s+"(.*)"\s*\)', prompts, re.MULTILINE)
    return {name: text.replace("+", "").strip() for name, text in lines}
