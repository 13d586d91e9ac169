"""Several models side by side, as Markdown: what ``recipes/RESULTS.md`` is made of."""

from __future__ import annotations

from typing import Any

from speechlm.evaluation.lm.results import LMResults, figure
from speechlm.evaluation.wording import NONE

Place = tuple[str, str]
"""A section and a column of it."""


def markdown(models: dict[str, LMResults]) -> str:
    """A row for each of ``models``, by the name to give it; a column for each goal's figure.

    A mean stands with its 95 % interval. n is in the title where it is the same for all, otherwise
    in the cells; a part that a model was not judged by is a dash.
    """
    found = {name: _figures(results) for name, results in models.items()}
    places = list(dict.fromkeys(place for figures in found.values() for place in figures))
    titles = ["model"]
    rows = [[name] for name in models]
    for place in places:
        cells = [figures.get(place) for figures in found.values()]
        present = [cell for cell in cells if cell is not None]
        same = len({cell["n"] for cell in present}) == 1
        n = f", n={present[0]['n']}" if same else ""
        titles.append(present[0]["title"] + n)
        for row, cell in zip(rows, cells, strict=True):
            if cell is None:
                row.append(NONE)
            else:
                row.append(cell["text"] + ("" if same else f", n={cell['n']}"))
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _figures(results: LMResults) -> dict[Place, dict[str, Any]]:
    found: dict[Place, dict[str, Any]] = {}
    for goal in results.data["goals"]:
        section = results.sections[goal["section"]]
        column = section.columns[goal["column"]]
        unit = f", {column['unit']}" if column["unit"] else ""
        found[goal["section"], goal["column"]] = {
            "title": f"{section.data['title']}: {column['title']}{unit}",
            "text": figure(goal, column["digits"]),
            "n": goal["n"],
        }
    return found
