// Boxes that a person puts around what was tampered with: drawn on the photo, or typed; kept beside the answer.

import { boxesOf, keepBoxes } from "./corrections.js";
import { el } from "./dom.js";

const NUMBERS = ["x", "y", "width", "height"];

export class Boxes {
  constructor({ sha256, result }, viewer) {
    this.sha256 = sha256;
    this.size = [result.width, result.height];
    this.viewer = viewer;
    this.list = el("section", { className: "boxes", "aria-label": "Boxes" }); // below the photo, which stays where it is
    this.draw = el("button", { type: "button", textContent: "Draw on the photo", onclick: () => this.#setDrawing(!viewer.drawing) });
    this.addOne = el("button", { type: "button", textContent: "Add a box", onclick: () => this.#add(viewer.middle(), true) });
    const asked = el("span", { className: "quiet", textContent: "Where? You need not say, but a box around each part teaches more." });
    this.buttons = el("p", { className: "row answer", role: "group", "aria-label": "Where?" }, asked, this.draw, this.addOne);
    viewer.onbox = (box) => this.#add(box, false);
    this.show();
  }

  // With the person's answer: what is not known to be tampered has no boxes.
  show() {
    const boxes = boxesOf(this.sha256);
    this.buttons.hidden = this.list.hidden = !boxes;
    this.boxes = boxes ?? [];
    this.#setDrawing(false);
    this.#fill();
  }

  #setDrawing(drawing) {
    this.viewer.setDrawing(drawing);
    this.draw.setAttribute("aria-pressed", String(drawing));
  }

  #add(box, focus) {
    this.boxes.push(box);
    this.#keep();
    this.#fill();
    if (focus) this.list.lastElementChild.querySelector("input").focus();
  }

  #remove(place) {
    this.boxes.splice(place, 1);
    this.#keep();
    this.#fill();
    const next = this.list.children[Math.min(place, this.boxes.length - 1)];
    (next?.querySelector("button") ?? this.addOne).focus();
  }

  #keep() {
    keepBoxes(this.sha256, this.boxes);
    this.viewer.setBoxes(this.boxes);
  }

  #fill() {
    this.viewer.setBoxes(this.boxes);
    this.list.replaceChildren(...this.boxes.map((box, i) => this.#row(box, i)));
  }

  #row(box, place) {
    const inputs = box.map((value, i) =>
      el("input", { type: "number", step: 1, min: i < 2 ? 0 : 1, max: this.size[i % 2] - (i < 2), value, onchange: () => set(i, inputs[i].valueAsNumber) }),
    );
    // Whole pixels, and inside the photo, whatever is typed.
    const set = (i, value) => {
      const axis = i % 2;
      const most = i < 2 ? this.size[axis] - 1 : this.size[axis] - box[axis];
      box[i] = Math.min(most, Math.max(i < 2 ? 0 : 1, Math.round(value) || 0));
      box[axis + 2] = Math.min(box[axis + 2], this.size[axis] - box[axis]);
      box.forEach((number, j) => (inputs[j].value = number));
      this.#keep();
    };
    return el(
      "div",
      { className: "row", role: "group", "aria-label": `Box ${place + 1}` },
      el("span", { textContent: `Box ${place + 1}` }),
      ...inputs.map((input, i) => el("label", {}, el("span", { className: "quiet", textContent: NUMBERS[i] }), input)),
      el("button", { type: "button", textContent: "Remove", "aria-label": `Remove box ${place + 1}`, onclick: () => this.#remove(place) }),
    );
  }
}
