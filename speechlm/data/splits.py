"""Which split an utterance belongs to: decided by a hash, so that it never changes."""

from __future__ import annotations

import re
from hashlib import blake2b

SPLITS = ("train", "dev", "test")


def position(key: str) -> float:
    """Map a key to a fixed point of [0, 1): the first 8 bytes of its BLAKE2b, big-endian.

    The same key gives the same point on any machine, in any version, and whatever else the corpus
    holds, so a growing corpus never moves an utterance from training to test.
    """
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big") / 2**64


def assign(key: str, dev: float, test: float) -> str:
    """Choose ``train``, ``dev`` or ``test`` for a speaker or an utterance.

    Args:
        key: the speaker (split by speaker) or the utterance id (split by utterance).
        dev: share of the keys for ``dev``, 0 to 1.
        test: share of the keys for ``test``, 0 to 1; 0 when the corpus brings its own test set.
    """
    point = position(key)
    if point < test:
        return "test"
    return "dev" if point < test + dev else "train"


def named_split(name: str) -> str | None:
    """Read a split off the name of a list or a part: ``an4_test``, ``dev-clean``; None if none."""
    found = re.search(r"(?:^|[^a-z])(train|dev|valid|test)(?:[^a-z]|$)", name.lower())
    return None if found is None else {"valid": "dev"}.get(found[1], found[1])
