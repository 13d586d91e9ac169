"""What the codec may not know yet, and when it must be done."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speechlm.codec import CodecConfig, CodecNetwork, NeuralCodec

from .tiny import ARCHITECTURES, HOP, KINDS, assert_same_wave, codec, config, network, waves


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25)
@given(at=st.integers(0, 12 * HOP - 1), scale=st.sampled_from([1e-3, 1.0, 3.0]))
def test_the_future_never_changes_the_past(architecture, kind, at, scale):
    model = codec(architecture, kind)
    wave = waves(1, 12 * HOP)
    other = wave.clone()
    other[:, at:] = scale * waves(1, 12 * HOP - at, seed=1)
    codes, changed = model.encode(wave), model.encode(other)
    # Frame t ends with sample (t + 1) * hop - 1.
    assert torch.equal(codes[:, :, : at // HOP], changed[:, :, : at // HOP])
    known = max(at - model.latency + 1, 0)
    assert_same_wave(model.decode(changed)[:, :known], model.decode(codes)[:, :known])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_latency_is_as_stated_and_no_less(architecture):
    """Sample n of the output comes with sample n + latency - 1 of the input, at the latest."""
    model = codec(architecture)
    encoder, decoder = model.stream_encoder(), model.stream_decoder()
    done, lags = 0, []
    for pushed, sample in enumerate(waves(1, 8 * HOP).split(1, dim=1), start=1):
        done += decoder.push(encoder.push(sample)).shape[1]
        lags.append(pushed - done)
    assert max(lags[model.latency :]) == model.latency - 1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@torch.no_grad()
def test_output_depends_on_input_up_to_the_latency(architecture):
    """One sample is moved, without quantization, which would hide a small change."""
    net = network(config(architecture)).double().eval()
    wave = waves(1, 12 * HOP).double()
    plain = net.decoder(net.encoder(wave))[:, net.decoder_delay :]
    leads = []
    for at in range(4 * HOP, 5 * HOP):
        moved = wave.clone()
        moved[0, at] += 0.1
        output = net.decoder(net.encoder(moved))[:, net.decoder_delay :]
        first = int((output != plain)[0].nonzero()[0])
        leads.append(at - first)
    # The synthesis window of a spectral frame begins with a zero: one sample less is seen.
    window = 1 if architecture.startswith("spectral") else 0
    latency = HOP + net.decoder_delay
    assert max(leads) == latency - 1 - window


def test_the_default_codec_is_late_by_40_ms():
    model = NeuralCodec(CodecNetwork(CodecConfig()))
    assert model.latency == 640
    assert model.latency / model.sample_rate <= 0.040
    assert model.frame_rate == 50
    assert model.num_frames(16000) == 51
    encoder, decoder = model.stream_encoder(), model.stream_decoder()
    done = [
        decoder.push(encoder.push(hop_length)).shape[1]
        for hop_length in waves(1, 5 * 320).split(320, dim=1)
    ]
    # Sample 0 is out with sample 639.
    assert done == [0, 320, 320, 320, 320]
