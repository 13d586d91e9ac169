"""A spectral codec for a browser: what ``docs/demo`` loads.

::

    encoder.onnx         features (1, 2 * bins, frames), state_0, ...
                         ->  latents (1, dim, frames), codes (1, codebooks, frames),
                             margins (1, codebooks, frames), next_0, ...
    decoder.onnx         latents (1, dim, frames), state_0, ...
                         ->  wave (1, frames * hop_length), next_0, ...
    codec.safetensors    codebooks, encoder weights, window; its metadata describe the codec
    context.safetensors  the entropy model, if the codec has one

Calls take any number of frames; a stream begins with zeros for every state. Features are those of
:meth:`~speechlm.codec.spectral.SpectralEncoder.features`, computed in double precision and rounded.

The graphs compute in single precision, Python's codes are those of double precision. A margin is by
how much the score of the nearest entry exceeds that of the next, less what rounding of latents and
scores may change (:class:`~speechlm.codec.reproducible.VerifiedEncoder` has the same bounds). Where
it is positive, the code is right. The page encodes other frames again in double precision by the
weights in ``codec.safetensors``, so all its codes are those of Python.
"""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from speechlm import hub
from speechlm.codec.neural import NeuralCodec
from speechlm.codec.onnx import StepGraph, check_packages, replace_transforms, write_graph
from speechlm.codec.reproducible import LATENT_ERROR_BOUND
from speechlm.codec.spectral import SpectralDecoder, SpectralEncoder
from speechlm.errors import SpeechLMError
from speechlm.nn import ConvNeXtBlock
from speechlm.quantize import ResidualQuantizer
from speechlm.quantize.search import ResidualSearch
from speechlm.utils import int8
from speechlm.utils.files import atomic_path
from speechlm.utils.safetensors import sort_metadata

FRAMES = 3
"""Of the example that the graphs are traced on; any other number works too."""
SMALL = 1024
"""Arrays of fewer elements stay as they are."""


def export(model: str | Path | None, folder: str | Path) -> list[Path]:
    """Write the files of the codec ``model`` into ``folder``.

    Raises:
        SpeechLMError: when it is not a spectral codec with a residual vector quantizer, or the
            extra ``onnx`` is not installed.
    """
    check_packages()
    codec = NeuralCodec.from_pretrained(model)
    network = copy.deepcopy(codec.network)
    encoder, decoder, quantizer = network.encoder, network.decoder, network.quantizer
    if not (
        isinstance(encoder, SpectralEncoder)
        and isinstance(decoder, SpectralDecoder)
        and isinstance(quantizer, ResidualQuantizer)
        and quantizer.stages[0].codebook_dim is None
    ):
        raise SpeechLMError(
            f"{codec.model_id}: the browser runs spectral codecs of plain residual vectors only"
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    features = torch.zeros(1, 2 * (codec.hop_length + 1), FRAMES)
    latents = torch.zeros(1, network.config.latent, FRAMES)
    facts = {"model": codec.model_id, "weights_hash": codec.weights_hash}
    paths = [folder / "encoder.onnx", folder / "decoder.onnx", folder / "codec.safetensors"]
    decoder = replace_transforms(decoder)
    outputs = ["latents", "codes", "margins"]
    write_graph(EncoderGraph(encoder, quantizer), features, ["features"], outputs, facts, paths[0])
    write_graph(StepGraph(decoder), latents, ["latents"], ["wave"], facts, paths[1])
    for path in paths[:2]:
        shrink_weights(path)
    _write_weights(codec, paths[2])
    if codec.entropy is not None:
        with atomic_path(folder / hub.CONTEXT) as path:
            shutil.copyfile(hub.find_model(model) / hub.CONTEXT, path)
        paths.append(folder / hub.CONTEXT)
    return paths


class EncoderGraph(StepGraph):
    """The encoder after its Fourier transform, and the search of the codebooks."""

    def __init__(self, encoder: SpectralEncoder, quantizer: ResidualQuantizer):
        super().__init__(encoder.stack)
        self.stages = ResidualSearch(quantizer).stages

    def forward(self, x: Tensor, state: list[Tensor]) -> Any:
        z, after = super().forward(x, state)
        rows = z[0].T
        codes, margins = [], []
        for stage in self.stages:
            scores, code = torch.topk(rows @ stage.single.T + stage.shift, 2)
            slack = stage.slope * rows.norm(dim=1) + stage.least
            drift = 2 * LATENT_ERROR_BOUND * stage.longest
            codes.append(code[:, 0])
            margins.append(scores[:, 0] - scores[:, 1] - slack - drift)
            rows = rows - F.embedding(code[:, 0], stage.single)
        return z, torch.stack(codes)[None], torch.stack(margins)[None], after


def shrink_weights(path: Path) -> None:
    """Store weights in half precision, or in eight bits, where that is exact; the graph casts."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(path)
    graph, casts = model.graph, []
    for tensor in list(graph.initializer):
        array = numpy_helper.to_array(tensor)
        if array.dtype != np.float32 or array.size < SMALL:
            continue
        name, parts = tensor.name, _smaller(array)
        if parts is None:
            continue
        graph.initializer.remove(tensor)
        for part, value in parts.items():
            graph.initializer.append(numpy_helper.from_array(value, f"{name}.{part}"))
            wide = name if len(parts) == 1 else f"{name}.{part}.float"
            node = helper.make_node("Cast", [f"{name}.{part}"], [wide], to=onnx.TensorProto.FLOAT)
            casts.append(node)
        if len(parts) > 1:
            wide = [f"{name}.{part}.float" for part in parts]
            casts.append(helper.make_node("Mul", wide, [name]))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    with atomic_path(path) as temporary:
        onnx.save(model, temporary)


def _smaller(array: NDArray[np.float32]) -> dict[str, NDArray[Any]] | None:
    """Arrays whose product is exactly ``array``, in fewer bytes; None if there are none."""
    value = torch.from_numpy(array.copy())
    for rows in (value, value.mT) if value.dim() == 2 else ():
        whole, scale = int8.pack(rows)
        if int8.pays(rows) and torch.equal(int8.unpack(whole, scale), rows):
            steps, scale = (whole, scale[:, None]) if rows is value else (whole.mT, scale[None])
            return {"steps": steps.contiguous().numpy(), "scale": scale.numpy()}
    half = value.half()
    return {"half": half.numpy()} if torch.equal(half.float(), value) else None


def _write_weights(codec: NeuralCodec, path: Path) -> None:
    """Write what the page computes by itself."""
    from safetensors.torch import save_file

    encoder, quantizer = codec.network.encoder, codec.network.quantizer
    assert isinstance(encoder, SpectralEncoder)
    silence = codec.encode(torch.zeros(1, 100 * codec.hop_length))[0, :, -1]
    tensors = {
        "codebooks": quantizer.codebook_vectors().half(),
        "silence": silence.int(),
        "window": encoder.stft.window,
        **{f"encoder.{name}": value.half() for name, value in encoder.stack.state_dict().items()},
    }
    blocks = [isinstance(stage, ConvNeXtBlock) for stage in encoder.stack.stages]
    facts = {
        "model": codec.model_id,
        "weights_hash": codec.weights_hash,
        "sample_rate": codec.sample_rate,
        "hop_length": codec.hop_length,
        "decoder_delay": codec.decoder_delay,
        "num_codebooks": codec.num_codebooks,
        "codebook_size": codec.codebook_size,
        "compress": encoder.compress,
        "blocks": sum(blocks),
        "error_bound": LATENT_ERROR_BOUND,
    }
    with atomic_path(path) as temporary:
        stored = {name: value.contiguous() for name, value in tensors.items()}
        save_file(stored, temporary, {name: str(fact) for name, fact in facts.items()})
        sort_metadata(temporary)
