"""The demonstration: one recording at three bitrates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from speechlm import audio, bitstream, compression
from speechlm.codec import Codec
from speechlm.evaluation.metrics import Score
from speechlm.evaluation.quality import scores

SAMPLE = Path(__file__).parent / "assets" / "sample.flac"
BITRATES = (1.5, 3.0, 6.0)


@dataclass(frozen=True)
class Row:
    """One bitrate: what was asked and what came out. ``pesq`` and ``stoi`` may be NaN."""

    seconds: float
    kbps: float
    real_kbps: float
    levels: int
    pesq: Score
    stoi: Score
    encode_rtf: float
    decode_rtf: float


def run(source: Path | None, out: Path, codec: Codec) -> list[Row]:
    """Compress ``source`` (by default the shipped recording) and decompress it again, into ``out``.

    Leaves there ``original.wav`` and, for each bitrate, a ``.slm`` file and what it decodes to.

    Raises:
        SpeechLMError: when the recording cannot be read.
    """
    source = source or SAMPLE
    reference, _ = audio.read(source, codec.sample_rate)
    out.mkdir(parents=True, exist_ok=True)
    audio.write(out / "original.wav", reference, codec.sample_rate)
    rows = []
    for kbps in BITRATES:
        name = f"{kbps:g}kbps"
        packed, sound = out / f"{name}.slm", out / f"{name}.wav"
        encoded = compression.compress(source, packed, codec, kbps)
        decoded = compression.decompress(packed, sound, codec)
        estimate, _ = audio.read(sound)
        score = scores(reference, estimate, codec.sample_rate, ("pesq", "stoi"))
        row = Row(
            seconds=encoded.seconds,
            kbps=kbps,
            real_kbps=bitstream.inspect(packed).kbps,
            levels=encoded.levels,
            pesq=score["pesq"],
            stoi=score["stoi"],
            encode_rtf=encoded.rtf,
            decode_rtf=decoded.rtf,
        )
        rows.append(row)
    return rows
