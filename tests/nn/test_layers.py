"""What the layers compute, against torch's own and against their formulas."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from speechlm.nn import (
    CausalConv1d,
    CausalConvTranspose1d,
    CausalISTFT,
    CausalSTFT,
    ConvNeXtBlock,
    power_law,
)
from speechlm.nn.depthwise import depthwise as depthwise_convolution

from ..chunks import chunk_sizes
from .modules import convolutions, depthwise, streamed, transposed

close = torch.testing.assert_close


@given(made=st.one_of(convolutions(), depthwise(3)), steps=st.integers(0, 60))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@torch.no_grad()
def test_causal_convolution_is_torchs_on_padded_input(dtype, made, steps):
    module, _ = made
    module = module.to(dtype)
    x = torch.randn(2, module.conv.in_channels, steps, dtype=dtype)
    padded = F.pad(x, (module.reach - module.stride, 0))
    if padded.shape[2] < module.reach:  # torch refuses to convolve these
        assert module(x).shape == (2, module.conv.out_channels, 0)
        return
    close(module(x), module.conv(padded), atol=1e-5, rtol=1e-5)


@given(made=transposed(3), steps=st.integers(1, 40))
@torch.no_grad()
def test_transposed_convolution_is_torchs_without_its_tail(made, steps):
    module, _ = made
    x = torch.randn(2, 3, steps)
    close(module(x), module.conv(x)[:, :, : steps * module.stride], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_convnext_block_is_its_formula():
    torch.manual_seed(0)
    block = ConvNeXtBlock(3, expansion=2, kernel=5, scale=0.3)
    x = torch.randn(2, 3, 11)
    y = block.depthwise.conv(F.pad(x, (4, 0)))
    y = F.layer_norm(y.transpose(1, 2), (3,))
    y = F.linear(F.gelu(F.linear(y, block.up.weight, block.up.bias)), block.down.weight)
    y = (y + block.down.bias) * 0.3
    close(block(x), x + y.transpose(1, 2))


@given(hop_length=st.integers(1, 24), samples=st.integers(0, 200), sizes=chunk_sizes(30))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_stft_and_inverse_give_the_signal_back_one_hop_late(dtype, hop_length, samples, sizes):
    stft, istft = (
        CausalSTFT(hop_length, 2 * hop_length).to(dtype),
        CausalISTFT(hop_length).to(dtype),
    )
    x = torch.randn(2, samples, dtype=dtype)
    y = streamed(istft, streamed(stft, x, sizes), sizes)
    whole = samples // hop_length * hop_length
    assert y.shape == (2, whole)
    # The delay is window - hop = hop: at first silence, then the input.
    close(y, F.pad(x, (hop_length, 0))[:, :whole], atol=1e-5, rtol=1e-5)


@given(hop_length=st.integers(2, 24), data=st.data(), frames=st.integers(1, 9))
def test_windows_of_a_short_overlap_add_up_to_the_signal(hop_length, data, frames):
    overlap = data.draw(st.integers(1, hop_length - 1).filter(lambda n: (hop_length + n) % 2 == 0))
    istft = CausalISTFT(hop_length, overlap).double()
    x = torch.randn(1, (frames + 1) * hop_length, dtype=torch.float64)
    # Frame t holds the samples from t * hop on, not tapered, at the scale of the analysis.
    parts = x.unfold(1, hop_length + overlap, hop_length)[:, :frames]
    slope = torch.hann_window(2 * overlap, dtype=torch.float64)
    scale = (hop_length - overlap + slope.square().sum()).sqrt()
    y = istft(torch.fft.rfft(parts).transpose(1, 2) / scale)
    close(y[:, overlap:], x[:, overlap : frames * hop_length], atol=1e-6, rtol=1e-5)


def test_an_stft_frame_ends_with_the_last_sample_of_its_hop():
    hop_length, window = 4, 12
    stft = CausalSTFT(hop_length, window)
    x = torch.randn(1, 20)
    taper = torch.hann_window(window).sqrt()
    past = F.pad(x, (window - hop_length, 0))
    for t, frame in enumerate(stft(x)[0].T):
        part = past[0, t * hop_length : t * hop_length + window]
        close(frame, torch.fft.rfft(part * taper) / taper.norm(), atol=1e-6, rtol=1e-5)


def test_noise_of_unit_variance_has_bins_of_unit_variance():
    torch.manual_seed(0)
    spectrum = CausalSTFT(32, 64)(torch.randn(1, 200_000))
    power = spectrum.abs().square().mean(dim=(0, 2))
    # 6250 frames that overlap by half: 5 standard errors are below 0.1.
    close(power, torch.ones(33), atol=0.1, rtol=0)


@given(exponent=st.floats(0.2, 1.0), scale=st.floats(-3, 3))
def test_power_expansion_inverts_compression_and_keeps_the_phase(exponent, scale):
    x = torch.randn(50, dtype=torch.complex128) * 10**scale
    real, imag = power_law(x.real, x.imag, exponent)
    squeezed = torch.complex(real, imag)
    close(squeezed.abs(), x.abs() ** exponent)
    close(squeezed.angle(), x.angle())
    close(torch.complex(*power_law(real, imag, 1 / exponent)), x)


def test_power_compression_has_a_bounded_slope_at_zero():
    x = torch.zeros(3, requires_grad=True)
    real, imag = power_law(x, x, 0.3)
    (real + imag).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: CausalConv1d(1, 1, kernel=2, stride=3),
        lambda: CausalConv1d(1, 1, kernel=0),
        lambda: CausalConv1d(1, 1, kernel=3, stride=0),
        lambda: CausalConv1d(1, 1, kernel=3, dilation=0),
        lambda: CausalConv1d(3, 3, kernel=3, groups=2),
        lambda: CausalConvTranspose1d(1, 1, kernel=2, stride=3),
        lambda: CausalConvTranspose1d(1, 1, kernel=2, stride=0),
        lambda: ConvNeXtBlock(2, kernel=0),
        lambda: CausalSTFT(4, 6),
        lambda: CausalSTFT(4, 0),
        lambda: CausalSTFT(0, 4),
        lambda: CausalISTFT(0),
        lambda: CausalISTFT(4, 0),
        lambda: CausalISTFT(4, 6),
        lambda: CausalISTFT(4, 1),
    ],
)
def test_impossible_sizes_are_value_errors(make):
    with pytest.raises(ValueError, match=r"\w"):
        make()


@pytest.mark.parametrize("dilation", [1, 3])
def test_gradients_of_a_depthwise_convolution_are_pytorchs(dilation):
    random = torch.Generator().manual_seed(0)
    inputs = [torch.randn(shape, generator=random) for shape in ((2, 5, 60), (5, 1, 4), (5,))]
    grad = torch.randn(2, 5, 60 - 3 * dilation, generator=random)
    found = []
    for function in (
        lambda x, w, b: depthwise_convolution(x, w, b, dilation),
        lambda x, w, b: F.conv1d(x, w, b, dilation=dilation, groups=5),
    ):
        leaves = [each.clone().requires_grad_() for each in inputs]
        y = function(*leaves)
        y.backward(grad)
        found.append([y, *(leaf.grad for leaf in leaves)])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, atol=1e-4)
