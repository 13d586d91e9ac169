"""``speechlm tokenize``: recordings -> units on disk (``speechlm.data.tokens``).

Shards are done one by one, by several processes or by jobs on several machines, in any order. They
know nothing of each other: which shards are there says what is left. Whatever was interrupted goes
on where it stopped: a shard is there as a whole or is done again, and the result is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
from speechlm.data.shar import Shar
from speechlm.data.splits import named_split
from speechlm.data.tokens import Tokens, claim, index_path, shard_file
from speechlm.data.utterance import Utterance
from speechlm.errors import SpeechLMError
from speechlm.tokenizers.base import UnitTokenizer
from speechlm.tokenizers.load import load
from speechlm.utils.distributed import Shard
from speechlm.utils.processes import processes, progress

SHARD = 256
"""Utterances a shard, or more: so many that there are no more than ``SHARDS`` shards."""
SHARDS = 1024


@dataclass(frozen=True)
class _Shard:
    number: int
    load: Callable[[], Sequence[Utterance]]


@dataclass(frozen=True)
class _Source:
    """What is to be tokenized, and how it is cut into shards."""

    digest: str
    shards: list[_Shard]


def tokenize(
    source: str | Path,
    out: str | Path,
    model: str | None = None,
    num_codebooks: int | None = None,
    workers: int = 1,
    framed: bool = False,
) -> Tokens:
    """Tokenize what :func:`speechlm.data.speech.find` finds in ``source``, into the folder ``out``.

    Args:
        source: or Lhotse Shar (:mod:`speechlm.data.shar`), whose shards are then those of ``out``.
        model: a codec or another tokenizer, as :func:`speechlm.tokenizers.load.load` takes it.
        num_codebooks: of its units, from the first; all by default.
        workers: processes; one is this one.
        framed: a unit for every frame, as for :func:`speechlm.tokenizers.load.load`.

    Raises:
        SpeechLMError: when there is nothing to tokenize, ``out`` holds something else, or no
            utterance can be read.
    """
    tokenize_share(source, out, Shard(), model, num_codebooks, workers, framed)
    return Tokens(out)


def tokenize_share(
    source: str | Path,
    out: str | Path,
    share: Shard,
    model: str | None = None,
    num_codebooks: int | None = None,
    workers: int = 1,
    framed: bool = False,
) -> list[int]:
    """Do one job of several on a corpus; return the shards that nobody has finished yet.

    Of all shards each job takes every ``share.count``-th that is missing. Jobs may run at once, be
    killed and be run again; when all are done, ``out`` is what :func:`tokenize` would have made.

    Raises:
        SpeechLMError: when there is nothing to tokenize, ``out`` holds something else, or all is
            done and no utterance could be read.
    """
    out = Path(out)
    found = _find(source)
    _tokenizer.cache_clear()  # a folder may hold another model by now
    tokenizer = _tokenizer(model, num_codebooks, framed)
    if tokenizer.units.codebook_size > 1 << 16:
        raise SpeechLMError(
            f"{tokenizer.units.model}: {tokenizer.units.codebook_size} kinds of units do not fit "
            "in 16 bits"
        )
    claim(out, tokenizer.units, found.digest, len(found.shards))

    def missing(shards: Sequence[_Shard]) -> list[_Shard]:
        return [shard for shard in shards if not index_path(out, shard.number).exists()]

    own = found.shards[share.index :: share.count]
    left = missing(own)
    with progress("tokenizing", len(own)) as advance:
        for _ in range(len(own) - len(left)):
            advance("")
        for shard in _done(partial(_write, out, model, num_codebooks, framed), left, workers):
            advance(f"shard {shard.number}")
    others = [shard.number for shard in missing(found.shards)]
    if not others and not (tokens := Tokens(out)).entries:
        name, reason = next(iter(tokens.dropped.items()), (str(source), "holds no recordings"))
        raise SpeechLMError(f"{source}: no recording could be tokenized; {name}: {reason}")
    return others


def _find(source: str | Path) -> _Source:
    shar = Shar.find(source)
    if shar is not None:
        split = named_split(Path(source).name) or "train"
        read = partial(speech.of_shard, shar, split=split)
        return _Source(shar.digest, [_Shard(n, partial(read, n)) for n in range(len(shar))])
    found = speech.find(source)
    size = max(SHARD, -(-len(found) // SHARDS))
    starts = range(0, len(found), size)
    shards = [_Shard(n, found[first : first + size].copy) for n, first in enumerate(starts)]
    return _Source(speech.digest(found), shards)


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


def _write(
    out: Path, model: str | None, num_codebooks: int | None, framed: bool, shard: _Shard
) -> None:
    tokenizer = _tokenizer(model, num_codebooks, framed)
    units = tokenizer.units
    with shard_file(out, shard.number, units.num_codebooks) as made:
        for utterance in shard.load():
            first = made.frames
            kept = []
            try:
                for codes in _encoded(tokenizer, utterance):
                    made.write(codes)
                    if utterance.segments:
                        kept.append(codes)
            except SpeechLMError as error:
                made.cut(first)
                made.lines.append({"id": utterance.id, "dropped": str(error)})
                continue
            segments = _placed(utterance, kept, tokenizer)
            made.lines.append(_line(utterance, first, made.frames - first, segments))


def _encoded(tokenizer: UnitTokenizer, utterance: Utterance) -> Iterator[np.ndarray]:
    """Codes (codebooks, frames) of an utterance, piece by piece if it is long."""
    own = tokenizer.units.sample_rate
    long = utterance.pieces()
    if long is not None:
        pieces, rate = long
        waves = (torch.from_numpy(each)[None] for each in audio.resampled(pieces, rate, own))
        for codes in tokenizer.encode_pieces(waves):
            yield codes[0].cpu().numpy()
        return
    wave, rate = utterance.audio()
    if not len(wave):
        raise SpeechLMError("empty")
    whole = audio.resample(wave, rate, own)
    yield tokenizer.encode(torch.from_numpy(whole)[None])[0].cpu().numpy()


def _line(
    utterance: Utterance, first: int, frames: int, segments: list[Any] | None
) -> dict[str, Any]:
    line = {
        "id": utterance.id,
        "split": utterance.split,
        "first": first,
        "frames": frames,
        "text": utterance.text,
        "language": utterance.language,
        "speaker": utterance.speaker,
        "segments": segments,
    }
    return {name: value for name, value in line.items() if value is not None}


def _placed(
    utterance: Utterance, codes: list[np.ndarray], tokenizer: UnitTokenizer
) -> list[Any] | None:
    """The segments of an utterance, in columns of its codes; None where there are none of either,
    or nobody could say which.
    """
    if not codes:
        return None
    times = [at for _, *both in utterance.segments for at in both]
    places = tokenizer.places(np.concatenate(codes, axis=1), times)
    if places is None:
        return None
    texts = [text for text, *_ in utterance.segments]
    return [list(each) for each in zip(texts, places[::2], places[1::2], strict=True)]


@lru_cache(maxsize=1)  # a process works with one
def _tokenizer(model: str | None, num_codebooks: int | None, framed: bool) -> UnitTokenizer:
    return load(model, num_codebooks, framed)
