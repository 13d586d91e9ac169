"""Lost packets: the codec's concealment beside silence, and beside Opus with its own."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from speechlm import audio
from speechlm.benchmarks.opus import RATE, OpusCodec
from speechlm.codec import Codec, load
from speechlm.data import speech
from speechlm.errors import SpeechLMError
from speechlm.evaluation.format import extent, with_interval
from speechlm.evaluation.quality import scores
from speechlm.evaluation.recognition import Listener, build
from speechlm.evaluation.recognition.text import normaliser, word_errors
from speechlm.evaluation.statistics import Interval, known, mean
from speechlm.types import Wave
from speechlm.utils.processes import progress

CONCEALED, SILENT, OPUS = "speechlm", "speechlm, silence in gaps", "opus"
METRICS = "pesq", "stoi"

Lost = NDArray[np.bool_]


@dataclass(frozen=True)
class LossPattern:
    """Frames of 20 ms lost at random, ``burst`` in a row, so that ``share`` of all are."""

    share: float
    burst: int = 1

    @property
    def name(self) -> str:
        bursts = f" in bursts of {20 * self.burst} ms" if self.burst > 1 else ""
        return f"{100 * self.share:g} %{bursts}"

    def lost(self, frames: int, seed: int) -> Lost:
        """Which of ``frames`` frames are lost (frames,)."""
        rng = np.random.default_rng(seed)
        starts = rng.random(frames) < 1 - (1 - self.share) ** (1 / self.burst)
        return np.convolve(starts, np.ones(self.burst))[:frames] > 0


PATTERNS = (
    LossPattern(0),
    LossPattern(0.05),
    LossPattern(0.1),
    LossPattern(0.2),
    LossPattern(0.1, 3),
)


@dataclass(frozen=True)
class PacketLossRow:
    """One system under one pattern. ``wer`` is weighted by words; it and others may be NaN."""

    system: str
    pattern: str
    pesq: Interval
    stoi: Interval
    wer: Interval


@dataclass(frozen=True)
class PacketLossReport:
    """All at ``kbps`` of payload; ``about`` says what ran.

    Intervals are over speakers where they are known of all clips, else over clips.
    """

    kbps: float
    about: list[str]
    rows: list[PacketLossRow]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def table(self) -> Table:
        best = max((row.pesq for row in self.rows), key=lambda pesq: pesq.n)
        title = extent(best.n, best.clusters)
        table = Table("frames lost", "system", "PESQ-wb", "STOI", "WER %", title=title)
        for row in self.rows:
            table.add_row(row.pattern, row.system, *map(_text, (row.pesq, row.stoi, row.wer)))
        table.caption = "\n".join([f"{self.kbps:g} kbps of payload each", *self.about])
        return table


def run(
    source: Path,
    model: str | None = None,
    kbps: float = 6.0,
    clips: int = 60,
    normalise: str = "english",
) -> PacketLossReport:
    """Lose the same 20 ms frames of ``clips`` test recordings of ``source`` in each system.

    Raises:
        SpeechLMError: when there is nothing to code, or the codec's frames are not of 20 ms.
    """
    codec = load(model)
    if codec.sample_rate != RATE or codec.hop_length * 50 != RATE:
        raise SpeechLMError(f"{codec.model_id}: packets are compared at 16 kHz, in 20 ms")
    num_codebooks = codec.choose_num_codebooks(kbps=kbps)
    opus = OpusCodec(kbps)
    tested = [clip for clip in speech.find(source) if clip.split == "test" and clip.text]
    step = max(1, len(tested) // clips)
    chosen = tested[::step][:clips]
    if not chosen:
        raise SpeechLMError(f"{source}: no test recordings with a text")
    recogniser = build(Listener("tiny.en", "whisper", None, "en", 1))
    plain = normaliser(normalise)
    values: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    words = []
    with progress("losing frames", len(chosen)) as advance:
        for clip in chosen:
            wave = audio.resample(*clip.audio(), RATE)
            text = plain(clip.text or "")
            words.append(len(text.split()))
            seed = zlib.crc32(clip.id.encode())
            for system, decode in _systems(codec, num_codebooks, opus, wave).items():
                for pattern in PATTERNS:
                    sound = decode(pattern, seed)[: len(wave)]
                    judged = scores(wave, sound, RATE, METRICS)
                    heard = plain(recogniser.transcribe(sound))
                    key = system, pattern.name
                    wrong = word_errors(text, heard).rate if text else float("nan")
                    pesq, stoi = (judged[name].value for name in METRICS)
                    values.setdefault(key, []).append((pesq, stoi, wrong))
            advance(clip.id)
    speakers = known([clip.speaker for clip in chosen])
    rows = [
        PacketLossRow(
            system, pattern.name, *_intervals(values[system, pattern.name], words, speakers)
        )
        for pattern in PATTERNS
        for system in (CONCEALED, SILENT, OPUS)
    ]
    return PacketLossReport(
        codec.kbps(num_codebooks), [codec.model_id, opus.about, recogniser.about], rows
    )


def _systems(
    codec: Codec, num_codebooks: int, opus: OpusCodec, wave: Wave
) -> dict[str, Callable[[LossPattern, int], Wave]]:
    """Each system's sound of ``wave`` under a pattern and a seed."""
    codes = codec.encode(torch.from_numpy(wave)[None], num_codebooks)
    packets, delay = opus.encode(wave)

    def ours(pattern: LossPattern, seed: int, mute: bool) -> Wave:
        stream = codec.stream_decoder()
        parts = []
        for frame, lost in enumerate(pattern.lost(codes.shape[2], seed)):
            part = stream.conceal(1) if lost else stream.push(codes[:, :, frame : frame + 1])
            parts.append(part * 0 if lost and mute else part)
        return torch.cat([*parts, stream.flush(len(wave))], dim=1)[0].cpu().numpy()

    def theirs(pattern: LossPattern, seed: int) -> Wave:
        lost = pattern.lost(len(packets), seed)
        kept = [None if gone else packet for packet, gone in zip(packets, lost, strict=True)]
        return opus.decode(kept, delay)

    return {
        CONCEALED: lambda pattern, seed: ours(pattern, seed, mute=False),
        SILENT: lambda pattern, seed: ours(pattern, seed, mute=True),
        OPUS: theirs,
    }


def _intervals(
    rows: Sequence[tuple[float, float, float]],
    words: list[int],
    speakers: Sequence[Hashable] | None,
) -> list[Interval]:
    pesq, stoi, wer = np.array(rows).T
    return [
        mean(pesq, clusters=speakers),
        mean(stoi, clusters=speakers),
        mean(100 * wer, np.array(words, float), speakers),
    ]


def _text(value: Interval) -> str:
    return with_interval(value, 1 if value.mean > 5 else 3 if value.mean < 1 else 2)
