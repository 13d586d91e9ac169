"""One module a kind of corpus, each with ``source(config) -> Source``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

from speechlm.data.config import CorpusConfig
from speechlm.data.corpus import CorpusSource

MODULES = {
    "asterisk": "asterisk",
    "festvox": "festvox",
    "fillets": "fillets",
    "tuxpaint": "tuxpaint",
    "amazon-queen": "amazon_queen",
    "folder": "folder",
    "lhotse": "lhotse_recipe",
    "kokoro": "kokoro",
    "hibari": "hibari",
}


def open_source(config: CorpusConfig) -> CorpusSource:
    """Find the recordings that a declaration names, fetching them where that is its kind."""
    module: Any = import_module(f"speechlm.data.sources.{MODULES[config.kind]}")
    return cast(Callable[[CorpusConfig], CorpusSource], module.source)(config)
