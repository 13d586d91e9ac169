"""Several models side by side, as Markdown: what ``docs/results/language-models.md`` is made of."""

from __future__ import annotations

from speechlm.evaluation.format import NONE
from speechlm.evaluation.lm.results import GOALS, LMResults, figure
from speechlm.evaluation.lm.sweep import POINT_COLUMNS

SHOWN = (
    ("likelihood", "bits"),
    ("asr", "wer"),
    *((goal.section, goal.column) for goal in GOALS),
    *(("sweep points", column) for column in POINT_COLUMNS),
)


def markdown(models: dict[str, LMResults]) -> str:
    """A column for each of ``models``, by the name to give it; a row for each figure shown.

    A mean stands with its 95 % interval. n is in the title where it is the same for all, otherwise
    in the cells; a part that a model was not judged by is a dash.
    """
    places = dict.fromkeys(
        place for shown in SHOWN for results in models.values() for place in results.places(*shown)
    )
    lines = [["", *models], ["---", *("---:" for _ in models)]]
    for section, column in places:
        cells, counts, title = [], [], ""
        for results in models.values():
            found = results.sections.get(section)
            if found is None or column not in found.columns:
                cells.append(NONE)
                continue
            facts, summary = found.columns[column], found.data["summary"][results.name][column]
            unit = f", {facts['unit']}" if facts["unit"] else ""
            title = f"{found.data['title']}: {facts['title']}{unit}"
            cells.append(figure(summary, facts["digits"]))
            counts.append(summary["n"])
        if len(set(counts)) == 1:
            title += f", n={counts[0]}"
        else:
            left = iter(counts)
            cells = [cell if cell == NONE else f"{cell}, n={next(left)}" for cell in cells]
        lines.append([title, *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
