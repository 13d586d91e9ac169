"""Public objects as values: a copy does what the original does, here and in another process.

The models are those that the package ships, so each kind of part is among them.
"""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from collections.abc import Callable, Iterator
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from speechlm import audio
from speechlm.codec import Codec

CODECS = ("codec-16k", "codec-nano", "codec-fsq")
SECONDS = 1


def pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value, 5))


COPIES: dict[str, Callable[[Any], Any]] = {"deepcopy": copy.deepcopy, "pickle": pickled}
copied = pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)


@pytest.fixture(scope="module")
def other_process() -> Iterator[Pool]:
    """A process that was spawned: it has nothing but what is sent to it."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        yield pool


@pytest.fixture(scope="module")
def wave(sample: Path) -> Tensor:
    samples, _ = audio.read(sample, 16000)
    return torch.from_numpy(samples[2 * 16000 : (2 + SECONDS) * 16000])[None]


@pytest.fixture(scope="module", params=CODECS)
def codec(request: pytest.FixtureRequest) -> Codec:
    return Codec.from_pretrained(request.param)


@copied
def test_codec(codec: Codec, wave: Tensor, copied: Callable[[Any], Any]) -> None:
    codes = codec.encode(wave)
    sound = codec.decode(codes, wave.shape[1])
    again = copied(codec)
    assert again is not codec
    assert (again.model_id, again.weights_hash) == (codec.model_id, codec.weights_hash)
    assert again.fingerprint == codec.fingerprint
    assert torch.equal(again.encode(wave), codes)
    assert torch.equal(again.decode(codes, wave.shape[1]), sound)
    if codec.entropy is not None:
        frames = codes[0].numpy()[:, :20]
        assert again.entropy is not None
        assert again.entropy.encode(frames) == codec.entropy.encode(frames)


def test_codec_in_another_process(codec: Codec, wave: Tensor, other_process: Pool) -> None:
    codes = codec.encode(wave)
    assert torch.equal(other_process.apply(codec.encode, (wave,)), codes)
    sound = other_process.apply(codec.decode, (codes, wave.shape[1]))
    assert torch.equal(sound, codec.decode(codes, wave.shape[1]))


@copied
def test_streams(codec: Codec, wave: Tensor, copied: Callable[[Any], Any]) -> None:
    """Copies taken in the middle go on as the originals do, whatever these take in between."""
    encoder, decoder = codec.stream_encoder(), codec.stream_decoder()
    chunks = wave.split(codec.hop, dim=1)
    for chunk in chunks[:25]:
        decoder.push(encoder.push(chunk))
    twins = copied((encoder, decoder))
    decoder.push(encoder.push(0.1 * torch.ones(1, 3 * codec.hop)))
    decoder.conceal(2)
    expected, found = codec.stream_encoder(), []
    codes = torch.cat([expected.push(chunk) for chunk in chunks], dim=2)
    sound = codec.decode(codes)[:, 25 * codec.hop - codec.delay :]
    for at, chunk in enumerate(chunks[25:], start=25):
        code = twins[0].push(chunk)
        assert torch.equal(code, codes[:, :, at : at + 1])
        found.append(twins[1].push(code))
    assert torch.allclose(torch.cat(found, dim=1), sound, atol=1e-4)


def test_double(codec: Codec, wave: Tensor) -> None:
    """Codes are those of double precision anyway; sound differs by rounding alone."""
    precise = copy.deepcopy(codec).double()
    codes = codec.encode(wave)
    assert torch.equal(precise.encode(wave), codes)
    sound = precise.decode(codes, wave.shape[1])
    assert sound.dtype == torch.float64
    assert torch.allclose(sound.float(), codec.decode(codes, wave.shape[1]), atol=1e-4)
    back = precise.to(dtype=torch.float32)
    assert torch.equal(back.decode(codes), codec.decode(codes))
