"""Assets of a page: audio as compact files, and spectrogram pictures."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import soundfile

from speechlm.audio.spectrogram import spectrogram
from speechlm.evaluation.metrics.resample import resample
from speechlm.types import Wave

# MIME type and suffix
FORMATS = {
    "flac": ("audio/flac", ".flac"),
    "opus": ("audio/ogg", ".opus"),
    "mp3": ("audio/mpeg", ".mp3"),
}
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)


def encoded(wave: Wave, rate: int, kind: str) -> bytes:
    """A 16-bit FLAC file of ``wave`` (samples,), or Opus or MP3 at about 64 kbit/s."""
    buffer = io.BytesIO()
    if kind == "flac":
        soundfile.write(buffer, wave, rate, format="FLAC", subtype="PCM_16")
    elif kind == "opus":
        target = next((each for each in OPUS_RATES if each >= rate), OPUS_RATES[-1])
        samples = resample(wave, rate, target)
        soundfile.write(
            buffer, samples, target, format="OGG", subtype="OPUS", compression_level=0.75
        )
    else:
        soundfile.write(
            buffer, wave, rate, format="MP3", subtype="MPEG_LAYER_III", compression_level=0.0
        )
    return buffer.getvalue()


class AssetStore:
    """Stores the assets of a page: in it as data URIs, or in a folder beside it."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        if folder is not None:
            folder.mkdir(exist_ok=True)

    def media(self, stem: str, wave: Wave, rate: int, kind: str, peak: float) -> dict[str, str]:
        """Addresses of the ``audio`` of ``wave`` (samples,) and of its ``picture``."""
        mime, suffix = FORMATS[kind]
        sound, picture = encoded(wave, rate, kind), spectrogram(wave, rate, peak)
        return {
            "audio": self.place(stem + suffix, mime, sound),
            "picture": self.place(stem + ".png", "image/png", picture),
        }

    def place(self, name: str, mime: str, content: bytes) -> str:
        """The address by which the page finds ``content``."""
        if self.folder is None:
            return f"data:{mime};base64,{base64.b64encode(content).decode()}"
        (self.folder / name).write_bytes(content)
        return f"{self.folder.name}/{name}"
