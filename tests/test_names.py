"""Names that a traceback or a search can tell apart."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import speechlm

PACKAGE = Path(speechlm.__file__).parent


def test_class_names_are_unique() -> None:
    files = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                files[node.name].append(str(path.relative_to(PACKAGE)))
    assert len(files) > 300
    assert {name: where for name, where in files.items() if len(where) > 1} == {}


def test_array_types_are_defined_once() -> None:
    """In ``speechlm.types``, and nowhere else under the same name."""
    types = (PACKAGE / "types.py").read_text("utf-8")
    names = re.findall(r"^(\w+) = NDArray", types, re.MULTILINE)
    assert "Codes" in names
    defined = re.compile(rf"^({'|'.join(names)}) = ", re.MULTILINE)
    again = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if defined.search(path.read_text("utf-8")) and path.name != "types.py"
    ]
    assert again == []
