"use strict";
// Show the pairs whose strength and kind are both ticked.
const filters = document.getElementById("filters");
if (filters) {
  const boxes = [...filters.querySelectorAll("input")];
  const pairs = [...document.querySelectorAll("section.found")];
  const live = document.getElementById("live");
  const apply = () => {
    const ticked = (name) => new Set(boxes.filter((box) => box.dataset.filter === name && box.checked).map((box) => box.value));
    const strengths = ticked("strength");
    const kinds = ticked("kind");
    for (const pair of pairs) pair.hidden = !strengths.has(pair.dataset.strength) || !kinds.has(pair.dataset.kind);
    live.textContent = `${pairs.filter((pair) => !pair.hidden).length} of ${pairs.length} shown`;
  };
  filters.addEventListener("change", apply);
  filters.hidden = false;
  apply();
}
