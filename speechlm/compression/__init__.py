"""Speech to ``.slm`` files and streams, and back: codec + rate control + bitstream.

:mod:`~speechlm.compression.encoder` meets a bitrate, a size or a quality,
:mod:`~speechlm.compression.decoder` decodes all or an excerpt, through losses, and
:mod:`~speechlm.compression.files` applies both to sound files and live streams.
"""

from speechlm.compression.encoder import Coded, Goal
from speechlm.compression.files import (
    compress,
    decompress,
    join,
    stream_decode,
    stream_encode,
)

__all__ = ["Coded", "Goal", "compress", "decompress", "join", "stream_decode", "stream_encode"]
