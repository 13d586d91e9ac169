"""Training on frames of different numbers of levels."""

from __future__ import annotations

import io
import math
from pathlib import Path

import pytest
import torch

import speechlm
from speechlm import audio
from speechlm.bitstream import Reader
from speechlm.codec import NeuralCodec
from speechlm.compression.encoder import encode_whole
from speechlm.compression.rate_target import RateTarget
from speechlm.errors import SpeechLMError
from speechlm.training import variable_rate
from speechlm.training.codec import CodecObjective

from .runs import recipe

SAMPLE = Path(speechlm.__file__).parent / "assets" / "sample.flac"
CLOSE = {"atol": 1e-3, "rtol": 0.0}


@pytest.fixture(scope="module")
def codec() -> NeuralCodec:
    """The shipped one: a quantizer of random weights errs more with every level."""
    codec = NeuralCodec.from_pretrained()
    codec.entropy = None
    return codec


@pytest.fixture(scope="module")
def speech() -> torch.Tensor:
    return torch.from_numpy(audio.read(SAMPLE, 16000)[0][None, 8000:40000])


def test_constant_levels_are_those_of_the_codec(codec: NeuralCodec, speech: torch.Tensor) -> None:
    num_codebooks = torch.tensor([1, 5, 12])
    wave, net = speech.expand(3, -1), codec.network
    none = torch.full((3,), math.nan)
    given = variable_rate.latents(net, wave, variable_rate.silence(net), num_codebooks, none)
    codes = codec.encode(speech)
    for row, kept in enumerate(num_codebooks.tolist()):
        torch.testing.assert_close(given[row], codec.latents(codes[:, :kept])[0], **CLOSE)


def test_qualities_cut_as_files_do(codec: NeuralCodec, speech: torch.Tensor) -> None:
    """What the decoder is trained on is what it is given of a file of packed codes."""
    net, qualities = codec.network, [0.0, 3.0, variable_rate.HIGHEST]
    wave, num_codebooks = speech.expand(3, -1), torch.full((3,), 12)
    given = variable_rate.latents(
        net, wave, variable_rate.silence(net), num_codebooks, torch.tensor(qualities)
    )
    means = []
    for row, quality in enumerate(qualities):
        file = io.BytesIO()
        encode_whole([speech[0].numpy()], file, codec, RateTarget(quality=quality))
        file.seek(0)
        codes = torch.cat([torch.from_numpy(part.codes) for part in Reader(file)], dim=1)[None]
        torch.testing.assert_close(given[row], codec.latents(codes.long())[0], **CLOSE)
        counts = (codes >= 0).sum(dim=1)
        assert counts.unique().numel() > 1
        means.append(float(counts.float().mean()))
    assert means == sorted(means)


def test_needs_codes_that_stay(corpus: Path, tmp_path: Path) -> None:
    made = recipe(corpus, tmp_path)
    made.quantization.variable_rate_prob = 0.5
    with pytest.raises(SpeechLMError, match="decoder_only=true"):
        CodecObjective(made)
