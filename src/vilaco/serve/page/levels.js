// Brightness, contrast and gamma of the photo as it is shown; what was judged and what is saved stay as they are.

import { el } from "./dom.js";

const signed = (value) => (value > 0 ? `+${value}` : `${value}`);
const gammaOf = (value) => 4 ** (value / 100);
const SLIDERS = [
  ["Brightness", signed],
  ["Contrast", signed],
  ["Gamma", (value) => gammaOf(value).toFixed(2)],
];

// What becomes of each of 256 levels; null where nothing is changed. All three run from -100 to 100, 0 in the middle.
export function levelTable(brightness, contrast, gamma) {
  if (!brightness && !contrast && !gamma) return null;
  const slope = contrast < 0 ? 1 + contrast / 100 : 1 + contrast / 25;
  const table = new Uint8ClampedArray(256);
  for (let level = 0; level < 256; level++) {
    const straight = (level / 255 - 0.5) * slope + 0.5 + brightness / 100;
    table[level] = 255 * Math.min(1, Math.max(0, straight)) ** (1 / gammaOf(gamma));
  }
  return table;
}

export function applyLevels(context, width, height, table) {
  if (!table) return;
  const image = context.getImageData(0, 0, width, height);
  const { data } = image;
  for (let i = 0; i < data.length; i += 4) {
    for (let channel = i; channel < i + 3; channel++) data[channel] = table[data[channel]];
  }
  context.putImageData(image, 0, 0);
}

export function levelSliders(onchange) {
  const inputs = SLIDERS.map(() => el("input", { type: "range", min: -100, max: 100, value: 0 }));
  const outputs = SLIDERS.map(() => el("output"));
  const changed = () => {
    const values = inputs.map((input) => Number(input.value));
    outputs.forEach((output, i) => (output.textContent = SLIDERS[i][1](values[i])));
    onchange(levelTable(...values));
  };
  const reset = () => {
    for (const input of inputs) input.value = 0;
    changed();
  };
  for (const input of inputs) input.addEventListener("input", changed);
  outputs.forEach((output, i) => (output.textContent = SLIDERS[i][1](0)));
  return el(
    "details",
    { className: "levels" },
    el("summary", { textContent: "Levels" }),
    el(
      "div",
      { className: "controls" },
      ...SLIDERS.map(([name], i) => el("label", { className: "slider" }, el("span", { textContent: name }), inputs[i], outputs[i])),
      el("button", { type: "button", textContent: "As it is", onclick: reset }),
    ),
  );
}
