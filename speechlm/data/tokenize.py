"""``speechlm tokenize``: recordings -> units on disk (``speechlm.data.tokens``).

Shards are done one by one or by several processes, in any order. Whatever was interrupted goes on
where it stopped: a shard is there as a whole or is done again, and the result is the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from speechlm import audio
from speechlm.data import speech
from speechlm.data.speech import Speech
from speechlm.data.tokens import Tokens, claim, index_path, write_shard
from speechlm.errors import SpeechLMError
from speechlm.processes import processes, progress
from speechlm.units.base import Units, UnitTokenizer
from speechlm.units.load import load

SHARD = 256
"""Utterances a shard."""


@dataclass(frozen=True)
class _Shard:
    number: int
    utterances: list[Speech]


def tokenize(
    source: str | Path,
    out: str | Path,
    model: str | None = None,
    levels: int | None = None,
    workers: int = 1,
    framed: bool = False,
) -> Tokens:
    """Tokenize what :func:`speechlm.data.speech.find` finds in ``source``, into the folder ``out``.

    Args:
        model: a codec or another tokenizer, as :func:`speechlm.units.load.load` takes it.
        levels: of its units, from the first; all by default.
        workers: processes; one is this one.
        framed: a unit for every frame, as for :func:`speechlm.units.load.load`.

    Raises:
        SpeechLMError: when there is nothing to tokenize, ``out`` holds something else, or no
            utterance can be read.
    """
    out = Path(out)
    found = speech.find(source)
    _tokenizer.cache_clear()  # a folder may hold another model by now
    tokenizer = _tokenizer(model, levels, framed)
    if tokenizer.units.cardinality > 1 << 16:
        raise SpeechLMError(
            f"{tokenizer.units.model}: units of {tokenizer.units.cardinality} kinds do not fit in "
            "16 bits"
        )
    shards = [
        _Shard(number, found[first : first + SHARD])
        for number, first in enumerate(range(0, len(found), SHARD))
    ]
    claim(out, tokenizer.units, speech.digest(found), len(shards))
    missing = [shard for shard in shards if not index_path(out, shard.number).exists()]
    with progress("tokenizing", len(found)) as advance:
        for _ in range(len(found) - sum(len(shard.utterances) for shard in missing)):
            advance("")
        for shard in _done(partial(_write, out, model, levels, framed), missing, workers):
            for _ in shard.utterances:
                advance(f"shard {shard.number}")
    tokens = Tokens(out)
    if not tokens.entries:
        name, reason = next(iter(tokens.dropped.items()))
        raise SpeechLMError(f"{source}: no recording could be tokenized; {name}: {reason}")
    return tokens


def _done(work: Any, shards: Sequence[_Shard], workers: int) -> Iterator[_Shard]:
    """The shards as they are finished."""
    if workers <= 1 or len(shards) <= 1:
        for shard in shards:
            work(shard)
            yield shard
        return
    with processes(min(workers, len(shards))) as executor:
        waiting = {executor.submit(work, shard): shard for shard in shards}
        try:
            for future in as_completed(waiting):
                future.result()
                yield waiting[future]
        except BrokenProcessPool:
            raise SpeechLMError(
                "a worker process died (out of memory, or a crash in native code); what was "
                "finished is kept: run again, with fewer workers"
            ) from None


def _write(out: Path, model: str | None, levels: int | None, framed: bool, shard: _Shard) -> None:
    tokenizer = _tokenizer(model, levels, framed)
    arrays: list[np.ndarray] = []
    lines: list[dict[str, Any]] = []
    first = 0
    for utterance in shard.utterances:
        try:
            codes = _encode(tokenizer, utterance)
        except SpeechLMError as error:
            lines.append({"id": utterance.id, "dropped": str(error)})
            continue
        arrays.append(codes)
        frames = codes.shape[1]
        lines.append(_line(utterance, first, frames, tokenizer.units))
        first += frames
    write_shard(out, shard.number, arrays, lines, tokenizer.units.levels)


def _encode(tokenizer: UnitTokenizer, utterance: Speech) -> np.ndarray:
    """Codes (levels, frames) of an utterance."""
    wave, rate = utterance.load()
    if not len(wave):
        raise SpeechLMError("empty")
    whole = audio.resample(wave, rate, tokenizer.units.sample_rate)
    return tokenizer.encode(torch.from_numpy(whole)[None])[0].cpu().numpy()


def _line(utterance: Speech, first: int, frames: int, units: Units) -> dict[str, Any]:
    line: dict[str, Any] = {
        "id": utterance.id,
        "split": utterance.split,
        "first": first,
        "frames": frames,
        "text": utterance.text,
        "language": utterance.language,
        "speaker": utterance.speaker,
    }
    if utterance.segments and not units.variable:  # nobody could say which frames they are
        rate = units.frame_rate
        line["segments"] = [
            [text, *(min(max(round(at * rate), 0), frames) for at in (start, end))]
            for text, start, end in utterance.segments
        ]
    return {name: value for name, value in line.items() if value is not None}


@lru_cache(maxsize=1)  # a process works with one
def _tokenizer(model: str | None, levels: int | None, framed: bool) -> UnitTokenizer:
    return load(model, levels, framed)
