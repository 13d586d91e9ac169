"""Configuration: a YAML file with dotted overrides, converted to a dataclass.

A configuration dataclass may have a class variable ``RENAMED_KEYS`` that maps former names to
current ones, relative to the dataclass: ``{"hearing.weight": "loss.asr_feature"}``. An entry with
``=`` renames a value: ``{"kind=context": "kind=entropy-model"}``. Files with former names stay
valid, with one line of warning for each.
"""

from __future__ import annotations

import logging
import types
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError

from speechlm.errors import SpeechLMError

T = TypeVar("T")
log = logging.getLogger(__name__)


def load_yaml(path: str | Path, overrides: list[str]) -> DictConfig:
    """Load a YAML mapping and apply dotted overrides (``split.dev=0.1``).

    Raises:
        SpeechLMError: when there is no such file, or it or an override is not valid.
    """
    path = Path(path)
    try:
        declared = OmegaConf.load(path)
        if not isinstance(declared, DictConfig):
            raise SpeechLMError(f"{path}: is not a mapping of keys to values")
        declared.merge_with(OmegaConf.from_dotlist(overrides))
    except FileNotFoundError:
        listing = path.parent / "README.md"
        hint = f"; {listing} lists them" if listing.is_file() else ""
        raise SpeechLMError(f"{path}: no such file{hint}") from None
    except (OSError, UnicodeDecodeError, ValueError, YAMLError, OmegaConfBaseException) as error:
        raise SpeechLMError(f"{path}: {_one_line(error)}") from None
    return declared


def to_dataclass(schema: type[T], declared: DictConfig, path: str | Path, warn: bool = True) -> T:
    """Convert what the file ``path`` declares to a ``schema`` (a dataclass).

    Former names (``RENAMED_KEYS`` of ``schema`` and of the dataclasses in it) are accepted, each
    with a warning unless ``warn`` is false.

    Raises:
        SpeechLMError: naming the file and the key, for an unknown key (with the known ones), a
            value of the wrong type, a key that has no value yet, or a key under both its names.
    """
    values = OmegaConf.to_container(declared)
    assert isinstance(values, dict)
    _rename_nested(values, schema, path, "", warn)
    try:
        filled: Any = OmegaConf.to_object(
            OmegaConf.merge(OmegaConf.structured(schema), OmegaConf.create(values))
        )
    except ConfigKeyError as error:
        key = error.full_key or ""
        known = ", ".join(_known(schema, key.split(".")[:-1]))
        hint = f"; known: {known}" if known else ""
        raise SpeechLMError(f"{path}: unknown key {key}{hint}") from None
    except MissingMandatoryValue as error:
        key = error.full_key or ""
        raise SpeechLMError(f"{path}: {key} has no value; add {key}=... to the command") from None
    except OmegaConfBaseException as error:
        raise SpeechLMError(f"{path}: {error.full_key}: {_one_line(error)}") from None
    assert isinstance(filled, schema)
    return filled


def rename_keys(
    declared: DictConfig, renamed: Mapping[str, str], path: str | Path, warn: bool = True
) -> DictConfig:
    """Replace the former names in ``declared`` by today's, as :func:`to_dataclass` does.

    For keys that are looked up before the dataclass is known, such as ``kind``.

    Raises:
        SpeechLMError: when a key is there under both its names.
    """
    values = OmegaConf.to_container(declared)
    assert isinstance(values, dict)
    _rename(values, renamed, path, "", warn)
    return OmegaConf.create(values)


def _rename_nested(
    values: dict[Any, Any], schema: type, path: str | Path, prefix: str, warn: bool
) -> None:
    """Apply the tables of ``schema`` and, below it, of the dataclasses of its fields."""
    _rename(values, getattr(schema, "RENAMED_KEYS", {}), path, prefix, warn)
    for name, hint in get_type_hints(schema).items():
        for key, node, kind in _nested(name, values.get(name), hint):
            _rename_nested(node, kind, path, f"{prefix}{key}.", warn)


def _nested(key: str, node: Any, hint: Any) -> Iterator[tuple[str, dict[Any, Any], type]]:
    """The mappings at or in ``node`` that become dataclasses: (dotted key, mapping, dataclass)."""
    origin = get_origin(hint)
    if is_dataclass(hint) and isinstance(hint, type) and isinstance(node, dict):
        yield key, node, hint
    elif origin in (Union, types.UnionType):
        for option in get_args(hint):
            yield from _nested(key, node, option)
    elif origin is dict and isinstance(node, dict):
        for name, value in node.items():
            yield from _nested(f"{key}.{name}", value, get_args(hint)[1])
    elif origin is list and isinstance(node, list):
        for number, value in enumerate(node):
            yield from _nested(f"{key}[{number}]", value, get_args(hint)[0])


def _rename(
    values: dict[Any, Any], renamed: Mapping[str, str], path: str | Path, prefix: str, warn: bool
) -> None:
    for old, new in renamed.items():
        key, _, value = old.partition("=")
        parent, name = _parent(values, key)
        if parent is None or name not in parent or (value and parent[name] != value):
            continue
        new_key, _, new_value = new.partition("=")
        node = parent.pop(name)
        target, new_name = _parent(values, new_key, create=True)
        if target is None or new_name in target:
            raise SpeechLMError(
                f"{path}: {prefix}{key} is the former name of {prefix}{new_key}: "
                "set only the latter"
            )
        target[new_name] = new_value if value else node
        _drop_empty(values, key.split(".")[:-1])
        if warn:
            log.warning("%s: %s%s is now %s%s", path, prefix, old, prefix, new)


def _parent(
    values: dict[Any, Any], key: str, create: bool = False
) -> tuple[dict[Any, Any] | None, str]:
    """The mapping that holds the dotted ``key``, or None, and the key's last part."""
    *parents, name = key.split(".")
    node: Any = values
    for parent in parents:
        if create and node.get(parent) is None:
            node[parent] = {}
        node = node.get(parent)
        if not isinstance(node, dict):
            return None, name
    return node, name


def _drop_empty(values: dict[Any, Any], parents: list[str]) -> None:
    """Remove a section whose keys have all moved elsewhere."""
    while parents:
        parent, name = _parent(values, ".".join(parents))
        if parent is None or parent[name] != {}:
            return
        del parent[name]
        parents = parents[:-1]


def _known(schema: Any, parents: list[str]) -> list[str]:
    """Name the keys of the dataclass at the path ``parents`` below ``schema``.

    Empty inside mappings whose keys the file chooses.
    """
    node = OmegaConf.structured(schema)
    for parent in parents:
        if parent not in node:
            return []
        node = node[parent]
    kind = OmegaConf.get_type(node)
    return [field.name for field in fields(kind)] if is_dataclass(kind) else []


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split("\n    full_key")[0].split())
