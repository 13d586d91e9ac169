"""What a file holds, told without the model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from speechlm.bitstream.chunk import LostChunk
from speechlm.bitstream.errors import BitstreamError
from speechlm.bitstream.reader import Reader


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


def inspect(path: str | Path) -> Info:
    """Read a file through, damage included, without unpacking a code.

    Raises:
        BitstreamError: when it cannot be opened, or its header is not that of a stream.
    """
    chunks = damaged = 0
    try:
        with Path(path).open("rb") as file:
            reader = Reader(file, conceal=True)
            for item in reader:
                if isinstance(item, LostChunk):
                    damaged += 1
                else:
                    chunks += 1
            file_bytes = file.seek(0, 2)
    except OSError as error:
        raise BitstreamError(f"{path}: {error.strerror}") from None
    return Info(
        **vars(reader.header),
        frames=reader.frames,
        samples=reader.samples,
        chunks=chunks,
        damaged=damaged,
        file_bytes=file_bytes,
    )
