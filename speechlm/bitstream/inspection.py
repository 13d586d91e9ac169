"""What a file holds, told without the model, and where its bits are."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speechlm.bitstream.chunk import Chunk, LostChunk
from speechlm.bitstream.coders import ENTROPY, PACKED, RAGGED, ModelCoder
from speechlm.bitstream.errors import BitstreamError
from speechlm.bitstream.header import Header
from speechlm.bitstream.level_counts import unpack_counts
from speechlm.bitstream.reader import Reader
from speechlm.utils.inputs import input_name, open_input

_LEVELS = 255  # that a header may state
KINDS = {PACKED: "packed", RAGGED: "ragged", ENTROPY: "entropy-coded"}


@dataclass(frozen=True)
class ChunkInfo:
    """A chunk in numbers: ``bytes`` of all its record, ``frames`` from the second ``start`` on.

    ``codebooks_per_frame`` are those that a frame has on average.
    """

    start: float
    frames: int
    codebooks_per_frame: float
    payload: str
    bytes: int


@dataclass(frozen=True)
class Info:
    """A file in numbers.

    Attributes:
        model, weights_hash: the model that decodes it.
        sample_rate, hop_length: of the sound, Hz and samples per frame.
        bits, num_codebooks: per code, and codes per frame at most.
        chunk_frames: frames per chunk at most.
        context: the entropy model that its chunks may need besides; None when they need none.
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
        level_bytes: what the codes of each level take; None when some are entropy-coded, unless
            they were looked at with their entropy model.
        each: the good chunks one by one, if they were asked for.
    """

    model: str
    weights_hash: str
    sample_rate: int
    hop_length: int
    bits: int
    num_codebooks: int
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
    level_bytes: list[float] | None
    each: list[ChunkInfo]

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    @property
    def seconds(self) -> float:
        """Of sound; from whole frames when the end of the file is lost."""
        samples = self.frames * self.hop_length if self.samples is None else self.samples
        return samples / self.sample_rate

    @property
    def kbps(self) -> float:
        """Real bitrate: every byte of the file; NaN for a file without sound."""
        return self.file_bytes * 8e-3 / self.seconds if self.seconds else float("nan")

    @property
    def budget(self) -> dict[str, float]:
        """Bytes by what they are for; those of each level where they are known."""
        places: dict[str, float] = {
            "header": self.header_bytes,
            "around chunks": self.framing_bytes,
            "levels per frame": self.count_bytes,
            "codes": self.code_bytes,
        }
        for level, size in enumerate(self.level_bytes or [], 1):
            places[f"codes of level {level}"] = size
        return places


def read_header(path: str | Path) -> Header:
    """The header of a file.

    Raises:
        BitstreamError: when it cannot be opened, or does not begin with a header.
    """
    with open_input(path) as file:
        return Reader(file, name=input_name(path)).header


def inspect(path: str | Path, entropy: ModelCoder | None = None, each: bool = False) -> Info:
    """Read a file through, damage included.

    Args:
        entropy: the entropy model of its codec, by which entropy-coded chunks are decoded to tell
            what their levels take (to some bytes a chunk). Without it no code is decoded.
        each: tell of every chunk.

    Raises:
        BitstreamError: when it cannot be opened, its header is not that of a stream, or it needs
            another entropy model.
    """
    damaged, framing, counted, coded = 0, 0, 0, 0
    kinds: Counter[str] = Counter()
    chunks: list[ChunkInfo] = []
    name = input_name(path)
    with open_input(path, seekable=True) as file:
        reader = Reader(file, True, entropy, name)
        if entropy is not None and reader.header.context not in (None, entropy.hash):
            raise BitstreamError(
                f"{name}: coded by the entropy model {reader.header.context}, not "
                f"{entropy.hash}: name the version that wrote it"
            )
        level_codes = np.zeros(_LEVELS, np.int64)
        level_bytes: NDArray[np.float64] | None = np.zeros(_LEVELS)
        for item in reader:
            if isinstance(item, LostChunk):
                damaged += 1
                continue
            counts, size = _counts(item)
            codes = (counts > np.arange(_LEVELS)[:, None]).sum(axis=1)
            level_codes += codes
            sizes = _sizes(item, codes, entropy)
            level_bytes = None if level_bytes is None or sizes is None else level_bytes + sizes
            kind = KINDS[item.coding]
            kinds[kind] += 1
            if each:
                start = item.sample / reader.header.sample_rate
                mean = float(counts.mean()) if item.frames else 0.0
                chunks.append(ChunkInfo(start, item.frames, mean, kind, item.size))
            framing += item.size - len(item.payload)
            counted += size
            coded += len(item.payload) - size
        file_bytes = file.seek(0, 2)
    num_codebooks = max(header.num_codebooks for header in reader.headers)
    return Info(
        **vars(reader.header) | {"num_codebooks": num_codebooks},
        frames=reader.frames,
        samples=reader.samples,
        chunks=kinds.total(),
        damaged=damaged,
        file_bytes=file_bytes,
        parts=reader.parts,
        header_bytes=reader.header_bytes,
        framing_bytes=framing,
        count_bytes=counted,
        code_bytes=coded,
        payloads=dict(kinds),
        level_codes=level_codes[:num_codebooks].tolist(),
        level_bytes=None if level_bytes is None else level_bytes[:num_codebooks].tolist(),
        each=chunks,
    )


def _counts(chunk: Chunk) -> tuple[NDArray[np.int64], int]:
    """Levels of each frame of a chunk, and the bytes in which its payload says so."""
    if chunk.coding == PACKED:
        return np.full(chunk.frames, chunk.num_codebooks), 0
    try:
        return unpack_counts(chunk.payload, chunk.frames, chunk.num_codebooks)
    except BitstreamError:  # whole, but no writer's of ours
        return np.zeros(chunk.frames, np.int64), 0


def _sizes(
    chunk: Chunk, codes: NDArray[np.int64], entropy: ModelCoder | None
) -> NDArray[np.float64] | None:
    """Bytes of each level, of which there are so many codes; None where nobody can tell."""
    if chunk.coding != ENTROPY:
        return codes * chunk.bits / 8
    if entropy is None:
        return None
    sizes = np.zeros(len(codes))
    with suppress(BitstreamError):  # as in _counts
        sizes[: chunk.num_codebooks] = entropy.bits(chunk.codes).sum(axis=1) / 8
    return sizes
