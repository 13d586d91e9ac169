"""What a file holds, told without the model."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speechlm.bitstream.chunk import Chunk, LostChunk
from speechlm.bitstream.counts import unpack_counts
from speechlm.bitstream.errors import BitstreamError
from speechlm.bitstream.payload import ENTROPY, PACKED, RAGGED
from speechlm.bitstream.reader import Reader

KINDS = {PACKED: "packed", RAGGED: "ragged", ENTROPY: "entropy-coded"}


@dataclass(frozen=True)
class Info:
    """A file in numbers.

    Attributes:
        model, weights_hash: the model that decodes it.
        sample_rate, hop: of the sound, Hz and samples per frame.
        bits, levels: per code, and codes per frame at most.
        chunk_frames: frames per chunk at most.
        context: the context model that its chunks may need besides; None when they need none.
        frames: in all, with those that were lost.
        samples: exact length of the sound; None when the end of the file is lost.
        chunks: good ones.
        damaged: gaps where a chunk is damaged or missing.
        file_bytes: size of the file.
        parts: sounds that were joined to this one, itself included.
        header_bytes, framing_bytes: of the header, and around the payloads of good chunks.
        count_bytes, code_bytes: in the payloads, for the number of levels of each frame and for the
            codes.
        payloads: good chunks by the way in which they hold their codes.
        level_codes: how many codes of each level there are.
    """

    model: str
    weights_hash: str
    sample_rate: int
    hop: int
    bits: int
    levels: int
    chunk_frames: int
    context: str | None
    frames: int
    samples: int | None
    chunks: int
    damaged: int
    file_bytes: int
    parts: int
    header_bytes: int
    framing_bytes: int
    count_bytes: int
    code_bytes: int
    payloads: dict[str, int]
    level_codes: list[int]

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop

    @property
    def seconds(self) -> float:
        """Of sound; from whole frames when the end of the file is lost."""
        samples = self.frames * self.hop if self.samples is None else self.samples
        return samples / self.sample_rate

    @property
    def kbps(self) -> float:
        """Real bitrate: every byte of the file; NaN for a file without sound."""
        return self.file_bytes * 8e-3 / self.seconds if self.seconds else float("nan")

    @property
    def budget(self) -> dict[str, float]:
        """Bytes by what they are for; those of each level only where codes have a fixed size."""
        places: dict[str, float] = {
            "header": self.header_bytes,
            "around chunks": self.framing_bytes,
            "levels per frame": self.count_bytes,
            "codes": self.code_bytes,
        }
        if KINDS[ENTROPY] not in self.payloads:
            for level, codes in enumerate(self.level_codes, 1):
                places[f"codes of level {level}"] = codes * self.bits / 8
        return places


def inspect(path: str | Path) -> Info:
    """Read a file through, damage included, without decoding a code.

    Raises:
        BitstreamError: when it cannot be opened, or its header is not that of a stream.
    """
    damaged, parts, framing, counted, coded = 0, 1, 0, 0, 0
    kinds: Counter[str] = Counter()
    try:
        with Path(path).open("rb") as file:
            reader = Reader(file, conceal=True)
            header_bytes = file.tell()
            level_codes = np.zeros(reader.header.levels, np.int64)
            for item in reader:
                if isinstance(item, LostChunk):
                    damaged += 1
                    continue
                counts, size = _counts(item)
                level_codes += (counts > np.arange(len(level_codes))[:, None]).sum(axis=1)
                kinds[KINDS[item.coding]] += 1
                framing += item.size - len(item.payload)
                counted += size
                coded += len(item.payload) - size
                parts += item.trim is not None and reader.samples is None
            file_bytes = file.seek(0, 2)
    except OSError as error:
        raise BitstreamError(f"{path}: {error.strerror}") from None
    return Info(
        **vars(reader.header),
        frames=reader.frames,
        samples=reader.samples,
        chunks=kinds.total(),
        damaged=damaged,
        file_bytes=file_bytes,
        parts=parts,
        header_bytes=header_bytes,
        framing_bytes=framing,
        count_bytes=counted,
        code_bytes=coded,
        payloads=dict(kinds),
        level_codes=level_codes.tolist(),
    )


def _counts(chunk: Chunk) -> tuple[NDArray[np.int64], int]:
    """Levels of each frame of a chunk, and the bytes in which its payload says so."""
    if chunk.coding == PACKED:
        return np.full(chunk.frames, chunk.levels), 0
    try:
        return unpack_counts(chunk.payload, chunk.frames, chunk.levels)
    except BitstreamError:  # whole, but no writer's of ours
        return np.zeros(chunk.frames, np.int64), 0
