"""The network in training, against the codec in use."""

from __future__ import annotations

import pytest
import torch

from speechlm.codec import NeuralCodec

from .tiny import ARCHITECTURES, HOP, KINDS, assert_same_wave, config, network, waves

every_network = [
    pytest.mark.parametrize("architecture", ARCHITECTURES),
    pytest.mark.parametrize("kind", KINDS),
]
pytestmark = every_network


@torch.no_grad()
def test_what_is_trained_is_what_is_used(architecture, kind):
    net = network(config(architecture, kind)).eval()
    wave = waves(2, 20 * HOP + 5)
    num_codebooks = torch.tensor([1, net.quantizer.num_codebooks])
    estimate, quantized = net(wave, num_codebooks)
    assert estimate.shape == wave.shape
    codec = NeuralCodec(net)
    for i, kept in enumerate(num_codebooks.tolist()):
        codes = codec.encode(wave[i : i + 1], num_codebooks=kept)
        # Single against double precision: the codes agree but where two entries nearly tie.
        assert (codes == quantized.codes[i, :kept]).double().mean() > 0.98
        if torch.equal(codes[0], quantized.codes[i, :kept]):
            assert_same_wave(codec.decode(codes, wave.shape[1]), estimate[i : i + 1])


def test_the_gradient_reaches_every_weight(architecture, kind):
    net = network(config(architecture, kind))
    wave = waves(2, 20 * HOP)
    for _ in range(net.quantizer.num_codebooks):
        estimate, quantized = net(wave)
    (estimate.square().sum() + sum(quantized.losses.values())).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@torch.no_grad()
def test_bypass_decodes_the_latents_themselves(architecture, kind):
    net = network(config(architecture, kind)).eval()
    wave = waves(2, 20 * HOP)
    estimate, quantized = net(wave, bypass=True)
    assert quantized.codes.shape[1] == 0
    assert not quantized.losses
    z = net.encoder(net.padded(wave))
    torch.testing.assert_close(quantized.z, z)
    assert_same_wave(estimate, net.sound(z, wave.shape[1]))
