"""Speed of the codec beside EnCodec and DAC, on the same audio, in turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchaudio
from rich.progress import track
from rich.table import Table
from torch import Tensor

from speechlm import audio
from speechlm.codec import Codec, load
from speechlm.codec.peers.base import package, quiet
from speechlm.errors import SpeechLMError
from speechlm.resources import SAMPLE

OWN = "speechlm"
ENCODEC, DAC = "encodec 24 kHz, 6 kbps", "dac 16 kHz, 6 kbps"
SPEED_GOAL, STREAM_GOAL, LATENCY_GOAL = 20.0, 0.05, 0.040

Cost = tuple[float, float]
"""Seconds by the clock on the wall, and of processor time."""

Pair = tuple[float, float]
"""Real-time factors of encoding and decoding."""


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of a few runs."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        return cls(float(np.median(values)), min(values), max(values))

    def __str__(self) -> str:
        digits = 1 if self.median >= 1 else 4
        return f"{self.median:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


@dataclass(frozen=True)
class CodecFigures:
    """What one clock measured, as real-time factors: seconds of computing for a second of sound.

    ``offline`` has (encode, decode) of each system by name. ``ratio`` says how many times as long
    as the codec's encoding plus decoding a peer's takes, run by run. ``stream`` is encoding plus
    decoding frame by frame.
    """

    offline: dict[str, tuple[Spread, Spread]]
    ratio: dict[str, Spread]
    stream_encode: Spread
    stream_decode: Spread
    stream: Spread

    @classmethod
    def of(cls, offline: dict[str, list[Pair]], stream: list[Pair]) -> CodecFigures:
        """From (encode, decode) of each run; the first system is what the others are held to."""
        own, *peers = offline
        return cls(
            {name: (_spread(pairs, 0), _spread(pairs, 1)) for name, pairs in offline.items()},
            {
                name: Spread.of(
                    [sum(a) / sum(b) for a, b in zip(offline[name], offline[own], strict=True)]
                )
                for name in peers
            },
            _spread(stream, 0),
            _spread(stream, 1),
            Spread.of([sum(pair) for pair in stream]),
        )

    def rows(self, clock: str) -> list[tuple[str, ...]]:
        """Lines of the table."""
        rows = [
            (name, clock, str(encode), str(decode), str(self.ratio.get(name, "")))
            for name, (encode, decode) in self.offline.items()
        ]
        frames = str(self.stream_encode), str(self.stream_decode)
        return [*rows, (f"{OWN}, frame by frame", clock, *frames, "")]


@dataclass(frozen=True)
class CodecReport:
    """Figures of the clock on the wall, which a machine's other work inflates, and of the time that
    the processor spent on this process. ``latency`` in seconds; ``absent`` says which peers are not
    there.
    """

    seconds: float
    threads: int
    wall: CodecFigures
    cpu: CodecFigures
    latency: float
    absent: list[str]

    @property
    def goals(self) -> dict[str, bool]:
        """Which of the project's goals hold here, by the clock on the wall."""
        stream = self.wall.stream.median
        goals = {
            f"frame by frame at most {STREAM_GOAL:g} of real time": stream <= STREAM_GOAL,
            f"latency at most {LATENCY_GOAL * 1000:.0f} ms": self.latency <= LATENCY_GOAL,
        }
        if ENCODEC in self.wall.ratio:
            goals[f"at least {SPEED_GOAL:g} times as fast as EnCodec"] = (
                self.wall.ratio[ENCODEC].median >= SPEED_GOAL
            )
        return goals

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "goals": self.goals}

    def table(self) -> Table:
        table = Table(
            "system",
            "clock",
            "RTF encode",
            "RTF decode",
            "times as long",
            title=f"{self.seconds:g} s of speech, {self.threads} thread(s): median (least to most)",
        )
        for clock, figures in (("wall", self.wall), ("CPU", self.cpu)):
            for row in figures.rows(clock):
                table.add_row(*row)
            table.add_section()
        verdicts = {True: "holds", False: "missed"}
        lines = [
            f"frame by frame, both: {self.wall.stream}, CPU {self.cpu.stream}",
            f"latency {self.latency * 1000:g} ms",
        ]
        lines += [f"{verdicts[holds]}: {goal}" for goal, holds in self.goals.items()]
        lines += self.absent
        lines += ["Peers run with random weights: their cost is that of the trained ones."]
        table.caption = "\n".join(lines)
        return table


def run(
    model: str | None = None, source: Path | None = None, seconds: float = 10.0, runs: int = 5
) -> CodecReport:
    """Time the codec at its highest rate and its peers at 6 kbps, one after the other, ``runs``
    times, on ``source`` (by default the shipped recording), repeated or cut to ``seconds``.

    Raises:
        SpeechLMError: when the model or the recording cannot be read.
    """
    codec = load(model)
    recording, _ = audio.read(source or SAMPLE, codec.sample_rate)
    wave = torch.from_numpy(np.resize(recording, round(seconds * codec.sample_rate)))[None]
    systems = {OWN: _ours(codec, wave)}
    absent = []
    for name, build in ((ENCODEC, _encodec), (DAC, _dac)):
        try:
            systems[name] = build(wave, codec.sample_rate)
        except SpeechLMError as reason:
            absent.append(str(reason))
    offline: dict[str, list[tuple[Cost, Cost]]] = {name: [] for name in systems}
    stream = []
    with torch.inference_mode():
        # The first round warms up and is not counted.
        for number in track(range(runs + 1), "benchmark"):
            for name, coder in systems.items():
                encode, codes = _timed(coder.encode)
                decode, _ = _timed(partial(coder.decode, codes))
                if number:
                    offline[name].append((encode, decode))
            cost = _frame_by_frame(codec, wave)
            if number:
                stream.append(cost)

    def factors(pairs: list[tuple[Cost, Cost]], clock: int) -> list[Pair]:
        return [(encode[clock] / seconds, decode[clock] / seconds) for encode, decode in pairs]

    wall, cpu = (
        CodecFigures.of(
            {name: factors(pairs, clock) for name, pairs in offline.items()}, factors(stream, clock)
        )
        for clock in (0, 1)
    )
    latency = codec.latency / codec.sample_rate
    return CodecReport(seconds, torch.get_num_threads(), wall, cpu, latency, absent)


@dataclass(frozen=True)
class Coder:
    """One system with its input in place."""

    encode: Callable[[], Any]
    decode: Callable[[Any], Tensor]


def _timed(work: Callable[[], Any]) -> tuple[Cost, Any]:
    wall, cpu = time.perf_counter(), time.process_time()
    done = work()
    return (time.perf_counter() - wall, time.process_time() - cpu), done


def _frame_by_frame(codec: Codec, wave: Tensor) -> tuple[Cost, Cost]:
    """Cost of encoding and of decoding hop by hop, each hop decoded as soon as it is encoded.

    Reading the clock of processor time is a system call, as long as a part of a frame: it is read
    once, and shared out by the time on the wall.
    """
    encoder, decoder = codec.stream_encoder(), codec.stream_decoder()
    encode = decode = 0.0
    cpu = time.process_time()
    for frame in wave.split(codec.hop_length, dim=1):
        start = time.perf_counter()
        codes = encoder.push(frame)
        middle = time.perf_counter()
        decoder.push(codes)
        encode, decode = encode + middle - start, decode + time.perf_counter() - middle
    share = (time.process_time() - cpu) / (encode + decode)
    return (encode, share * encode), (decode, share * decode)


def _spread(pairs: list[Pair], which: int) -> Spread:
    return Spread.of([pair[which] for pair in pairs])


def _ours(codec: Codec, wave: Tensor) -> Coder:
    return Coder(lambda: codec.encode(wave), lambda codes: codec.decode(codes, wave.shape[1]))


def _encodec(wave: Tensor, rate: int) -> Coder:
    encodec = package("encodec")
    with quiet():
        model = encodec.EncodecModel.encodec_model_24khz(pretrained=False).eval()
    model.set_target_bandwidth(6.0)
    own = torchaudio.functional.resample(wave, rate, 24000)[:, None]
    return Coder(lambda: model.encode(own), model.decode)


def _dac(wave: Tensor, rate: int) -> Coder:
    # The published 16 kHz model: its strides, and otherwise the defaults of the class.
    dac = package("dac")
    with quiet():
        model = dac.DAC(
            encoder_rates=[2, 4, 5, 8],
            decoder_rates=[8, 5, 4, 2],
            n_codebooks=12,
            sample_rate=16000,
        )
    model.eval()
    own = model.preprocess(torchaudio.functional.resample(wave, rate, 16000)[:, None], 16000)
    return Coder(lambda: model.encode(own)[0], model.decode)
