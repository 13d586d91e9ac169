"""Declarations: a YAML file with dotted overrides, read into a dataclass that knows every key."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError

from speechlm.errors import SpeechLMError

T = TypeVar("T")


def read(path: str | Path, overrides: list[str]) -> DictConfig:
    """Read a YAML mapping and apply dotted overrides (``split.dev=0.1``).

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
        raise SpeechLMError(f"{path}: no such file; {path.parent}/README.md lists them") from None
    except (OSError, UnicodeDecodeError, ValueError, YAMLError, OmegaConfBaseException) as error:
        raise SpeechLMError(f"{path}: {_one_line(error)}") from None
    return declared


def fill(schema: type[T], declared: DictConfig, path: str | Path) -> T:
    """Make a ``schema`` (a dataclass) of what the file ``path`` declared.

    Raises:
        SpeechLMError: naming the file and the key, for an unknown key (with the known ones), a
            value of the wrong type or a key that has no value yet.
    """
    try:
        filled: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), declared))
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


def _known(schema: Any, parents: list[str]) -> list[str]:
    """Name the keys of the dataclass that is found by going down ``parents`` from ``schema``.

    There may be none: names that a declaration chooses are no keys of the schema.
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
