"""Codes are those of double precision, whatever computed them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlm import audio
from speechlm.codec import CodecConfig, NeuralCodec, reproducible
from speechlm.codec.config import SpectralConfig
from speechlm.codec.network import CodecNetwork
from speechlm.codec.reproducible import LATENT_ERROR_BOUND, Float64Encoder, VerifiedEncoder
from speechlm.codec.spectral import SpectralDecoder
from speechlm.kernels import frame_codec
from speechlm.quantize import ResidualQuantizer

from ..chunks import chunk_sizes, cut
from .tiny import HOP, config, network, waves


def coded(coder, pieces, num_codebooks):
    state = coder.initial_state(pieces[0])
    codes = []
    for piece in pieces:
        code, state = coder.step_frame(piece, num_codebooks, state) or coder.step(
            piece, num_codebooks, state
        )
        codes.append(code)
    return torch.cat(codes, dim=2)


@pytest.fixture(scope="module")
def shipped() -> NeuralCodec:
    return NeuralCodec.from_pretrained()


def recordings(sample) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    noise = torch.randn(1, 32000, generator=random)
    return {
        "speech": torch.from_numpy(audio.read(sample)[0])[None],
        "soft noise": 1e-4 * noise,
        "clipped noise": noise.clamp(-1, 1),
        "tone": torch.sin(0.05 * torch.arange(32000.0))[None],
        "silence": torch.zeros(1, 32000),
    }


@torch.inference_mode()
def test_single_precision_stays_within_the_drift(shipped, sample):
    encoder = shipped.network.encoder
    double = Float64Encoder(encoder, shipped.network.quantizer, torch.float64).encoder
    for name, wave in recordings(sample).items():
        wave = wave.double()
        spectrum, _ = encoder.stft.step(wave, encoder.stft.initial_state(wave))
        features = encoder.features(spectrum).float()
        z, _ = encoder.stack.step(features, encoder.stack.initial_state(features))
        assert (z - double(wave)).norm(dim=1).max() < LATENT_ERROR_BOUND, name


@pytest.mark.parametrize("compiled", [True, False])
@torch.inference_mode()
def test_the_shipped_codec_codes_as_doubles_do(shipped, sample, compiled, monkeypatch):
    if not compiled:
        monkeypatch.setattr(reproducible, "numba_available", lambda: False)
    parts = shipped.network.encoder, shipped.network.quantizer
    settled, doubles = VerifiedEncoder(*parts), Float64Encoder(*parts, torch.float64)
    assert (settled.frame is not None) == compiled
    for name, wave in recordings(sample).items():
        wave = wave[:, :32000]
        expected = coded(doubles, [wave], 12)
        assert torch.equal(coded(settled, [wave], 12), expected), name
        assert torch.equal(coded(settled, wave.split(320, dim=1), 12), expected), name


@settings(max_examples=20, deadline=None)
@given(
    samples=st.integers(1, 40 * HOP),
    batch=st.integers(1, 2),
    sizes=chunk_sizes(3 * HOP),
    whole=st.booleans(),
    seed=st.integers(0, 100),
)
@torch.inference_mode()
def test_settling_any_frame_of_any_chunk_gives_its_codes(samples, batch, sizes, whole, seed):
    """With a drift beyond all distances each frame is computed once more."""
    net = network(config())
    settled, doubles = (
        coder(net.encoder, net.quantizer, *more)
        for coder, more in ((VerifiedEncoder, ()), (Float64Encoder, (torch.float64,)))
    )
    wave = waves(batch, samples, seed)
    pieces = wave.split(HOP, dim=1) if whole else cut(wave, sizes)
    recomputed = 0
    search = settled.search.exact

    def count(rows, num_codebooks):
        nonlocal recomputed
        recomputed += len(rows)
        return search(rows, num_codebooks)

    settled.search.exact = count
    before = reproducible.LATENT_ERROR_BOUND
    reproducible.LATENT_ERROR_BOUND = 1e6
    try:
        codes = coded(settled, list(pieces), 3)
    finally:
        reproducible.LATENT_ERROR_BOUND = before
    assert recomputed == codes.shape[0] * codes.shape[2]
    assert torch.equal(codes, coded(doubles, [wave], 3))


@pytest.mark.parametrize(("head", "overlap"), [("complex", None), ("complex", 4), ("polar", None)])
@torch.inference_mode()
def test_compiled_frames_are_those_of_the_decoder(head, overlap):
    torch.manual_seed(0)
    spectral = SpectralConfig(decoder_dim=32, head=head, overlap=overlap)
    made = CodecConfig(latent=24, hop_length=HOP, spectral=spectral)
    net = CodecNetwork(made).eval()
    decoder, quantizer = net.decoder, net.quantizer
    assert isinstance(decoder, SpectralDecoder)
    assert isinstance(quantizer, ResidualQuantizer)
    for half in (False, True):
        if half:
            net.half().float()
        frame = frame_codec.FrameDecoder(decoder, quantizer.codebook_vectors())
        assert (frame.vectors.dtype == np.uint16) == half
        codes = torch.randint(0, 1024, (1, 6, 30))
        z = quantizer.decode(codes)
        whole = decoder(z)
        state, parts = decoder.initial_state(z), []
        for t in range(30):
            # From one to the other and back, over the same state.
            if t % 5 == 4:
                plain = (
                    state.torch_state() if isinstance(state, frame_codec.DecoderState) else state
                )
                wave, state = decoder.step(z[:, :, t : t + 1], plain)
            else:
                wave, state = frame.step(codes[:, :, t : t + 1], state)
            parts.append(wave)
        torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-4, rtol=1e-4)
        good = codes[:, :, :1]
        ragged, above, below = good.clone(), good.clone(), good.clone()
        ragged[0, 2:], above[0, 2], below[0, 2] = -1, 1024, -2
        others = codes[:, :, :2], good.expand(2, -1, -1), good[0], good[:, :0], good.int()
        for other in (ragged, above, below, good.repeat(1, 9, 1), *others):
            assert frame.step(other, state) is None
