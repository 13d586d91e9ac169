"""The joint vocabulary as a tokenizer of ``transformers``: ``tokenizer.json`` in a model folder.

Its ids are those of the model: special tokens by name, pieces of text as sentencepiece has them,
and the unit ``code`` of codebook ``k`` as ``<|k:code|>``. Text is normalised and split as the
model's own text tokenizer does. Writing it needs neither ``transformers`` nor ``tokenizers``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from speechlm.errors import SpeechLMError
from speechlm.lm.vocabulary import PAD, Vocabulary
from speechlm.tokenizers.text import TextTokenizer
from speechlm.utils.files import atomic_path

TOKENIZER, CONFIG = "tokenizer.json", "tokenizer_config.json"
SPACE = "\u2581"
UNIGRAM, CHAR = 1, 4
"""Kinds of sentencepiece models of which each text has one best split by scores."""
TRAINER, NORMALIZER = 2, 3
MODEL_TYPE, CHARSMAP = 3, 2
"""Numbers of fields in the protocol buffer of a sentencepiece model."""


def save_tokenizer(folder: Path, vocabulary: Vocabulary, text: TextTokenizer) -> None:
    """Write ``tokenizer.json`` and ``tokenizer_config.json``.

    Raises:
        SpeechLMError: for a text tokenizer of another kind than char and unigram.
    """
    tokenizer = _tokenizer(vocabulary, text)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": PAD,
        "clean_up_tokenization_spaces": False,
    }
    for name, content in ((TOKENIZER, tokenizer), (CONFIG, config)):
        with atomic_path(folder / name) as path:
            path.write_text(json.dumps(content, ensure_ascii=False) + "\n", "utf-8")


def unit_names(vocabulary: Vocabulary) -> list[str]:
    """The names of all units in the order of their ids."""
    return [
        f"<|{level}:{code}|>"
        for level in range(vocabulary.units.num_codebooks)
        for code in range(len(vocabulary.level(level)))
    ]


def _tokenizer(vocabulary: Vocabulary, text: TextTokenizer) -> dict[str, Any]:
    fields = dict(_fields(text.model))
    kind = int(dict(_fields(fields.get(TRAINER, b""))).get(MODEL_TYPE, UNIGRAM))
    if kind not in (UNIGRAM, CHAR):
        raise SpeechLMError("the text tokenizer is of a kind that transformers gets no copy of")
    charsmap = dict(_fields(fields.get(NORMALIZER, b""))).get(CHARSMAP, b"")
    scores = text.scores
    names = [*vocabulary.specials, *text.pieces, *unit_names(vocabulary)]
    known = [0.0] * len(vocabulary.specials) + scores
    lowest = min(scores)
    rows = [[name, known[id] if id < len(known) else lowest] for id, name in enumerate(names)]
    pieces = vocabulary.text
    own = [id for id in range(len(names)) if id not in pieces]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": id, "content": names[id], "single_word": False, "lstrip": False,
             "rstrip": False, "normalized": False, "special": True}
            for id in own
        ],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Precompiled",
                 "precompiled_charsmap": base64.b64encode(charsmap).decode()},
                {"type": "Strip", "strip_left": True, "strip_right": True},
                {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
            ],
        },
        "pre_tokenizer": {
            "type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": False,
        },
        "post_processor": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "Unigram", "unk_id": pieces.start, "vocab": rows, "byte_fallback": True,
        },
    }  # fmt: skip


def _fields(message: Any) -> Iterator[tuple[int, Any]]:
    """Numbers and values of the fields of a protocol buffer: integers, or bytes."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        kind = key & 7
        if kind == 0:
            value, place = _varint(message, place)
            yield key >> 3, value
            continue
        size, place = _varint(message, place) if kind == 2 else ({1: 8, 5: 4}[kind], place)
        yield key >> 3, message[place : place + size]
        place += size


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
