"""Self-supervised networks as teachers, by their names in transformers and torchaudio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from speechlm import hub
from speechlm.errors import SpeechLMError
from speechlm.tokenizers.features.base import Teacher


class TransformersTeacher(Teacher):
    """Outputs of ``layers`` (None: the last) of an audio model of transformers, side by side.

    ``name`` is a folder or a hub id of a model that takes waveforms: HuBERT, wav2vec 2.0, data2vec
    (audio), WavLM.

    Raises:
        SpeechLMError: when it cannot be loaded, or has no such layer.
    """

    def __init__(self, name: str, layers: Sequence[int | None]) -> None:
        try:
            import transformers
        except ImportError:
            raise SpeechLMError(
                "transformers is not installed: pip install 'speechlm[hf]'"
            ) from None
        try:
            self.network: Any = transformers.AutoModel.from_pretrained(
                name, trust_remote_code=False
            ).eval()
            self.prepare: Any = transformers.AutoFeatureExtractor.from_pretrained(name)
            config = self.network.config
            self.kernels = list(zip(config.conv_kernel, config.conv_stride, strict=True))
        except Exception as error:  # the hub's client raises a dozen unrelated types
            raise SpeechLMError(f"{name}: no audio model of transformers: {_line(error)}") from None
        self.layers = [_layer(name, each, config.num_hidden_layers) for each in layers]
        self.sample_rate = int(self.prepare.sampling_rate)
        self.hop_length = int(np.prod([stride for _, stride in self.kernels]))
        self.dim = int(config.hidden_size) * len(layers)
        digest = hub.weights_hash(self.network.state_dict())
        self.fingerprint = f"transformers-1 {digest} {' '.join(map(str, self.layers))}"

    def _features(self, wave: Tensor) -> Tensor:
        whole = _around(wave, self.kernels, self.hop_length).cpu()
        inputs = self.prepare(whole.numpy(), sampling_rate=self.sample_rate, return_tensors="pt")
        values = inputs["input_values"].to(self.device)
        found = self.network(values, output_hidden_states=True)
        return torch.cat([found.hidden_states[layer][0] for layer in self.layers], dim=1)


class TorchaudioTeacher(Teacher):
    """Outputs of ``layers`` (None: the last) of a bundle, as ``HUBERT_BASE``, side by side.

    Raises:
        SpeechLMError: when there is no such bundle, its weights cannot be had, or it has no such
            layer.
    """

    def __init__(self, name: str, layers: Sequence[int | None]) -> None:
        from torchaudio import pipelines

        bundle = getattr(pipelines, name, None)
        if bundle is None or not hasattr(bundle, "get_model"):
            raise SpeechLMError(f"torchaudio has no bundle {name!r} of a speech model")
        try:
            self.network: Any = bundle.get_model().eval()
        except Exception as error:  # a download, by whatever it was made with
            raise SpeechLMError(f"{name}: cannot be fetched: {_line(error)}") from None
        network = getattr(self.network, "model", self.network)
        convolutions = network.feature_extractor.conv_layers
        self.kernels = [(each.kernel_size, each.stride) for each in convolutions]
        blocks = network.encoder.transformer.layers
        self.layers = [_layer(name, each, len(blocks)) for each in layers]
        self.sample_rate = int(bundle.sample_rate)
        self.hop_length = int(np.prod([stride for _, stride in self.kernels]))
        self.dim = int(blocks[0].final_layer_norm.normalized_shape[0]) * len(layers)
        digest = hub.weights_hash(self.network.state_dict())
        self.fingerprint = f"torchaudio-1 {digest} {' '.join(map(str, self.layers))}"

    def _features(self, wave: Tensor) -> Tensor:
        whole = _around(wave, self.kernels, self.hop_length)
        found, _ = self.network.extract_features(whole[None], num_layers=max(self.layers))
        return torch.cat([found[layer - 1][0] for layer in self.layers], dim=1)


def _layer(name: str, layer: int | None, most: int) -> int:
    if layer is not None and not 1 <= layer <= most:
        raise SpeechLMError(f"{name} has layers 1 to {most}, not {layer}")
    return most if layer is None else layer


def _around(wave: Tensor, kernels: list[tuple[int, int]], hop_length: int) -> Tensor:
    """Whole frames of ``wave``, with as much silence around as convolutions take from the ends."""
    reach, step = 1, 1
    for kernel, stride in kernels:
        reach += (kernel - 1) * step
        step *= stride
    missing = reach - hop_length
    return torch.nn.functional.pad(wave, (missing // 2, missing - missing // 2))


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
