// Photo, map, error levels and noise of one place side by side, each pixel of the photo a square of the same size.

import { el } from "./dom.js";
import { applyLevels } from "./levels.js";

const SIDE = 144; // screen pixels of a view
const ZOOMS = [4, 8, 12, 16]; // each divides SIDE
const VIEWS = ["Photo", "Map", "Error levels", "Noise"];

export class Magnifier {
  // `load` gives the four pictures in the order of VIEWS, all of the photo's size; it is asked when the view is opened.
  constructor(width, height, load, onplace) {
    this.size = [width, height];
    this.place = [Math.floor(width / 2), Math.floor(height / 2)];
    this.zoom = ZOOMS[1];
    this.table = null;
    this.onplace = onplace;
    this.canvases = VIEWS.map((name) => el("canvas", { width: SIDE, height: SIDE, role: "img", "aria-label": `${name}, magnified` }));
    this.told = el("output", { className: "quiet" });
    const views = el(
      "div",
      {
        className: "magnifier",
        tabIndex: 0,
        role: "group",
        "aria-label": "Magnifier. Arrow keys move by a pixel, with Shift by ten; plus and minus zoom.",
        onkeydown: (event) => this.#key(event),
      },
      ...VIEWS.map((name, i) => el("figure", {}, this.canvases[i], el("figcaption", { textContent: name }))),
    );
    this.notice = el("p", { className: "error", role: "alert" });
    this.element = el(
      "details",
      { ontoggle: () => this.#opened(load) },
      el("summary", { textContent: "Magnifier" }),
      el("p", { className: "quiet", textContent: "Point at the photo, or use the arrow keys here. Error levels and noise mark much that is innocent and take no part in the verdict." }),
      views,
      this.told,
      this.notice,
    );
  }

  show(x, y) {
    this.place = [x, y].map((value, i) => Math.min(this.size[i] - 1, Math.max(0, Math.floor(value))));
    this.draw();
  }

  setLevels(table) {
    this.table = table;
    this.draw();
  }

  draw() {
    if (!this.pictures || !this.element.open) return;
    const seen = SIDE / this.zoom;
    const [left, top] = this.place.map((value) => value - Math.floor(seen / 2));
    this.canvases.forEach((canvas, i) => {
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.clearRect(0, 0, SIDE, SIDE);
      context.imageSmoothingEnabled = false;
      context.drawImage(this.pictures[i], left, top, seen, seen, 0, 0, SIDE, SIDE);
      if (i === 0) applyLevels(context, SIDE, SIDE, this.table);
      const corner = Math.floor(seen / 2) * this.zoom;
      for (const [colour, out] of [["black", 1.5], ["white", 0.5]]) {
        context.strokeStyle = colour;
        context.strokeRect(corner - out, corner - out, this.zoom + 2 * out, this.zoom + 2 * out);
      }
    });
    this.told.textContent = `Pixel ${this.place.join(", ")}; each is ${this.zoom} × ${this.zoom} here.`;
    this.onplace([left, top, seen, seen]);
  }

  async #opened(load) {
    if (!this.element.open) return this.onplace(null);
    try {
      if (!this.pictures) this.told.textContent = "Loading…";
      this.pictures ??= await load();
    } catch (error) {
      this.told.textContent = "";
      this.notice.textContent = error.message;
    }
    this.draw();
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? 10 : 1;
    const [x, y] = this.place;
    const at = ZOOMS.indexOf(this.zoom);
    const keys = {
      ArrowLeft: () => this.show(x - step, y),
      ArrowRight: () => this.show(x + step, y),
      ArrowUp: () => this.show(x, y - step),
      ArrowDown: () => this.show(x, y + step),
      "+": () => (this.zoom = ZOOMS[Math.min(at + 1, ZOOMS.length - 1)]),
      "=": () => (this.zoom = ZOOMS[Math.min(at + 1, ZOOMS.length - 1)]),
      "-": () => (this.zoom = ZOOMS[Math.max(at - 1, 0)]),
    };
    if (!(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
    this.draw();
  }
}
