"use strict";

// Tables: a title's button sorts by its column, and again the other way; what has no value is last.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const titles = [...table.tHead.rows[0].cells];
  titles.forEach((title, column) => {
    title.querySelector("button").addEventListener("click", () => {
      const down = title.getAttribute("aria-sort") === "ascending";
      titles.forEach((each) => each.setAttribute("aria-sort", "none"));
      title.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => {
        const cell = row.cells[column];
        return cell ? (cell.dataset.sort ?? cell.textContent.trim()) : "";
      };
      const rows = [...body.rows].map((row) => [value(row), row]);
      const missing = ([text]) => text === "" || text === "–";
      rows.sort(([a, rowA], [b, rowB]) => {
        if (missing([a]) || missing([b])) return missing([a]) - missing([b]);
        const order = a !== "" && b !== "" && isFinite(a) && isFinite(b)
          ? a - b
          : a.localeCompare(b, "en", { numeric: true });
        return down ? -order : order;
      });
      body.append(...rows.map(([, row]) => row));
    });
  });
}

// The table of means, or of paired differences from one system, where there is a choice.
const baseline = document.getElementById("baseline");
const changes = JSON.parse(document.getElementById("changes")?.textContent ?? "{}");
const cells = [...document.querySelectorAll("#means td[data-column]")];
for (const cell of cells) {
  cell.means = { html: cell.innerHTML, sort: cell.dataset.sort };
}
const hint = document.getElementById("baseline-hint");
const meansHint = hint?.textContent;

function part(name, text) {
  const span = document.createElement("span");
  span.className = name;
  span.textContent = text;
  return span;
}

baseline?.addEventListener("change", () => {
  const chosen = baseline.value;
  hint.textContent = chosen
    ? "Paired difference and its 95 % interval; ● better and ○ worse where the interval excludes zero."
    : meansHint;
  for (const cell of cells) {
    cell.classList.remove("better", "worse");
    if (!chosen) {
      cell.innerHTML = cell.means.html;
      cell.dataset.sort = cell.means.sort;
      continue;
    }
    const change = changes[chosen]?.[cell.parentElement.dataset.system]?.[cell.dataset.column];
    if (!change) {
      cell.replaceChildren(part("mean", "–"));
      cell.dataset.sort = "";
      continue;
    }
    const [mean, interval, n, verdict] = change;
    cell.replaceChildren(part("mean", mean), " ", part("interval", interval ? `${interval}, n=${n}` : `n=${n}`));
    cell.dataset.sort = mean.replace("−", "-");
    if (verdict) cell.classList.add(verdict);
  }
});

// Players: one at a time, and within a clip the next goes on where the last one was.
const players = [...document.querySelectorAll("audio")];
let current = null;
for (const player of players) {
  player.addEventListener("play", () => {
    if (current && current !== player && !current.paused) {
      const moment = current.currentTime;
      const together = current.closest(".clip:not(.apart)") === player.closest(".clip");
      current.pause();
      if (together) player.currentTime = moment;
    }
    current = player;
    player.closest("article").classList.add("playing");
  });
  for (const event of ["pause", "ended"]) {
    player.addEventListener(event, () => player.closest("article").classList.remove("playing"));
  }
}
