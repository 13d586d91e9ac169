"""Types of arrays that have one meaning in the whole package.

An annotation says what an array holds; the docstring of the function gives its shape.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.floating[Any]]
"""Samples (samples,) or (channels, samples) of a waveform, of which full scale is 1."""

Codes = NDArray[np.int64]
"""Codes (num_codebooks, frames) of a codec or of another tokenizer of speech."""

StoredCodes = NDArray[np.uint16]
"""Codes as files of tokens hold them."""

AnyCodes = NDArray[np.integer[Any]]
"""Codes of either kind."""

Ids = NDArray[np.int64]
"""Ids of tokens in the vocabulary of a language model."""

Ints = NDArray[np.int64]
"""Counts and indices."""

Floats = NDArray[np.floating[Any]]
"""Real numbers of any precision."""

Float32s = NDArray[np.float32]
"""Real numbers in single precision, where compiled code or a format asks for it."""
