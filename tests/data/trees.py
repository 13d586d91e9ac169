"""Small made-up corpora in the layouts of the real ones."""

from __future__ import annotations

import gzip
import io
import struct
from pathlib import Path

import av
import numpy as np
import soundfile

ALL = "_1.0-1_all"


def tone(seconds: float = 0.5, rate: int = 16000, hertz: float = 440.0) -> np.ndarray:
    """A sine of amplitude .3: float32 (samples,)."""
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(
        np.float32
    )


def wave_file(path: Path, wave: np.ndarray, rate: int = 16000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate)
    return path


def g722_file(path: Path, wave: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="g722") as container:
        stream = container.add_stream("g722", rate=16000, layout="mono")
        samples = (wave * 32767).astype(np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 16000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


def text_file(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def unzipped(path: Path) -> str:
    return gzip.decompress(path.read_bytes()).decode("utf-8-sig")


def fetched(cache: Path, *packages: str) -> Path:
    """Make ``cache`` look as if ``packages`` were downloaded and unpacked; give where they are."""
    root = cache / "unpacked"
    root.mkdir(parents=True, exist_ok=True)
    for package in packages:
        (cache / f"{package}{ALL}.deb").touch()
        (root / f".{package}{ALL}").touch()
    return root


def asterisk(cache: Path) -> None:
    root = fetched(cache, "asterisk-core-sounds-it", "asterisk-core-sounds-it-g722")
    listing = root / "usr/share/doc/asterisk-core-sounds-it/core-sounds-it.txt.gz"
    listing.parent.mkdir(parents=True)
    listing.write_bytes(
        gzip.compress(
            "\ufeff; Core Asterisk Sounds in Italian\n\nactivated: Attivato.\nbeep: un suono beep\n"
            "digits/1: uno\n".encode()
        )
    )
    sounds = root / "usr/share/asterisk/sounds/it_IT_m_Carlo"
    g722_file(sounds / "activated.g722", tone())
    g722_file(sounds / "digits/1.g722", tone())
    g722_file(sounds / "letters/ascii36.g722", tone())
    g722_file(sounds / "beep.g722", tone())
    g722_file(sounds / "silence/1.g722", 0 * tone())
    g722_file(sounds / "is.g722", tone(0.1))
    (sounds / "empty.g722").touch()


def festvox(cache: Path) -> None:
    voice = fetched(cache, "festvox-ru") / "usr/share/festival/voices/russian/msu_ru_nsh_clunits"
    text_file(
        voice / "etc/txt.done.data", '( ru_0001 "Прядь зол+отистых волос." )\n( ru_0002 "Да." )\n'
    )
    for name in ("ru_0001", "ru_0002", "ru_0003"):
        wave_file(voice / f"wav/{name}.wav", tone())


def fillets(cache: Path) -> None:
    root = fetched(cache, "fillets-ng-data", "fillets-ng-data-cs", "fillets-ng-data-nl")
    game = root / "usr/share/games/fillets-ng"
    line = 'dialogId("{}", "font_{}", "English")\ndialogStr("{}")\n\n'
    text_file(
        game / "script/keys/dialogs_cs.lua",
        line.format("rand-0", "small", "Ale v minulé místnosti") + line.format("x", "", ""),
    )
    text_file(game / "script/magnet/dialogs_cs.lua", line.format("rand-0", "big", "Další."))
    text_file(game / "script/share/black_dialogs_cs.lua", line.format("joke", "big", "A%1."))
    for name in (
        "keys/cs/rand-0",
        "magnet/cs/rand-0",
        "share/jokes/cs/joke",
        "keys/cs/x",
        "g/en/y",
    ):
        wave_file(game / f"sound/{name}.ogg", tone(rate=22050), 22050)


def tuxpaint(cache: Path) -> None:
    stamps = fetched(cache, "tuxpaint-stamps-default") / "usr/share/tuxpaint/stamps"
    text_file(stamps / "animals/cats/lion.txt", "A lion.\nfr.utf8=Un lion.\nru.utf8=Лев.\n")
    for name in ("lion", "lion_desc", "lion_desc_fr", "lion_desc_ca"):
        wave_file(stamps / f"animals/cats/{name}.ogg", tone(rate=44100), 44100)


def amazon_queen(cache: Path) -> None:
    root = fetched(cache, "flight-of-the-amazon-queen")
    archive = root / "usr/share/scummvm/flight-of-the-amazon-queen/queen.1c"
    archive.parent.mkdir(parents=True)
    voice = io.BytesIO()
    soundfile.write(voice, tone(1.0, 11025), 11025, format="MP3")
    names = (b"020006J1.SB", b"020006P1.SB", b"JOE00011.SB", b"116BSSSS.SB", b"ZOMBIE1.DOG")
    offset = 15 + 21 * len(names)
    size = len(voice.getvalue())
    head = b"QTBLCEM10\0\0\0\x01" + struct.pack(">H", len(names))
    for number, name in enumerate(names):
        head += struct.pack(">12sBII", name, 1, offset + number * size, size)
    archive.write_bytes(head + voice.getvalue() * len(names))


def librispeech(folder: Path) -> None:
    for part, speaker in (("train-clean-100", 84), ("dev-clean", 174), ("test-clean", 61)):
        chapter = folder / "LibriSpeech" / part / str(speaker) / "7"
        for number in range(2):
            wave_file(chapter / f"{speaker}-7-000{number}.flac", tone())
        text_file(
            chapter / f"{speaker}-7.trans.txt", f"{speaker}-7-0000 GO ON\n{speaker}-7-0001 I KNOW\n"
        )
