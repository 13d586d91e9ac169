"""Speed of the codec beside EnCodec and DAC, on the same audio, in turn."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
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
from speechlm.errors import SpeechLMError

ENCODEC, DAC = "encodec 24 kHz, 6 kbps", "dac 16 kHz, 6 kbps"
SAMPLE = Path(__file__).parent.parent / "assets" / "sample.flac"
SPEED_GOAL, STREAM_GOAL, LATENCY_GOAL = 20.0, 0.1, 0.040


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
class Report:
    """What was measured, as real-time factors: seconds of computing for a second of sound.

    ``offline`` has (encode, decode) of each system by name. ``ratio`` says how many times as long
    as the codec's encoding plus decoding a peer's takes, run by run. ``stream`` is encoding plus
    decoding frame by frame.
    """

    seconds: float
    threads: int
    offline: dict[str, tuple[Spread, Spread]]
    ratio: dict[str, Spread]
    stream_encode: Spread
    stream_decode: Spread
    stream: Spread
    latency: float
    absent: list[str]

    @property
    def goals(self) -> dict[str, bool]:
        """Which of the project's goals hold here."""
        goals = {
            f"frame by frame at most {STREAM_GOAL:g} of real time": self.stream.median
            <= STREAM_GOAL,
            f"latency at most {LATENCY_GOAL * 1000:.0f} ms": self.latency <= LATENCY_GOAL,
        }
        if ENCODEC in self.ratio:
            goals[f"at least {SPEED_GOAL:g} times as fast as EnCodec"] = (
                self.ratio[ENCODEC].median >= SPEED_GOAL
            )
        return goals

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "goals": self.goals}

    def table(self) -> Table:
        table = Table(
            "system",
            "RTF encode",
            "RTF decode",
            "times as long",
            title=f"{self.seconds:g} s of speech, {self.threads} thread(s): median (least to most)",
        )
        for name, (encode, decode) in self.offline.items():
            ratio = str(self.ratio[name]) if name in self.ratio else ""
            table.add_row(name, str(encode), str(decode), ratio)
        table.add_row(
            "speechlm, frame by frame", str(self.stream_encode), str(self.stream_decode), ""
        )
        verdicts = {True: "holds", False: "missed"}
        lines = [f"frame by frame, both: {self.stream}; latency {self.latency * 1000:g} ms"]
        lines += [f"{verdicts[holds]}: {goal}" for goal, holds in self.goals.items()]
        lines += self.absent
        lines += ["Peers run with random weights: their cost is that of the trained ones."]
        table.caption = "\n".join(lines)
        return table


def run(
    model: str | None = None, source: Path | None = None, seconds: float = 10.0, runs: int = 5
) -> Report:
    """Time the codec at its highest rate and its peers at 6 kbps, one after the other, ``runs``
    times, on ``source`` (by default the shipped recording), repeated or cut to ``seconds``.

    Raises:
        SpeechLMError: when the model or the recording cannot be read.
    """
    codec = load(model)
    recording, _ = audio.read(source or SAMPLE, codec.sample_rate)
    wave = torch.from_numpy(np.resize(recording, round(seconds * codec.sample_rate)))[None]
    systems: dict[str, Coder] = {"speechlm": _ours(codec, wave)}
    absent = []
    for name, build in ((ENCODEC, _encodec), (DAC, _dac)):
        try:
            systems[name] = build(wave, codec.sample_rate)
        except SpeechLMError as reason:
            absent.append(str(reason))
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in systems}
    streamed = []
    with torch.inference_mode():
        # The first round warms up and is not counted.
        for number in track(range(runs + 1), "benchmark"):
            for name, coder in systems.items():
                encode, codes = _timed(coder.encode)
                decode, _ = _timed(coder.decode, codes)
                if number:
                    times[name].append((encode / seconds, decode / seconds))
            if number:
                streamed.append(_frame_by_frame(codec, wave))
    own = [sum(pair) for pair in times["speechlm"]]
    return Report(
        seconds=seconds,
        threads=torch.get_num_threads(),
        offline={
            name: (Spread.of([e for e, _ in pairs]), Spread.of([d for _, d in pairs]))
            for name, pairs in times.items()
        },
        ratio={
            name: Spread.of([sum(pair) / mine for pair, mine in zip(pairs, own, strict=True)])
            for name, pairs in times.items()
            if name != "speechlm"
        },
        stream_encode=Spread.of([encode for encode, _ in streamed]),
        stream_decode=Spread.of([decode for _, decode in streamed]),
        stream=Spread.of([encode + decode for encode, decode in streamed]),
        latency=codec.latency / codec.sample_rate,
        absent=absent,
    )


@dataclass(frozen=True)
class Coder:
    """One system with its input in place."""

    encode: Callable[[], Any]
    decode: Callable[[Any], Tensor]


def _timed(work: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    done = work(*arguments)
    return time.perf_counter() - start, done


def _frame_by_frame(codec: Codec, wave: Tensor) -> tuple[float, float]:
    """Real-time factors of encoding and decoding hop by hop."""
    encoder, decoder = codec.stream_encoder(), codec.stream_decoder()
    encode = decode = 0.0
    for frame in wave.split(codec.hop, dim=1):
        took, codes = _timed(encoder.push, frame)
        encode += took
        decode += _timed(decoder.push, codes)[0]
    seconds = wave.shape[1] / codec.sample_rate
    return encode / seconds, decode / seconds


def _ours(codec: Codec, wave: Tensor) -> Coder:
    return Coder(lambda: codec.encode(wave), lambda codes: codec.decode(codes, wave.shape[1]))


def _encodec(wave: Tensor, rate: int) -> Coder:
    model = _package("encodec").EncodecModel.encodec_model_24khz(pretrained=False).eval()
    model.set_target_bandwidth(6.0)
    own = torchaudio.functional.resample(wave, rate, 24000)[:, None]
    return Coder(lambda: model.encode(own), model.decode)


def _dac(wave: Tensor, rate: int) -> Coder:
    # The published 16 kHz model: its strides, and otherwise the defaults of the class.
    model = _package("dac").DAC(
        encoder_rates=[2, 4, 5, 8],
        decoder_rates=[8, 5, 4, 2],
        n_codebooks=12,
        sample_rate=16000,
    )
    model.eval()
    own = model.preprocess(torchaudio.functional.resample(wave, rate, 16000)[:, None], 16000)
    return Coder(lambda: model.encode(own)[0], model.decode)


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise SpeechLMError(f"{name} is not installed: make peers") from None
