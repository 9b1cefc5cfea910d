// What a judged photo and a comparison are both shown with.

import { getBlob } from "./api.js";
import { el, percent, save } from "./dom.js";

export function slider(label, value, onchange) {
  const shownValue = el("output", { textContent: percent(value) });
  const input = el("input", {
    type: "range",
    min: 0,
    max: 100,
    value: 100 * value,
    oninput: () => {
      shownValue.textContent = percent(input.value / 100);
      onchange(input.value / 100);
    },
  });
  return el("label", { className: "slider" }, el("span", { textContent: label }), input, shownValue);
}

export function zoomButtons(viewer) {
  const zoom = el("output", { className: "zoom" });
  viewer.onview = (scale) => (zoom.textContent = percent(scale));
  const button = (text, label, onclick) => el("button", { type: "button", textContent: text, "aria-label": label, title: label, onclick });
  const both = el("button", { type: "button", textContent: "Side by side", "aria-pressed": String(viewer.sideBySide) });
  both.addEventListener("click", () => {
    viewer.setSideBySide(!viewer.sideBySide);
    both.setAttribute("aria-pressed", String(viewer.sideBySide));
  });
  return el(
    "div",
    { className: "row", role: "group", "aria-label": "Zoom" },
    button("−", "Zoom out", () => viewer.zoom(-1)),
    zoom,
    button("+", "Zoom in", () => viewer.zoom(1)),
    button("Fit", "Fit the whole photo", () => viewer.fit()),
    button("Pixels", "One pixel of the photo on one of the screen", () => viewer.pixels()),
    both,
  );
}

export function showRegions(place, regions, { width, height }, viewer, score, nothing) {
  const title = el("h3", { textContent: "Regions" });
  if (!regions.length) {
    place.replaceChildren(title, el("p", { className: "quiet", textContent: nothing }));
    return;
  }
  const rows = regions.map(({ box, area, mean_score: mean, strength }, i) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, el("button", { type: "button", textContent: `Region ${i + 1}`, title: "Show this region", onclick: () => viewer.look(box) })),
      el("td", { textContent: percent(area / (width * height)) }),
      el("td", { textContent: `${box[2]} × ${box[3]}` }),
      el("td", { textContent: strength ? `${mean.toFixed(2)}, ${strength}` : mean.toFixed(2) }),
    ),
  );
  place.replaceChildren(
    title,
    el(
      "table",
      {},
      el("thead", {}, el("tr", {}, ...["", "of the photo", "pixels", score].map((text) => el("th", { scope: "col", textContent: text })))),
      el("tbody", {}, ...rows),
    ),
  );
}

export const limits = (sentences) =>
  el(
    "details",
    {},
    el("summary", { textContent: "What this does not mean" }),
    el("ul", {}, ...sentences.map((sentence) => el("li", { textContent: sentence }))),
  );

export const download = (text, path, name, notice, className = "") =>
  el("button", {
    type: "button",
    className,
    textContent: text,
    onclick: async () => {
      try {
        save(await getBlob(path()), name);
      } catch (error) {
        notice.textContent = error.message;
      }
    },
  });

// The file itself where the browser shows its type as the service saw it; else its pixels from the service.
export async function pictureOf(url, { width, height, notes }, path) {
  const pixels = async () => createImageBitmap(await getBlob(path));
  if (notes.length) return pixels();
  const own = el("img", { src: url, alt: "" });
  try {
    await own.decode();
    if (own.naturalWidth === width && own.naturalHeight === height) return own;
  } catch {
    // a type that browsers do not show
  }
  return pixels();
}
