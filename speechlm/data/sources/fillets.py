"""Fish Fillets NG: game dialogue by several actors, Czech and Dutch, with the script's text."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import NamedTuple

from speechlm.data import decode, debian
from speechlm.data.config import VoicesConfig
from speechlm.data.corpus import Source, Utterance
from speechlm.errors import SpeechLMError

GAME = "usr/share/games/fillets-ng"
LUA_STRING = r'"((?:[^"\\]|\\.)*)"'
LINE = re.compile(
    rf"dialogId\(\s*{LUA_STRING}\s*,\s*{LUA_STRING}\s*,\s*{LUA_STRING}\s*\)\s*"
    rf"dialogStr\(\s*{LUA_STRING}\s*\)",
    re.DOTALL,
)


class Line(NamedTuple):
    """One line of dialogue: the subtitle font (one a character) and the text."""

    font: str
    text: str


def source(config: VoicesConfig) -> Source:
    """Fetch the packages and keep the sounds that the game's script has words for."""
    root, versions = debian.unpacked(config.packages, Path(config.package_cache), config.name)
    game = root / GAME
    utterances, wordless = [], 0
    for language in config.languages:
        sounds = sorted((game / "sound").rglob(f"{language}/*.ogg"))
        if not sounds:
            raise SpeechLMError(f"fillets: the packages hold no voices for {language}")
        script: dict[str, Line] = {}
        for part in sorted((game / "script").rglob(f"*dialogs_{language}.lua")):
            script.update(dialogue(part.read_text("utf-8")))
        for path in sounds:
            line = script.get(path.stem)
            if line is None or not re.search(r"\w", line.text):
                wordless += 1
                continue
            character = line.font.removeprefix("font_") or "other"
            utterances.append(
                Utterance(
                    id=f"fillets-{language}-{path.parent.parent.name}-{path.stem}",
                    load=partial(decode.read, path),
                    speaker=f"fillets-{language}-{character}",
                    language=language,
                    text=line.text,
                )
            )
    return Source(utterances, versions, {"no words in the script": wordless})


def dialogue(script: str) -> dict[str, Line]:
    """Parse pairs of ``dialogId(id, font, English)`` and ``dialogStr(text)`` of a level's Lua."""
    return {
        name: Line(font, " ".join(re.sub(r"\\(.)", r"\1", text).split()))
        for name, font, _, text in LINE.findall(script)
    }
