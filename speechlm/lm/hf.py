"""Weights to and from the Llama architecture of ``transformers``, one to one.

The backbone is a Llama model over the joint vocabulary: ``embed_tokens`` and ``lm_head`` have a row
for each id. What Llama has no place for (the transformer over codebooks) is in a file beside. The
order of rows in queries and keys differs: this project rotates neighbours, ``transformers`` halves.
Neither direction needs that package.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from speechlm import hub
from speechlm.errors import SpeechLMError
from speechlm.lm.config import IdsConfig, LMConfig
from speechlm.lm.hf_tokenizer import save_tokenizer
from speechlm.lm.model import UnitLM
from speechlm.lm.vocabulary import END_OF_SPEECH, PAD
from speechlm.tokenizers.text import TextTokenizer
from speechlm.utils.files import atomic_path

if TYPE_CHECKING:
    from speechlm.lm.language_model import LanguageModel

log = logging.getLogger(__name__)

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
GENERATION = "generation_config.json"
REST = "levels.safetensors"
TOKENIZER = "tokenizer.model"
"""A sentencepiece model, whose pieces have ids from 0; in what :func:`export` writes, their rows
stand behind those of the special tokens."""
OWN = ("depth.", "ctc.")
"""Weights that no Llama has; those of ``REST``."""
BLOCK = {
    "attention_norm": ["input_layernorm"],
    "qkv": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    "out": ["self_attn.o_proj"],
    "mlp_norm": ["post_attention_layernorm"],
    "gate_up": ["mlp.gate_proj", "mlp.up_proj"],
    "down": ["mlp.down_proj"],
}
"""Our names of a block's tensors, and Llama's."""


def export(model: UnitLM, folder: str | Path) -> Path:
    """Write a folder that ``transformers.LlamaForCausalLM.from_pretrained`` opens, in float32.

    Its inputs are ids of row 0 (all there is, for the pattern ``flatten``); for more rows, sum
    ``embed_tokens`` over them and give ``inputs_embeds``. Rows of ``lm_head`` for ids that the
    backbone does not predict are zero.

    Raises:
        SpeechLMError: when the backbone is not of that architecture, or the folder holds a model
            of this project, whose weights are in a file of the same name.
    """
    from safetensors.torch import save_file

    config = model.config
    if config.backbone != "llama":
        raise SpeechLMError(f"{config.name}: a backbone of kind {config.backbone} is no Llama")
    folder = hub.new_folder(folder)
    weights = model.state_dict()
    tensors = dict(_to_llama(config, weights))
    tensors["model.embed_tokens.weight"] = weights["embedding.weight"]
    if not config.tie_word_embeddings:
        head = weights["embedding.weight"].new_zeros(model.size, config.dim)
        head[: model.outputs] = weights["head"]
        tensors["lm_head.weight"] = head
    rest = {name: value for name, value in weights.items() if name.startswith(OWN)}
    files = {WEIGHTS: tensors} | ({REST: rest} if rest else {})
    for name, content in files.items():
        with atomic_path(folder / name) as path:
            plain = {key: value.contiguous().clone() for key, value in content.items()}
            save_file(plain, path, metadata={"format": "pt"})
    with atomic_path(folder / CONFIG) as path:
        path.write_text(json.dumps(_config(model), indent=2) + "\n", "utf-8")
    return folder


def export_pretrained(model: LanguageModel, folder: str | Path) -> Path:
    """:func:`export` with the tokenizer, and the rules of generation where there is one stream.

    ``AutoTokenizer`` gives the ids of the model. Of a model of one codebook, ``generate`` of
    ``transformers`` continues speech greedily as this project does.

    Raises:
        SpeechLMError: as :func:`export`.
    """
    folder = export(model.network, folder)
    vocabulary = model.vocabulary
    vocabulary.save(folder)
    model.text.save(folder / TOKENIZER)
    try:
        save_tokenizer(folder, vocabulary, model.text)
    except SpeechLMError as error:
        log.warning("%s: no tokenizer.json: %s", folder, error)
    if vocabulary.units.num_codebooks == 1:
        allowed = {vocabulary.id(END_OF_SPEECH), *vocabulary.level(0)}
        rules = {
            "do_sample": False,
            "eos_token_id": vocabulary.id(END_OF_SPEECH),
            "pad_token_id": vocabulary.id(PAD),
            "suppress_tokens": [id for id in range(vocabulary.size) if id not in allowed],
        }
        with atomic_path(folder / GENERATION) as path:
            path.write_text(json.dumps(rules) + "\n", "utf-8")
    return folder


def warm_start(model: UnitLM, folder: str | Path, pieces: list[str]) -> int:
    """Give ``model`` the weights of a Llama model of the same sizes, as TWIST does.

    (Hassid et al. 2023.) A text model's embeddings are extended: a piece of text that its tokenizer
    has too keeps its row; every other id gets one drawn like the old ones (of their mean and
    deviation in each dimension). From a folder that :func:`export` wrote, everything is taken.

    Args:
        model: changed in place.
        folder: with ``config.json``, weights as safetensors and ``tokenizer.json`` or ``.model``.
        pieces: of the model's own text tokenizer, in order.

    Returns:
        How many ids kept their embedding.

    Raises:
        SpeechLMError: when the folder holds no such model, or one of other sizes, or of which no
            embedding can be kept.
    """
    folder = Path(folder)
    theirs = _json(folder / CONFIG)
    _check(model.config, theirs, folder)
    tensors = _read_weights(folder)
    try:
        loaded = dict(_from_llama(model.config, tensors))
        embedding = tensors["model.embed_tokens.weight"].float()
        head = embedding if theirs.get("tie_word_embeddings") else tensors["lm_head.weight"].float()
    except KeyError as error:
        raise SpeechLMError(f"{folder}: its weights lack {error}") from None
    if has_ids(folder, model.config.ids):
        known = {each: each for each in range(model.size)}
        if (folder / REST).is_file():
            rest = _safetensors(folder / REST)
            loaded |= {name: rest[name] for name in model.state_dict() if name in rest}
    else:
        known = _shared(pieces, folder, model.config.ids.specials, len(embedding))
        if not known:
            raise SpeechLMError(f"{folder}: its tokenizer has none of this recipe's pieces of text")
    loaded["embedding.weight"] = _extended(embedding, known, model.size)
    loaded["embedding.weight"][model.config.ids.pad] = 0
    if not model.config.tie_word_embeddings:
        loaded["head"] = _extended(head, known, model.outputs)
    try:
        missing, unexpected = model.load_state_dict(loaded, strict=False)
    except RuntimeError as error:
        raise SpeechLMError(f"{folder}: {str(error).splitlines()[-1].strip()}") from None
    if unexpected or not all(name.startswith(OWN) for name in missing):
        raise SpeechLMError(f"{folder}: its weights are those of another pattern")
    return len(known)


def has_ids(folder: Path, ids: IdsConfig) -> bool:
    """Whether :func:`export` wrote the folder, of a model with as many ids of each part."""
    exported = _json(folder / CONFIG).get("speechlm") or {}
    return {IdsConfig.RENAMED_KEYS.get(key, key): size for key, size in exported.items()} == asdict(
        ids
    )


def _config(model: UnitLM) -> dict[str, Any]:
    config = model.config
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": model.size,
        "hidden_size": config.dim,
        "intermediate_size": config.ffn_dim,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.dim // config.num_heads,
        "hidden_act": "silu",
        "rms_norm_eps": config.norm_eps,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "max_position_embeddings": config.max_position_embeddings,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": config.tie_word_embeddings,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": config.ids.pad,
        "dtype": "float32",
        "speechlm": asdict(config.ids),
    }


def _check(config: LMConfig, theirs: dict[str, Any], folder: Path) -> None:
    rope = theirs.get("rope_parameters") or theirs.get("rope_scaling") or {}
    heads = theirs.get("num_attention_heads")
    found = {
        "model_type": theirs.get("model_type"),
        "dim": theirs.get("hidden_size"),
        "num_layers": theirs.get("num_hidden_layers"),
        "num_heads": heads,
        "num_kv_heads": theirs.get("num_key_value_heads") or heads,
        "ffn_dim": theirs.get("intermediate_size"),
        "norm_eps": theirs.get("rms_norm_eps", 1e-6),
        "rope_theta": float(rope.get("rope_theta") or theirs.get("rope_theta") or 10000.0),
        "rope_type": rope.get("rope_type", rope.get("type", "default")),
        "biases": bool(theirs.get("attention_bias") or theirs.get("mlp_bias")),
        "activation": theirs.get("hidden_act", "silu"),
    }
    wanted = {
        "model_type": "llama",
        "rope_type": "default",
        "biases": False,
        "activation": "silu",
    }
    wanted |= {key: getattr(config, key) for key in found if hasattr(config, key)}
    for key, value in found.items():
        if value != wanted[key]:
            raise SpeechLMError(f"{folder}: {key} is {value} there, {wanted[key]} here")
    if config.backbone != "llama":
        raise SpeechLMError(f"{folder}: cannot start a backbone of kind {config.backbone}")


def _names(config: LMConfig) -> Iterator[tuple[str, list[str]]]:
    """Our names of tensors, and of Llama's that make it up, one below the other."""
    for layer in range(config.num_layers):
        for ours, theirs in BLOCK.items():
            yield (
                f"backbone.blocks.{layer}.{ours}.weight",
                [f"model.layers.{layer}.{name}.weight" for name in theirs],
            )
    yield "backbone.norm.weight", ["model.norm.weight"]


def _to_llama(config: LMConfig, weights: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    head_dim = config.dim // config.num_heads
    kv = config.num_kv_heads * head_dim
    sizes = {"qkv": [config.dim, kv, kv], "gate_up": [config.ffn_dim] * 2}
    for ours, theirs in _names(config):
        weight = weights[ours]
        parts = weight.split(sizes.get(ours.split(".")[-2], len(weight)))
        for name, part in zip(theirs, parts, strict=True):
            if "q_proj" in name or "k_proj" in name:
                part = part.unflatten(0, (-1, head_dim // 2, 2)).transpose(1, 2).flatten(0, 2)
            yield name, part


def _from_llama(config: LMConfig, tensors: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    head_dim = config.dim // config.num_heads
    for ours, theirs in _names(config):
        parts = []
        for name in theirs:
            part = tensors[name].float()
            if "q_proj" in name or "k_proj" in name:
                part = part.unflatten(0, (-1, 2, head_dim // 2)).transpose(1, 2).flatten(0, 2)
            parts.append(part)
        yield ours, torch.cat(parts)


def _extended(table: Tensor, known: dict[int, int], size: int) -> Tensor:
    """``size`` rows: those of ``table`` that are ``known`` (new to old), others drawn alike."""
    deviation, mean = torch.std_mean(table, dim=0)
    rows = mean + deviation * torch.randn(size, table.shape[1])
    kept = {new: old for new, old in known.items() if new < size}
    rows[list(kept)] = table[list(kept.values())]
    return rows


def _shared(pieces: list[str], folder: Path, first: int, size: int) -> dict[int, int]:
    """Joint ids of the pieces that the tokenizer in ``folder`` has too, and its rows."""
    theirs = {_plain(piece): number for piece, number in _vocabulary(folder).items()}
    return {
        first + number: theirs[piece]
        for number, piece in enumerate(pieces)
        if theirs.get(piece, size) < size
    }


def _plain(piece: str) -> str:
    """A piece of text in sentencepiece's spelling, of which the spaces are another letter."""
    return piece.replace("\u0120", "\u2581")


def _vocabulary(folder: Path) -> dict[str, int]:
    """Pieces and their rows, of a tokenizer of ``transformers`` or of sentencepiece."""
    path = folder / "tokenizer.json"
    if path.is_file():
        found = _json(path).get("model", {}).get("vocab", {})
        if isinstance(found, list):  # of unigrams: pairs of piece and score
            return {str(piece): number for number, (piece, _) in enumerate(found)}
        return {str(piece): int(number) for piece, number in found.items()}
    path = folder / TOKENIZER
    if path.is_file():
        first = (_json(folder / CONFIG).get("speechlm") or {}).get("specials", 0)
        return {
            piece: first + number for number, piece in enumerate(TextTokenizer.load(path).pieces)
        }
    return {}


def _read_weights(folder: Path) -> dict[str, Tensor]:
    files = [WEIGHTS]
    if (folder / INDEX).is_file():
        files = sorted(set(_json(folder / INDEX).get("weight_map", {}).values()))
    tensors: dict[str, Tensor] = {}
    for name in files:
        tensors |= _safetensors(folder / name)
    return tensors


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise SpeechLMError(f"{path}: {error}") from None


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
        if not isinstance(found, dict):
            raise ValueError("not a mapping")
    except FileNotFoundError:
        raise SpeechLMError(f"{path}: no such file; a Llama model has one") from None
    except (OSError, ValueError) as error:
        raise SpeechLMError(f"{path}: {error}") from None
    return found
