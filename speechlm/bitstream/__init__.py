"""The container: codes in, bytes out, and back. NumPy only; no model is needed to take it apart.

A stream is a header and then chunks, each checked and decodable on its own given the model. It is
written and read strictly forwards, so files and pipes hold the same bytes. The format itself is
described in ``docs/spec/bitstream.md``.
"""

from speechlm.bitstream.chunk import Chunk, LostChunk
from speechlm.bitstream.coders import ABSENT, ModelCoder, PayloadCoder
from speechlm.bitstream.errors import BitstreamError
from speechlm.bitstream.header import MAGIC, Header
from speechlm.bitstream.inspection import Info, inspect, read_header
from speechlm.bitstream.join import join
from speechlm.bitstream.packets import PacketReader, PacketWriter
from speechlm.bitstream.reader import Reader
from speechlm.bitstream.writer import Writer, default_chunk_frames

__all__ = [
    "ABSENT",
    "MAGIC",
    "BitstreamError",
    "Chunk",
    "Header",
    "Info",
    "LostChunk",
    "ModelCoder",
    "PacketReader",
    "PacketWriter",
    "PayloadCoder",
    "Reader",
    "Writer",
    "default_chunk_frames",
    "inspect",
    "join",
    "read_header",
]
