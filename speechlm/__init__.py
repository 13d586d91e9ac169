"""Speech as discrete units: a streaming codec, a unit language model, a vocoder, an evaluation.

The names below are the public API. They are imported on first use, so that ``import speechlm`` is
fast and loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from speechlm.api import compress, decompress, info, load_audio
    from speechlm.codec.base import Codec
    from speechlm.errors import SpeechLMError
    from speechlm.lm.generate.sampling import Sampling
    from speechlm.lm.speech_lm import Generated, SpeechLM
    from speechlm.tokenizers.base import UnitTokenizer as Tokenizer
    from speechlm.vocoder.model import VocodedUnits as Vocoder

__all__ = [
    "Codec",
    "Generated",
    "Sampling",
    "SpeechLM",
    "SpeechLMError",
    "Tokenizer",
    "Vocoder",
    "__version__",
    "compress",
    "decompress",
    "info",
    "load_audio",
]

_SOURCES = {
    "Codec": "speechlm.codec.base:Codec",
    "Generated": "speechlm.lm.speech_lm:Generated",
    "Sampling": "speechlm.lm.generate.sampling:Sampling",
    "SpeechLM": "speechlm.lm.speech_lm:SpeechLM",
    "SpeechLMError": "speechlm.errors:SpeechLMError",
    "Tokenizer": "speechlm.tokenizers.base:UnitTokenizer",
    "Vocoder": "speechlm.vocoder.model:VocodedUnits",
    "compress": "speechlm.api:compress",
    "decompress": "speechlm.api:decompress",
    "info": "speechlm.api:info",
    "load_audio": "speechlm.api:load_audio",
}


def __getattr__(name: str) -> Any:
    if name not in _SOURCES:
        raise AttributeError(f"module 'speechlm' has no attribute {name!r}")
    module, _, attribute = _SOURCES[name].partition(":")
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
