"""Parsers, on lines of the real files."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from speechlm.data.sources import amazon_queen, asterisk, festvox, fillets, tuxpaint
from speechlm.data.sources.fillets import Line
from speechlm.errors import SpeechLMError


@pytest.mark.parametrize(
    ("line", "name", "text"),
    [
        (
            "agent-alreadyon: That agent is already logged on.  Please enter your agent number.",
            "agent-alreadyon",
            "That agent is already logged on. Please enter your agent number.",
        ),
        ("digits/1: one", "digits/1", "one"),
        ("letters/at: at [@]", "letters/at", "at"),
        ("letters/space: spazio []", "letters/space", "spazio"),
        ("letters/exclaimation-point: [!] punto", "letters/exclaimation-point", "punto"),
        ("vm-isonphone: Is on the phone?", "vm-isonphone", "Is on the phone?"),
        ("at-tone-time: il tempo sar? esattamente..", "at-tone-time", None),
        ("spy-h323: H.323 (in inglese)", "spy-h323", None),
        ("invalid: Spiacente, [quello] non è valido.", "invalid", None),
        ("confbridge-join: <beep ascending>", "confbridge-join", None),
        ("number: ", "number", None),
        (
            "options: Vous avez ces options:Pour accepter, 1.",
            "options",
            "Vous avez ces options:Pour accepter, 1.",
        ),
    ],
)
def test_asterisk(line: str, name: str, text: str | None) -> None:
    assert asterisk.transcripts(f"; Core Asterisk Sounds\n\n{line}\n") == {name: text}


@pytest.mark.parametrize("name", ["beep", "beeperr", "silence/10", "ascending-2tone", "tt-monkeys"])
def test_asterisk_tones_are_no_speech(name: str) -> None:
    assert asterisk.NO_SPEECH.match(name)


@pytest.mark.parametrize("name", ["beep-code", "activated", "confbridge-join-now", "silenced"])
def test_asterisk_prompts_are_speech(name: str) -> None:
    assert not asterisk.NO_SPEECH.match(name)


def test_festvox_marks_of_stress_go() -> None:
    prompts = (
        '( ru_0002 "Она завела, прядь зол+отистых волос." )\n'
        '( ru_0004 "+Окна домов, - ни одна голова." )\n'
    )
    assert festvox.transcripts(prompts) == {
        "ru_0002": "Она завела, прядь золотистых волос.",
        "ru_0004": "Окна домов, - ни одна голова.",
    }


def test_fillets_dialogue() -> None:
    script = r"""
dialogId("let-m-divna", "font_small", "What kind of strange ship is that?")
dialogStr("Co je to za divnou loď?")

dialogId("wide", "font_big",
  "A \"quoted\" word.")
dialogStr(
"V adresáři C:\\WINDOWS a \"v\"
uvozovkách.")

dialogId("b1-a", "font_yellow", "A%1.")
dialogStr("A%1.")

dialogId("silent", "font_big", "...")
dialogStr("...")

dialogId("untold", "font_big", "No translation")
"""
    assert fillets.dialogue(script) == {
        "let-m-divna": Line("font_small", "Co je to za divnou loď?"),
        "wide": Line("font_big", 'V adresáři C:\\WINDOWS a "v" uvozovkách.'),
        "b1-a": Line("font_yellow", None),
    }


def test_fillets_ids_that_clash_between_levels_are_not_shared() -> None:
    one, other = Line("font_small", "Ano."), Line("font_small", "Ne.")
    levels = [{"a": one, "b": one, "c": one}, {"a": one, "b": other}, {"b": one}]
    assert fillets.unambiguous(levels) == {"a": one, "c": one}


def test_tuxpaint_descriptions() -> None:
    words = (
        "A cheetah.\nca.utf8=Un guepard.\nca@valencia.utf8=Un guepard valencià.\nru.utf8= \nold\n"
    )
    assert tuxpaint.descriptions(words) == {
        "en": "A cheetah.",
        "ca": "Un guepard.",
        "ca@valencia": "Un guepard valencià.",
    }
    assert tuxpaint.descriptions("") == {}


HEAD = b"QTBLCEM10\0\0\0\x01\0\x02"


def test_amazon_queen_directory() -> None:
    entries = struct.pack(">12sBII", b"020001P2.SB", 1, 161106, 7001)
    entries += struct.pack(">12sBII", b"ANDERSON.ACT", 1, 21337911, 31754)
    assert amazon_queen.directory(HEAD + entries + b"data", Path("queen.1c")) == [
        ("020001P2.SB", 161106, 7001),
        ("ANDERSON.ACT", 21337911, 31754),
    ]


@pytest.mark.parametrize(
    "head", [b"", HEAD, HEAD + 30 * b"\0", b"QTBLCEM10\0\0\0\x02\0\0", HEAD + 42 * b"\xff"]
)
def test_amazon_queen_directory_of_another_file(head: bytes) -> None:
    with pytest.raises(SpeechLMError, match=r"^queen\.1c: "):
        amazon_queen.directory(head, Path("queen.1c"))
