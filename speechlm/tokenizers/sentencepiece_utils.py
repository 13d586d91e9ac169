"""Training sentencepiece models, of text and of units alike."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import sentencepiece

from speechlm.errors import SpeechLMError


def learn(sentences: Iterable[str], what: str, **options: Any) -> bytes:
    """A model of ``sentences``, by sentencepiece's ``options``; the same ones give the same model.

    Raises:
        SpeechLMError: when there is none; it begins with ``what``.
    """
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_writer=model,
            character_coverage=1.0,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            num_threads=1,
            minloglevel=3,
            **options,
        )
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise SpeechLMError(f"{what}: {reason}") from None
    return model.getvalue()
