"""Variable beside constant bitrate: files of the same size, recording by recording."""

from __future__ import annotations

import io
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from speechlm import audio
from speechlm.bitstream import Reader
from speechlm.codec import Codec, load
from speechlm.compression.decoder import decode
from speechlm.compression.encoder import encode_stream, encode_whole
from speechlm.compression.rate_target import RateTarget
from speechlm.data import speech
from speechlm.errors import SpeechLMError
from speechlm.evaluation.format import extent, with_interval
from speechlm.evaluation.quality import quality
from speechlm.evaluation.statistics import Interval, difference, known, mean
from speechlm.types import Wave
from speechlm.utils.processes import progress

METRICS = "pesq", "stoi"


@dataclass(frozen=True)
class RateRow:
    """One bitrate: ``constant`` and ``variable`` by metric, and what the latter adds, paired.

    ``real`` kbps are of all bytes of the files at a constant rate; the others are no larger.
    """

    kbps: float
    real: Interval
    constant: dict[str, Interval]
    variable: dict[str, Interval]
    gain: dict[str, Interval]


@dataclass(frozen=True)
class RateReport:
    """Intervals are over speakers where they are known of all recordings, else over recordings."""

    model: str
    rows: list[RateRow]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def table(self) -> Table:
        real = self.rows[0].real
        recordings = extent(real.n, real.clusters, "recordings")
        title = f"{self.model}: {recordings}, variable no larger than constant"
        table = Table("kbps", "real", "metric", "constant", "variable", "gain", title=title)
        for row in self.rows:
            for name in METRICS:
                table.add_row(
                    f"{row.kbps:g}",
                    f"{row.real.mean:.2f}",
                    name,
                    f"{row.constant[name].mean:.3f}",
                    f"{row.variable[name].mean:.3f}",
                    with_interval(row.gain[name], 3, sign=True),
                )
        return table


def run(source: Path, model: str | None = None, kbps: tuple[float, ...] = (1.5, 3.0)) -> RateReport:
    """Code the test recordings of ``source``, of a second or more, at both kinds of rate.

    Raises:
        SpeechLMError: when there are none, or the codec has no variable rate.
    """
    codec = load(model)
    waves, who = [], []
    for clip in speech.find(source):
        if clip.split == "test":
            wave = audio.resample(*clip.audio(), codec.sample_rate)
            if len(wave) >= codec.sample_rate:
                waves.append(wave)
                who.append(clip.speaker)
    if not waves:
        raise SpeechLMError(f"{source}: no test recordings of a second or more")
    rows = []
    with progress("coding", len(waves) * len(kbps)) as advance:
        for each in kbps:
            real, constant, variable = [], [], []
            for wave in waves:
                file, smaller = io.BytesIO(), io.BytesIO()
                encode_stream([wave], file, codec, RateTarget(each, "cbr"))
                encode_whole([wave], smaller, codec, RateTarget(max_bytes=file.tell()))
                real.append(file.tell() * 8e-3 * codec.sample_rate / len(wave))
                constant.append(_judged(codec, wave, file))
                variable.append(_judged(codec, wave, smaller))
                advance(f"{each:g} kbps")
            columns = np.array(constant).T, np.array(variable).T
            rows.append(_row(each, real, *columns, known(who)))
    return RateReport(codec.model_id, rows)


def _judged(codec: Codec, wave: Wave, file: io.BytesIO) -> list[float]:
    file.seek(0)
    pieces: list[Wave] = []
    decode(Reader(file, entropy=codec.entropy), codec, pieces.append)
    found = quality(wave, np.concatenate(pieces), codec.sample_rate, METRICS)
    return [found[name] for name in METRICS]


def _row(
    kbps: float,
    real: list[float],
    constant: NDArray[np.float64],
    variable: NDArray[np.float64],
    speakers: Sequence[Hashable] | None,
) -> RateRow:
    pairs = list(zip(METRICS, constant, variable, strict=True))
    return RateRow(
        kbps,
        mean(real, clusters=speakers),
        {name: mean(before, clusters=speakers) for name, before, _ in pairs},
        {name: mean(after, clusters=speakers) for name, _, after in pairs},
        {name: difference(after, before, clusters=speakers) for name, before, after in pairs},
    )
