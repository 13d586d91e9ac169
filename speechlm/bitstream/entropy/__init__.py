"""Entropy coding: codes are not independent, and what one tells of the next need not be written.

An entropy model (:mod:`model`) in whole numbers gives frequencies (:mod:`frequencies`), and a range
coder (:mod:`coder`) turns codes into bytes by them, the same on every machine.
"""

from speechlm.bitstream.entropy.coder import MOST_CODES, EntropyCoder
from speechlm.bitstream.entropy.model import EntropyModel

__all__ = ["MOST_CODES", "EntropyCoder", "EntropyModel"]
