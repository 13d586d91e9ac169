"""Sound files: read, resample, write. The only package that knows file formats.

Sound is mono float32 with full scale at [-1, 1], shape (samples,); channels are averaged on the
way in (:mod:`speechlm.audio.reading`). Files of any length pass through in constant memory by
:func:`blocks` and :class:`AudioWriter`.
"""

from speechlm.audio.errors import AudioError
from speechlm.audio.reading import LOUDEST, AudioInfo, Recording, blocks, info, read
from speechlm.audio.resampling import resample, resampled
from speechlm.audio.writing import AudioWriter, write

__all__ = [
    "LOUDEST",
    "AudioError",
    "AudioInfo",
    "AudioWriter",
    "Recording",
    "blocks",
    "info",
    "read",
    "resample",
    "resampled",
    "write",
]
