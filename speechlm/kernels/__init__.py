"""Everything that needs a compiler (numba): optional, and never the only path."""

from __future__ import annotations

import logging
import os
from functools import cache
from importlib import import_module
from importlib.util import find_spec

import numpy as np

log = logging.getLogger(__name__)

_TRIAL = np.ones(4, np.float32), np.ones(4, np.float32), 1e-5
_COMPILED = "speechlm.kernels.spectral_frame", "speechlm.kernels.transformer_block"


@cache
def numba_available() -> bool:
    """Whether numba (extra ``live``) compiles the frame-by-frame paths here.

    It does not where its compiler is disabled (``NUMBA_DISABLE_JIT``), where it has no folder to
    cache what it compiles (a read-only installation and home: the next process would compile again,
    which takes longer than it saves), or where it is of a version that these functions do not suit.
    """
    if find_spec("numba") is None or os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return False
    try:
        _, transformer_block = map(import_module, _COMPILED)
        transformer_block.rms_norm(*_TRIAL)  # compiles, and writes to the cache
    except Exception as error:  # whatever it is, there is another path
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        log.debug("numba is not used: %s", reason)
        return False
    return True
