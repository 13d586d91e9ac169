"""Fish Fillets NG: game dialogue by several actors, Czech and Dutch, with the script's text."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import NamedTuple

from speechlm import audio
from speechlm.data import debian
from speechlm.data.config import VoicesConfig
from speechlm.data.corpus import CorpusSource
from speechlm.data.utterance import Utterance
from speechlm.errors import SpeechLMError

GAME = "usr/share/games/fillets-ng"
LUA_STRING = r'"((?:[^"\\]|\\.)*)"'
LINE = re.compile(
    rf"dialogId\(\s*{LUA_STRING}\s*,\s*{LUA_STRING}\s*,\s*{LUA_STRING}\s*\)\s*"
    rf"dialogStr\(\s*{LUA_STRING}\s*\)",
    re.DOTALL,
)


class Line(NamedTuple):
    """One line of dialogue: the subtitle font (one a character) and the text, if it is certain."""

    font: str
    text: str | None


def source(config: VoicesConfig) -> CorpusSource:
    """Fetch the packages and keep the sounds that the game's script has words for."""
    root, versions = debian.unpacked(config.packages, Path(config.package_cache), config.name)
    game = root / GAME
    utterances, wordless = [], 0
    for language in config.languages:
        sounds = sorted((game / "sound").rglob(f"{language}/*.ogg"))
        if not sounds:
            raise SpeechLMError(f"fillets: the packages hold no voices for {language}")
        levels = {
            part: dialogue(part.read_text("utf-8"))
            for part in sorted((game / "script").rglob(f"*dialogs_{language}.lua"))
        }
        shared = unambiguous(list(levels.values()))
        for path in sounds:
            level = path.parent.parent.name
            own = levels.get(game / "script" / level / f"dialogs_{language}.lua", {})
            line = own.get(path.stem) or shared.get(path.stem)
            if line is None:
                wordless += 1
                continue
            character = line.font.removeprefix("font_") or "other"
            utterances.append(
                Utterance(
                    id=f"fillets-{language}-{level}-{path.stem}",
                    load=partial(audio.read, path),
                    speaker=f"fillets-{language}-{character}",
                    language=language,
                    text=line.text,
                )
            )
    return CorpusSource(utterances, versions, {"no words in the script": wordless})


def dialogue(script: str) -> dict[str, Line]:
    """Parse pairs of ``dialogId(id, font, English)`` and ``dialogStr(text)`` of a level's Lua.

    Lines without a word are left out; a text with a placeholder (``%1``) is None, since nobody
    wrote down what stands in its place.
    """
    lines = {}
    for name, font, _, quoted in LINE.findall(script):
        text = " ".join(re.sub(r"\\(.)", r"\1", quoted).split())
        if re.search(r"\w", text):
            lines[name] = Line(font, None if re.search(r"%\d", text) else text)
    return lines


def unambiguous(levels: list[dict[str, Line]]) -> dict[str, Line]:
    """Merge the lines of all levels, without the ids that mean different lines in different ones.

    Sounds that levels share have no script of their own folder's name, so they are found here.
    """
    merged: dict[str, Line] = {}
    clashing = set()
    for lines in levels:
        for name, line in lines.items():
            if merged.setdefault(name, line) != line:
                clashing.add(name)
    return {name: line for name, line in merged.items() if name not in clashing}
