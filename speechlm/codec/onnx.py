"""A codec as two ONNX graphs, for use without PyTorch.

::

    encoder.onnx    wave (1, hop), state_0, ...       ->  codes (1, codebooks, 1), next_0, ...
    decoder.onnx    codes (1, codebooks, 1), state_0, ...  ->  wave (1, hop), next_0, ...

Each call takes one frame. A stream begins with zeros for every state and hands each ``next_i`` to
the next call as ``state_i``; what the decoder gives lags the encoder's input by ``delay`` samples,
and a recording is followed by zeros until its last sample has come out. The metadata of both files
say model, weights_hash, sample_rate, hop, delay, levels and cardinality.

All is computed in single precision. Within rounding the graphs give what the PyTorch codec gives,
whose codes are those of double precision: where two entries are as near, a code may be the other.
"""

from __future__ import annotations

import copy
import importlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from speechlm import hub
from speechlm.codec.network import CodecNetwork
from speechlm.errors import SpeechLMError
from speechlm.nn import CausalISTFT, CausalSTFT, State, Streaming
from speechlm.quantize import Quantizer
from speechlm.utils.files import atomic_path

OPSET = 20
"""The first with Gelu as one operation; onnxruntime has it since 1.17."""


def export(network: CodecNetwork, num_codebooks: int, folder: str | Path) -> list[Path]:
    """Write ``encoder.onnx`` and ``decoder.onnx``, both for so many ``num_codebooks``.

    Raises:
        SpeechLMError: when the extra ``onnx`` is not installed.
    """
    check_packages()
    config = network.config
    facts = {
        "model": config.name,
        "weights_hash": hub.weights_hash(network.code_weights()),
        "sample_rate": config.sample_rate,
        "hop": config.hop_length,
        "delay": network.decoder_delay,
        "levels": num_codebooks,
        "cardinality": network.quantizer.codebook_size,
    }
    network = copy.deepcopy(network).eval().requires_grad_(False)
    encoder = EncoderStep(replace_transforms(network.encoder), network.quantizer, num_codebooks)
    decoder = DecoderStep(replace_transforms(network.decoder), network.quantizer)
    wave = torch.zeros(1, config.hop_length)
    codes = torch.zeros(1, num_codebooks, 1, dtype=torch.int64)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return [
        write_graph(encoder, wave, ["wave"], ["codes"], facts, folder / "encoder.onnx"),
        write_graph(decoder, codes, ["codes"], ["wave"], facts, folder / "decoder.onnx"),
    ]


def check_packages() -> None:
    """Raises: SpeechLMError, when the extra ``onnx`` is not installed."""
    for package in ("onnx", "onnxscript"):
        try:
            importlib.import_module(package)
        except ImportError:
            raise SpeechLMError(f"{package} is missing: pip install 'speechlm[onnx]'") from None


class EncoderStep(nn.Module):
    """One frame of a waveform to its codes."""

    def __init__(self, encoder: Streaming, quantizer: Quantizer, num_codebooks: int):
        super().__init__()
        self.encoder = encoder
        self.quantizer = quantizer
        self.num_codebooks = num_codebooks

    def initial_state(self, like: Tensor) -> State:
        return self.encoder.initial_state(like)

    def forward(self, wave: Tensor, state: State) -> tuple[Tensor, State]:
        z, state = self.encoder.step(wave, state)
        return self.quantizer.encode(z, self.num_codebooks), state


class DecoderStep(nn.Module):
    """The codes of one frame to a hop of the waveform."""

    def __init__(self, decoder: Streaming, quantizer: Quantizer):
        super().__init__()
        self.decoder = decoder
        self.quantizer = quantizer

    def initial_state(self, like: Tensor) -> State:
        return self.decoder.initial_state(self.quantizer.decode(like))

    def forward(self, codes: Tensor, state: State) -> tuple[Tensor, State]:
        return self.decoder.step(self.quantizer.decode(codes), state)


class StepGraph(nn.Module):
    """A streaming module by itself, whose state is a list."""

    def __init__(self, part: Streaming):
        super().__init__()
        self.part = part

    def initial_state(self, like: Tensor) -> State:
        self.layout = self.part.initial_state(like)
        return _leaves(self.layout)

    def forward(self, x: Tensor, state: list[Tensor]) -> Any:
        y, after = self.part.step(x, _arranged(iter(state), self.layout))
        return y, _leaves(after)


class MatrixSTFT(Streaming):
    """:class:`CausalSTFT` for a single frame of two hops, as one product with a matrix.

    onnxruntime's own transform takes four times as long for 640 samples.
    """

    matrix: Tensor

    def __init__(self, stft: CausalSTFT):
        super().__init__()
        self.hop_length = stft.hop_length
        rows = torch.eye(stft.size, dtype=torch.float64) * stft.window
        spectra = torch.fft.rfft(rows)
        self.register_buffer("matrix", torch.cat([spectra.real, spectra.imag], dim=1).float())

    def initial_state(self, like: Tensor) -> State:
        return like.new_zeros(like.shape[0], self.hop_length)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        parts = torch.cat([state, x], dim=1) @ self.matrix
        return torch.complex(*parts.unsqueeze(2).chunk(2, dim=1)), x


class MatrixISTFT(Streaming):
    """:class:`CausalISTFT` as one product with a matrix."""

    matrix: Tensor

    def __init__(self, istft: CausalISTFT):
        super().__init__()
        self.hop_length, self.overlap = istft.hop_length, istft.overlap
        size = istft.hop_length + istft.overlap
        rows = torch.eye(size // 2 + 1, dtype=torch.complex128)
        frames = torch.fft.irfft(torch.cat([rows, 1j * rows]), n=size)
        self.register_buffer("matrix", (frames * istft.window).float())

    def initial_state(self, like: Tensor) -> State:
        return like.real.new_zeros(like.shape[0], 1, self.overlap)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        frames = torch.cat([x.real, x.imag], dim=1).transpose(1, 2) @ self.matrix
        tail = frames[..., self.hop_length :]
        before = torch.cat([state, tail], dim=1)[:, :-1]
        head = frames[..., : self.overlap] + before
        wave = torch.cat([head, frames[..., self.overlap : self.hop_length]], dim=2)
        return wave.flatten(1), tail[:, -1:]


def replace_transforms(part: Streaming) -> Streaming:
    """Put matrices in the place of the Fourier transforms of ``part``."""
    for parent in list(part.modules()):
        for name, child in parent.named_children():
            if isinstance(child, CausalSTFT):
                setattr(parent, name, MatrixSTFT(child))
            elif isinstance(child, CausalISTFT):
                setattr(parent, name, MatrixISTFT(child))
    return part


def write_graph(
    step: EncoderStep | DecoderStep | StepGraph,
    x: Tensor,
    inputs: list[str],
    outputs: list[str],
    facts: dict[str, Any],
    path: Path,
) -> Path:
    """Trace ``step`` on ``x`` into ``path``; a :class:`StepGraph` for any number of frames."""
    state = step.initial_state(x)
    frames = {2: torch.export.Dim("frames", min=1, max=1 << 16)}
    number = len(_leaves(state))
    logging.getLogger("torch.onnx").setLevel(
        logging.ERROR
    )  # it misses torchvision, which we do not
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            step,
            (x, state),
            dynamo=True,
            verbose=False,
            dynamic_shapes=(frames, [None] * number) if isinstance(step, StepGraph) else None,
            opset_version=OPSET,
            input_names=[*inputs, *(f"state_{i}" for i in range(number))],
            output_names=[*outputs, *(f"next_{i}" for i in range(number))],
        )
    assert program is not None
    program.model.metadata_props.update({name: str(fact) for name, fact in facts.items()})
    with atomic_path(path) as temporary:
        program.save(temporary)
    return path


def _leaves(state: State) -> list[Tensor]:
    """The tensors of a state, in the order of its nesting."""
    if isinstance(state, Tensor):
        return [state]
    return [leaf for child in state for leaf in _leaves(child)]


def _arranged(leaves: Iterator[Tensor], layout: State) -> State:
    """The inverse of :func:`_leaves`."""
    if isinstance(layout, Tensor):
        return next(leaves)
    return tuple(_arranged(leaves, child) for child in layout)
