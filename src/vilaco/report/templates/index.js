"use strict";
(() => {
  const table = document.getElementById("index");
  if (!table) return;
  const headers = [...table.querySelectorAll("th[data-key]")];
  const names = new Intl.Collator(undefined, { numeric: true });
  const compare = {
    name: (a, b) => names.compare(a.dataset.name, b.dataset.name),
    verdict: (a, b) => a.dataset.verdict - b.dataset.verdict,
    score: (a, b) => b.dataset.score - a.dataset.score,
    regions: (a, b) => b.dataset.regions - a.dataset.regions,
  };
  for (const header of headers) {
    header.querySelector("button").addEventListener("click", () => {
      const again = header.getAttribute("aria-sort") === "ascending";
      for (const other of headers) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", again ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows].sort(compare[header.dataset.key]);
      table.tBodies[0].append(...(again ? rows.reverse() : rows));
    });
  }
})();
