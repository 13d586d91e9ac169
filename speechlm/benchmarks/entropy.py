"""What entropy coding saves on held-out speech, and what it costs in time."""

from __future__ import annotations

import io
import time
from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from speechlm import audio
from speechlm.bitstream import Chunk, ModelCoder, Reader
from speechlm.codec import Codec, NeuralCodec
from speechlm.compression.encoder import write_codes
from speechlm.data import speech
from speechlm.errors import SpeechLMError
from speechlm.evaluation.format import extent
from speechlm.evaluation.statistics import Interval, known, mean
from speechlm.utils.processes import progress

KBPS = 1.5, 3.0, 6.0


@dataclass(frozen=True)
class EntropyRow:
    """One bitrate, ``kbps`` as packed.

    ``payload`` is the share of the chunks' payloads that is saved, ``file`` that of whole files,
    and ``coded`` the bitrate of payloads that is left. ``decode`` is the real-time factor of
    decoding the codes, of processor time.
    """

    kbps: float
    num_codebooks: int
    payload: Interval
    file: Interval
    coded: float
    decode: float


@dataclass(frozen=True)
class EntropyReport:
    """Intervals are over speakers where they are known of all clips, else over clips; each clip is
    weighted by its size.

    ``level_bits`` are those of a code, by level; ``level_entropy`` what they would be by how often
    each code comes in just these clips, whatever is around it.
    """

    seconds: float
    context: str
    rows: list[EntropyRow]
    level_bits: list[float]
    level_entropy: list[float]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def table(self) -> Table:
        clips = extent(self.rows[0].file.n, self.rows[0].file.clusters)
        table = Table(
            "kbps packed",
            "saved of payloads",
            "of files",
            "kbps left",
            "RTF decode",
            title=f"{clips}, {self.seconds:.0f} s, context {self.context}",
            caption=f"bits a code, by level: {_listed(self.level_bits)}; by how often each comes: "
            f"{_listed(self.level_entropy)}",
        )
        for row in self.rows:
            shares = (_percentage(share) for share in (row.payload, row.file))
            table.add_row(f"{row.kbps:g}", *shares, f"{row.coded:.2f}", f"{row.decode:.4f}")
        return table


@dataclass(frozen=True)
class _Size:
    file: int
    payload: int


def run(
    sources: Sequence[str | Path],
    splits: Sequence[str] = ("dev", "test"),
    model: str | None = None,
) -> EntropyReport:
    """Code the ``splits`` of ``sources`` (prepared corpora, or folders) with and without.

    Raises:
        SpeechLMError: when there is nothing to code, or the model has no entropy model.
    """
    codec = NeuralCodec.from_pretrained(model)
    if codec.entropy is None:
        raise SpeechLMError(
            f"{codec.model_id} has no entropy model: speechlm train recipes/entropy-model.yaml"
        )
    found = [(str(source), clip) for source in sources for clip in speech.find(source)]
    found = [(source, clip) for source, clip in found if clip.split in splits]
    clips = [clip for _, clip in found]
    # The speakers of two corpora are two, even under one name.
    who = known([clip.speaker and (source, clip.speaker) for source, clip in found])
    if not clips:
        raise SpeechLMError(f"no recordings of {', '.join(splits)} in {[*map(str, sources)]}")
    chosen = [codec.choose_num_codebooks(kbps=kbps) for kbps in KBPS if kbps <= codec.kbps()]
    sizes: dict[int, list[tuple[_Size, _Size]]] = {num_codebooks: [] for num_codebooks in chosen}
    spent = dict.fromkeys(chosen, 0.0)
    seconds = 0.0
    most = max(chosen)
    bits, seen = np.zeros(most), np.zeros((most, codec.codebook_size))
    with progress("coding", len(clips)) as advance:
        for clip in clips:
            wave = audio.resample(*clip.audio(), codec.sample_rate)
            samples = len(wave)
            codes = codec.encode(torch.from_numpy(wave)[None])[0].cpu().numpy()
            seconds += samples / codec.sample_rate
            bits += codec.entropy.bits(codes[:most]).sum(axis=1)
            np.add.at(seen, (np.arange(most)[:, None], codes[:most]), 1)
            for num_codebooks in chosen:
                kept = codes[:num_codebooks]
                ours, took = _coded(codec, codec.entropy, kept, samples)
                packed, _ = _coded(codec, None, kept, samples)
                sizes[num_codebooks].append((ours, packed))
                spent[num_codebooks] += took
            advance(clip.id)
    return EntropyReport(
        seconds,
        codec.entropy.hash,
        [
            EntropyRow(
                codec.kbps(num_codebooks),
                num_codebooks,
                _saved(
                    [(ours.payload, packed.payload) for ours, packed in sizes[num_codebooks]], who
                ),
                _saved([(ours.file, packed.file) for ours, packed in sizes[num_codebooks]], who),
                sum(ours.payload for ours, _ in sizes[num_codebooks]) * 8e-3 / seconds,
                spent[num_codebooks] / seconds,
            )
            for num_codebooks in chosen
        ],
        (bits / seen.sum(axis=1)).tolist(),
        _entropy(seen).tolist(),
    )


def _entropy(seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bits of a code, by level, from how often each was seen (codebooks, codebook_size)."""
    share = seen / seen.sum(axis=1, keepdims=True)
    return -(share * np.log2(share, where=share > 0, out=np.zeros_like(share))).sum(axis=1)


def _percentage(share: Interval) -> str:
    text = f"{100 * share.mean:.1f} %"
    if np.isfinite(share.low):
        text += f" ({100 * share.low:.1f} to {100 * share.high:.1f})"
    return text


def _listed(values: list[float]) -> str:
    return " ".join(f"{value:.2f}" for value in values)


def _saved(sizes: list[tuple[int, int]], speakers: Sequence[Hashable] | None) -> Interval:
    ours, packed = np.array(sizes, float).T
    return mean(1 - ours / packed, packed, speakers)


def _coded(
    codec: Codec, coder: ModelCoder | None, codes: NDArray[np.int64], samples: int
) -> tuple[_Size, float]:
    """Sizes, and the seconds that decoding takes."""
    file = io.BytesIO()
    size = write_codes(codes, samples, file, codec, coder)
    file.seek(0)
    start = time.process_time()
    chunks = [chunk for chunk in Reader(file, entropy=coder) if isinstance(chunk, Chunk)]
    decoded = [chunk.codes for chunk in chunks]
    took = time.process_time() - start
    if not np.array_equal(np.concatenate(decoded, axis=1), codes):
        raise SpeechLMError("decodes to other codes than were encoded")
    return _Size(size, sum(len(chunk.payload) for chunk in chunks)), took
