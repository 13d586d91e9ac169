"""Model folders, local or on a hub.

``config.yaml``, ``model.safetensors`` and a card; a codec may have ``context.safetensors``, the
entropy model of its codes. Weights are in half precision; a matrix may be in eight bits instead
(:mod:`speechlm.utils.int8`), its scales beside it under its name and ``:scale``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from speechlm.bitstream.entropy import EntropyCoder, EntropyModel
from speechlm.config import load_yaml, to_dataclass
from speechlm.errors import SpeechLMError
from speechlm.utils.files import atomic_path
from speechlm.utils.safetensors import sort_metadata

if TYPE_CHECKING:
    from torch import Tensor, nn

CONFIG = "config.yaml"
JSON_CONFIG = "config.json"
"""The same for tools that read JSON, such as the hub; this project does not read it."""
WEIGHTS = "model.safetensors"
CONTEXT = "context.safetensors"
SCALE = ":scale"
LANGUAGE = "vocabulary.json", "text.model", "text-lm.safetensors"
"""What a language model has besides."""
UNITS = "pieces.model", "units/*"
"""What unit tokenizers and vocoders have."""
DEFAULT_CODEC, DEFAULT_LM, DEFAULT_VOCODER = "codec-16k", "lm-units", "vocoder-16k"
PEER_CODECS = {
    "encodec_24khz": "encodec",
    "dac_16khz": "dac",
    "dac_24khz": "dac",
    "dac_44khz": "dac",
}
"""Codecs of other projects, and the module of :mod:`speechlm.codec.peers` that opens them."""
SHIPPED = Path(str(files("speechlm") / "models"))

T = TypeVar("T")
N = TypeVar("N", bound="nn.Module")


def save_model(
    folder: str | Path, config: Any, weights: dict[str, Tensor], facts: dict[str, Any] | None = None
) -> Path:
    """Write a model folder: the dataclass ``config`` as YAML, ``weights`` in half precision.

    ``facts`` (steps, measured figures) go into the metadata of the weights file.
    """
    from omegaconf import OmegaConf

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / CONFIG) as path:
        OmegaConf.save(OmegaConf.structured(config), path)
    write_json_config(folder)
    save_weights(folder, weights, facts)
    return folder


def write_json_config(folder: Path) -> str:
    """Write ``config.json`` with what ``config.yaml`` says; return the kind of the model."""
    from omegaconf import OmegaConf

    config = OmegaConf.to_container(load_yaml(folder / CONFIG, []))
    assert isinstance(config, dict)
    kind = str(config.get("kind") or ("lm" if "backbone" in config else "codec"))
    content = {"library_name": "speechlm", "model_type": f"speechlm-{kind}", "config": config}
    with atomic_path(folder / JSON_CONFIG) as path:
        path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", "utf-8")
    return kind


def save_weights(
    folder: Path,
    weights: dict[str, Tensor],
    facts: dict[str, Any] | None = None,
    packed: Collection[str] = (),
) -> None:
    """Write the weights of a model folder, as :func:`save_model` does.

    Those named in ``packed``, which must all :func:`~speechlm.utils.int8.pays`, are in eight bits.
    """
    from safetensors.torch import save_file

    from speechlm.utils import int8

    stored = {}
    for name, value in weights.items():
        if name in packed:
            stored[name], stored[name + SCALE] = int8.pack(value)
        else:
            half = value.half() if value.is_floating_point() else value
            stored[name] = half.contiguous().cpu()
    metadata = {name: json.dumps(value) for name, value in (facts or {}).items()}
    with atomic_path(folder / WEIGHTS) as path:
        save_file(stored, path, metadata={"format": "pt", **metadata})
        sort_metadata(path)


def load_model(name: str | Path | None, kind: type[T]) -> tuple[T, dict[str, Tensor]]:
    """The configuration (a dataclass of type ``kind``) and float32 weights of a model.

    ``name`` is as for :func:`find_model`.

    Raises:
        SpeechLMError: when there is no such model, or its files do not fit together.
    """
    from omegaconf import OmegaConf

    folder = find_model(name)
    path = folder / CONFIG
    if not path.is_file():
        raise SpeechLMError(f"{path}: no such file")
    declared = load_yaml(path, [])
    if "${" in str(OmegaConf.to_container(declared)):  # such as ${oc.env:HOME}
        raise SpeechLMError(f"{path}: a model's configuration holds values, not references to them")
    return to_dataclass(kind, declared, path, warn=False), load_weights(folder)


def load_weights(folder: Path) -> dict[str, Tensor]:
    """The float32 weights of a model folder.

    Raises:
        SpeechLMError: when the file is not there, or is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from speechlm.utils import int8

    weights = {}
    try:
        stored = load_file(folder / WEIGHTS)
        for name in [name for name in stored if not name.endswith(SCALE)]:
            value, scale = stored[name], stored.get(name + SCALE)
            if scale is not None:
                value = int8.unpack(value, scale)
            if value.is_floating_point() and not bool(value.isfinite().all()):
                raise SpeechLMError(f"{folder / WEIGHTS}: {name} holds NaN or infinity")
            weights[name] = value.float() if value.is_floating_point() else value
    except (SafetensorError, OSError, ValueError) as error:
        raise SpeechLMError(f"{folder / WEIGHTS}: {error}") from None
    return weights


def build(make: Callable[[], N], weights: Mapping[str, Tensor], name: str | Path) -> N:
    """The network that ``make`` builds by the configuration of the model ``name``.

    Raises:
        SpeechLMError: when the configuration describes one far larger than the ``weights``; no
            memory is taken for it.
    """
    from speechlm.utils.size_limit import TooLarge, build_within

    try:
        network: N = build_within(make, weights)
    except TooLarge:
        raise SpeechLMError(
            f"{name}: {CONFIG} describes a network that is larger than {WEIGHTS}: they do not "
            "belong together"
        ) from None
    return network


def fill(network: nn.Module, weights: dict[str, Tensor], name: str | Path) -> None:
    """Give a network all the weights of the model ``name``.

    Raises:
        SpeechLMError: unless they are those of its configuration.
    """
    try:
        network.load_state_dict(weights)
    except RuntimeError:
        raise SpeechLMError(
            f"{name}: the weights do not fit the configuration: another architecture"
        ) from None


def load_facts(folder: Path) -> dict[str, Any]:
    """What :func:`save_model` was told of the weights.

    Raises:
        SpeechLMError: when the file is not there, or is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / WEIGHTS, "pt") as file:
            metadata = file.metadata() or {}
        return {name: json.loads(value) for name, value in metadata.items() if name != "format"}
    except (SafetensorError, OSError, ValueError) as error:
        raise SpeechLMError(f"{folder / WEIGHTS}: {error}") from None


def find_model(name: str | Path | None) -> Path:
    """The folder of a model.

    ``name`` is a folder; or else that of a model that the package ships (None: the default codec);
    or else a hub id (owner/name), of which the snapshot is fetched once.

    Raises:
        SpeechLMError: when it is none of these.
    """
    if name is None:
        return SHIPPED / DEFAULT_CODEC
    folder = Path(name)
    if _is_model(folder):
        return folder
    if folder.name == str(name) and (found := shipped(folder.name)):
        return found
    if folder.exists() or str(name).count("/") != 1:
        known = ", ".join(sorted(path.parent.name for path in SHIPPED.glob(f"*/{CONFIG}")))
        raise SpeechLMError(
            f"{name}: not a model folder (with {CONFIG} and {WEIGHTS}), nor a shipped model "
            f"({known}), nor a hub id (owner/name)"
        )
    from huggingface_hub import snapshot_download

    try:
        wanted = [CONFIG, WEIGHTS, CONTEXT, *LANGUAGE, *UNITS]
        snapshot = Path(snapshot_download(str(name), allow_patterns=wanted))
    except Exception as error:  # the hub's client raises a dozen unrelated types
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SpeechLMError(f"{name}: cannot be fetched from the hub: {reason}") from None
    verify_snapshot(snapshot)
    return snapshot


def verify_snapshot(folder: Path) -> None:
    """Compare the files of a snapshot of the hub with their hashes.

    The cache names the content of a file by its hash, as the hub states it: SHA-256 of large files,
    Git's of small ones. Where it has copies in place of links, there is nothing to compare with.

    Raises:
        SpeechLMError: when one differs.
    """
    for path in sorted(folder.rglob("*")):
        if not path.is_symlink():
            continue
        content = path.resolve()
        data = content.read_bytes()
        digests = {
            64: hashlib.sha256(data).hexdigest(),
            40: hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest(),
        }
        if digests.get(len(content.name), content.name) != content.name:
            raise SpeechLMError(
                f"{path}: is not what the hub has: delete {content} to fetch it again"
            )


def check_codec(name: str | Path | None) -> None:
    """Raises: SpeechLMError, unless ``name`` is a peer or a model as for :func:`find_model`."""
    if not is_peer(name):
        find_model(name)


def is_peer(name: str | Path | None) -> bool:
    """Whether ``name`` is that of a codec of another project, maybe with ``=`` and its weights."""
    return isinstance(name, str) and name.partition("=")[0] in PEER_CODECS


def shipped(name: str) -> Path | None:
    """The folder of a model that the package ships; None when it ships none of this name."""
    return SHIPPED / name if _is_model(SHIPPED / name) else None


def _is_model(folder: Path) -> bool:
    return (folder / WEIGHTS).is_file() and (folder / CONFIG).is_file()


def new_folder(folder: str | Path) -> Path:
    """Make a folder for a model, unless there is one.

    Raises:
        SpeechLMError: when it holds a model already, or cannot be made.
    """
    folder = Path(folder)
    if (folder / CONFIG).is_file():
        raise SpeechLMError(f"{folder}: holds a model already: name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpeechLMError(f"{folder}: cannot be made: {error.strerror}") from None
    return folder


def parts(folder: Path) -> list[Path]:
    """What a model folder holds besides weights and entropy model: files, relative to it."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(file for file in files if str(file) not in (WEIGHTS, CONTEXT))


def save_entropy_model(
    folder: Path, model: EntropyModel, weights: str, facts: dict[str, Any] | None = None
) -> None:
    """Write the entropy model of the codec in ``folder``, whose weights have the hash ``weights``.

    ``facts`` go into its metadata.
    """
    from safetensors.numpy import save_file

    metadata = {name: json.dumps(value) for name, value in (facts or {}).items()}
    with atomic_path(folder / CONTEXT) as path:
        save_file(dict(model.arrays), path, metadata | {"codec": weights})
        sort_metadata(path)


def load_entropy_model(name: str | Path | None, weights: str) -> EntropyCoder | None:
    """The entropy coder of a codec (as for :func:`find_model`) with weights of this hash.

    None when it has no entropy model, or one that was trained for other weights.

    Raises:
        SpeechLMError: when the file of the entropy model is damaged.
    """
    path = find_model(name) / CONTEXT
    if not path.is_file():
        return None
    model, facts = EntropyModel.load(path)
    return EntropyCoder(model) if facts.get("codec") == weights else None


def weights_hash(weights: dict[str, Tensor]) -> str:
    """First eight hexadecimal digits of the SHA-256 of named tensors."""
    import torch

    from speechlm.quantize.vector import published_name

    digest = hashlib.sha256()
    named = {published_name(name): tensor for name, tensor in weights.items()}
    for name in sorted(named):
        value = named[name].detach().cpu().contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:8]
