// The photo, and the photo under its map, side by side: one zoom and one place for both, down to single pixels.

import { el } from "./dom.js";
import { applyLevels } from "./levels.js";

const TINT = [255, 0, 128]; // as in the overlays that vilaco saves
const TINT_FROM = 0.25;
const TINT_FULL = 0.75;
const MAX_OVERLAY = 1024; // pixels along the longer side of what is drawn over the photo
const MAX_ZOOM = 32; // screen pixels for one of the photo
const STEP = 1.25;
const LEAST_DRAG = 4; // screen pixels each way; less is a click, not a box

export class Viewer {
  constructor(width, height, marks = "map") {
    this.width = width;
    this.height = height;
    this.opacity = 0.6;
    this.threshold = 0.5;
    this.sideBySide = matchMedia("(min-width: 60rem)").matches;
    this.pointers = new Map();
    this.left = el("canvas", { className: "pane plain" });
    this.right = el("canvas", { className: "pane" });
    this.element = el(
      "div",
      {
        className: "panes",
        tabIndex: 0,
        role: "group",
        "aria-label": `Photo and ${marks}. Plus and minus zoom, arrow keys move, 0 fits, 1 shows single pixels.`,
        onkeydown: (event) => this.#key(event),
      },
      this.left,
      this.right,
    );
    this.element.style.setProperty("--aspect", `${width} / ${height}`);
    this.right.setAttribute("role", "img");
    this.right.setAttribute("aria-label", `The photo under its ${marks}`);
    this.left.setAttribute("role", "img");
    this.left.setAttribute("aria-label", "The photo");
    for (const pane of [this.left, this.right]) {
      pane.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
      pane.addEventListener("pointerdown", (event) => this.#down(event));
      pane.addEventListener("pointermove", (event) => this.#move(event));
      for (const end of ["pointerup", "pointercancel"]) {
        pane.addEventListener(end, (event) => this.#up(event));
      }
      pane.addEventListener("dblclick", (event) => this.#zoomAt(event, 3));
    }
    this.observer = new ResizeObserver(() => this.#resized());
    this.observer.observe(this.element);
    this.onview = () => {};
    this.onpoint = () => {}; // told where in the photo somebody points
    this.levels = null; // what becomes of each of 256 levels
    this.magnified = null; // the part that a magnifier shows
    this.boxes = []; // that a person put on the photo, [x, y, width, height] each
    this.drawing = false; // whether a pointer draws a box, and moves nothing
    this.drawn = null; // {pointer, from, to} of the box that is being drawn
    this.onbox = () => {}; // told of a box that was drawn
  }

  // The photo's picture, its map as a picture whose grey is the map, and where of it is worth a look, if that is known.
  async show(photo, mapBlob, maskBlob = null) {
    this.photo = photo;
    const shrink = Math.min(1, MAX_OVERLAY / Math.max(this.width, this.height));
    const size = {
      resizeWidth: Math.max(1, Math.round(this.width * shrink)),
      resizeHeight: Math.max(1, Math.round(this.height * shrink)),
      resizeQuality: "medium",
    };
    const map = await createImageBitmap(mapBlob, size);
    this.cells = new OffscreenCanvas(map.width, map.height);
    this.map = this.#read(map);
    this.kept = null;
    if (maskBlob) {
      const mask = this.#read(await createImageBitmap(maskBlob, size));
      this.kept = this.map.map((value, i) => (mask[i] > 127 ? value : 0));
    }
    this.setWhole(!this.kept);
    this.fit();
  }

  // All of the map, or what of it is worth a look.
  setWhole(whole) {
    this.values = whole ? this.map : this.kept;
    const context = this.cells.getContext("2d", { willReadFrequently: true });
    const image = context.createImageData(this.cells.width, this.cells.height);
    for (let i = 0; i < this.values.length; i++) {
      const strength = (this.values[i] / 255 - TINT_FROM) / (TINT_FULL - TINT_FROM);
      image.data.set([...TINT, 255 * Math.min(1, Math.max(0, strength))], 4 * i);
    }
    context.putImageData(image, 0, 0);
    this.tint = this.cells;
    this.setThreshold(this.threshold);
  }

  get whole() {
    return this.values === (this.map ?? null);
  }

  #read(picture) {
    const { width, height } = this.cells;
    const context = this.cells.getContext("2d", { willReadFrequently: true });
    context.drawImage(picture, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    return new Uint8Array(width * height).map((_, i) => data[4 * i]);
  }

  // Another picture of the same size in the photo's place.
  showInstead(picture) {
    this.photo = picture;
    this.draw();
  }

  setLevels(levels) {
    this.levels = levels;
    this.draw();
  }

  setMagnified(box) {
    this.magnified = box;
    this.draw();
  }

  setBoxes(boxes) {
    this.boxes = boxes;
    this.draw();
  }

  setDrawing(drawing) {
    this.drawing = drawing;
    this.drawn = null;
    this.element.classList.toggle("drawing", drawing);
    this.draw();
  }

  // A box in the middle of what is seen, half as wide and as high.
  middle() {
    const half = [this.right.clientWidth, this.right.clientHeight].map((side) => side / 4 / this.scale);
    return this.#box([this.x - half[0], this.y - half[1]], [this.x + half[0], this.y + half[1]]);
  }

  setOpacity(opacity) {
    this.opacity = opacity;
    this.draw();
  }

  setThreshold(threshold) {
    this.threshold = threshold;
    if (this.tint) this.outline = outline(this.values, this.tint.width, this.tint.height, threshold * 255);
    this.draw();
  }

  setSideBySide(both) {
    this.sideBySide = both;
    this.element.classList.toggle("both", both);
    this.left.hidden = !both;
    this.#resized();
  }

  fit() {
    this.fitted = true;
    this.scale = this.#fitScale();
    this.x = this.width / 2;
    this.y = this.height / 2;
    this.draw();
  }

  pixels() {
    this.#zoom(1 / (devicePixelRatio || 1) / this.scale);
  }

  zoom(steps) {
    this.#zoom(STEP ** steps);
  }

  look([x, y, width, height]) {
    this.marked = [x, y, width, height];
    const room = Math.min(this.right.clientWidth / (width * 1.6), this.right.clientHeight / (height * 1.6));
    this.fitted = false;
    this.scale = this.#clampedScale(Math.max(room, this.#fitScale()));
    this.x = x + width / 2;
    this.y = y + height / 2;
    this.draw();
  }

  close() {
    this.observer.disconnect();
  }

  draw() {
    if (!this.photo) return;
    this.#clampPlace();
    const panes = this.sideBySide ? [this.left, this.right] : [this.right];
    for (const pane of panes) this.#drawPane(pane, pane === this.right);
    this.onview(this.scale * (devicePixelRatio || 1));
  }

  #drawPane(pane, withMap) {
    const ratio = devicePixelRatio || 1;
    const context = pane.getContext("2d");
    const scale = this.scale * ratio;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, pane.width, pane.height);
    context.setTransform(scale, 0, 0, scale, pane.width / 2 - this.x * scale, pane.height / 2 - this.y * scale);
    if (this.levels) this.#drawLevelled(context);
    else this.#drawPhoto(context);
    if (this.magnified) {
      context.strokeStyle = "#5cc8ff";
      context.lineWidth = (2 * ratio) / scale;
      context.strokeRect(...this.magnified);
    }
    if (withMap) this.#drawMap(context, ratio, scale);
    const drawn = this.drawn ? [this.#box(this.drawn.from, this.drawn.to)] : [];
    for (const [colour, width] of [["rgb(0 0 0 / 70%)", 4], ["#4be08a", 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = (width * ratio) / scale;
      for (const box of [...this.boxes, ...drawn]) context.strokeRect(...box);
    }
  }

  #drawMap(context, ratio, scale) {
    context.imageSmoothingEnabled = true;
    context.globalAlpha = this.opacity;
    context.drawImage(this.tint, 0, 0, this.width, this.height);
    context.globalAlpha = 1;
    const cell = [this.width / this.tint.width, this.height / this.tint.height];
    const path = new Path2D();
    path.addPath(this.outline, new DOMMatrix().scale(...cell));
    for (const [colour, width] of [["rgb(0 0 0 / 70%)", 3.5], ["white", 1.5]]) {
      context.strokeStyle = colour;
      context.lineWidth = (width * ratio) / scale;
      context.stroke(path);
    }
    if (this.marked) {
      context.setLineDash([(6 * ratio) / scale, (4 * ratio) / scale]);
      context.strokeStyle = "#ffd34d";
      context.lineWidth = (2 * ratio) / scale;
      context.strokeRect(...this.marked);
      context.setLineDash([]);
    }
  }

  #drawPhoto(context) {
    context.imageSmoothingEnabled = context.getTransform().a < 2;
    context.drawImage(this.photo, 0, 0, this.width, this.height);
  }

  #drawLevelled(context) {
    const { width, height } = context.canvas;
    const sheet = new OffscreenCanvas(width, height);
    const readable = sheet.getContext("2d", { willReadFrequently: true });
    readable.setTransform(context.getTransform());
    this.#drawPhoto(readable);
    applyLevels(readable, width, height, this.levels);
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(sheet, 0, 0);
    context.restore();
  }

  #resized() {
    const ratio = devicePixelRatio || 1;
    for (const pane of [this.left, this.right]) {
      pane.width = Math.max(1, Math.round(pane.clientWidth * ratio));
      pane.height = Math.max(1, Math.round(pane.clientHeight * ratio));
    }
    if (this.fitted) this.fit();
    else this.draw();
  }

  #fitScale() {
    return Math.min(this.right.clientWidth / this.width, this.right.clientHeight / this.height) || 1;
  }

  #clampedScale(scale) {
    const least = Math.min(this.#fitScale(), 1);
    return Math.min(Math.max(scale, least), Math.max(MAX_ZOOM, least));
  }

  #clampPlace() {
    const halfWidth = this.right.clientWidth / 2 / this.scale;
    const halfHeight = this.right.clientHeight / 2 / this.scale;
    const within = (value, half, size) =>
      2 * half >= size ? size / 2 : Math.min(Math.max(value, half), size - half);
    this.x = within(this.x, halfWidth, this.width);
    this.y = within(this.y, halfHeight, this.height);
  }

  #zoom(factor, offsetX = 0, offsetY = 0) {
    const scale = this.#clampedScale(this.scale * factor);
    this.x += offsetX / this.scale - offsetX / scale;
    this.y += offsetY / this.scale - offsetY / scale;
    this.scale = scale;
    this.fitted = scale <= this.#fitScale();
    this.draw();
  }

  #zoomAt(event, factor) {
    const box = event.currentTarget.getBoundingClientRect();
    this.#zoom(factor, event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2);
  }

  #wheel(event) {
    // The page scrolls as usual until the viewer has been clicked or tabbed into.
    if (!event.ctrlKey && !this.element.contains(document.activeElement)) return;
    event.preventDefault();
    this.#zoomAt(event, STEP ** (-Math.sign(event.deltaY) || 0));
  }

  // Where in the photo an event is.
  #at(event) {
    const box = event.currentTarget.getBoundingClientRect();
    const from = (middle, at, start, length) => middle + (at - start - length / 2) / this.scale;
    return [from(this.x, event.clientX, box.left, box.width), from(this.y, event.clientY, box.top, box.height)];
  }

  // The whole pixels of the photo between two places, at least one.
  #box(from, to) {
    const box = [];
    for (const [axis, size] of [this.width, this.height].entries()) {
      const [low, high] = [from[axis], to[axis]].map((value) => Math.min(Math.max(value, 0), size)).sort((a, b) => a - b);
      box[axis] = Math.min(Math.floor(low), size - 1);
      box[axis + 2] = Math.max(1, Math.ceil(high) - box[axis]);
    }
    return box;
  }

  #down(event) {
    const at = this.#at(event);
    this.onpoint(...at);
    event.currentTarget.setPointerCapture(event.pointerId);
    if (this.drawing) this.drawn ??= { pointer: event.pointerId, from: at, to: at };
    else this.pointers.set(event.pointerId, event);
  }

  #up(event) {
    this.pointers.delete(event.pointerId);
    if (this.drawn?.pointer !== event.pointerId) return;
    const { from, to } = this.drawn;
    this.drawn = null;
    const wide = from.every((value, axis) => Math.abs(value - to[axis]) * this.scale >= LEAST_DRAG);
    if (wide && event.type === "pointerup") this.onbox(this.#box(from, to));
    this.draw();
  }

  #move(event) {
    if (this.drawn?.pointer === event.pointerId) {
      this.drawn.to = this.#at(event);
      this.draw();
      return;
    }
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      this.onpoint(...this.#at(event));
      return;
    }
    const others = [...this.pointers.values()].filter((pointer) => pointer.pointerId !== event.pointerId);
    this.pointers.set(event.pointerId, event);
    if (others.length) {
      const distance = (pointer) => Math.hypot(pointer.clientX - others[0].clientX, pointer.clientY - others[0].clientY);
      this.#zoomAt(event, distance(event) / (distance(before) || 1));
      return;
    }
    this.x -= (event.clientX - before.clientX) / this.scale;
    this.y -= (event.clientY - before.clientY) / this.scale;
    this.draw();
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const move = 60 / this.scale;
    const keys = {
      "+": () => this.zoom(1),
      "=": () => this.zoom(1),
      "-": () => this.zoom(-1),
      0: () => this.fit(),
      1: () => this.pixels(),
      ArrowLeft: () => (this.x -= move),
      ArrowRight: () => (this.x += move),
      ArrowUp: () => (this.y -= move),
      ArrowDown: () => (this.y += move),
    };
    if (!(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
    this.draw();
  }
}

// Border of the cells above a level, as lines along the cells' sides.
function outline(values, width, height, level) {
  const path = new Path2D();
  const above = (x, y) => x >= 0 && y >= 0 && x < width && y < height && values[y * width + x] > level;
  for (let y = 0; y <= height; y++) {
    for (let x = 0; x < width; x++) {
      if (above(x, y) === above(x, y - 1)) continue;
      const start = x;
      while (x < width && above(x, y) !== above(x, y - 1)) x++;
      path.moveTo(start, y);
      path.lineTo(x, y);
    }
  }
  for (let x = 0; x <= width; x++) {
    for (let y = 0; y < height; y++) {
      if (above(x, y) === above(x - 1, y)) continue;
      const start = y;
      while (y < height && above(x, y) !== above(x - 1, y)) y++;
      path.moveTo(x, start);
      path.lineTo(x, y);
    }
  }
  return path;
}
