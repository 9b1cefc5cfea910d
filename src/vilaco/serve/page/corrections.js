// What a person says about verdicts, kept in this browser alone, and exported as a manifest for `vilaco train`.

import { $, el, save } from "./dom.js";

const KEY = "vilaco-corrections";
const COLUMNS = ["path", "label", "boxes", "sha256", "verdict", "score", "model"];

function load() {
  try {
    return new Map(JSON.parse(localStorage.getItem(KEY)) ?? []);
  } catch {
    return new Map();
  }
}

function store(corrections) {
  localStorage.setItem(KEY, JSON.stringify([...corrections]));
  show();
}

export const labelOf = (sha256) => load().get(sha256)?.label;

// Of a photo that the person called tampered, [x, y, width, height] each; undefined of others.
export function boxesOf(sha256) {
  const row = load().get(sha256);
  return row?.label === 1 ? (row.boxes ?? []) : undefined;
}

export function keepBoxes(sha256, boxes) {
  const corrections = load();
  const row = corrections.get(sha256);
  if (row?.label !== 1) return; // forgotten meanwhile
  row.boxes = boxes;
  store(corrections);
}

// `path` is the file's own, from where it was dropped; the service shortens and cleans the name that it is told.
export function correct(photo, path, label) {
  const corrections = load();
  if (label === null) corrections.delete(photo.sha256);
  else {
    corrections.set(photo.sha256, {
      path,
      label,
      sha256: photo.sha256,
      verdict: photo.result.verdict,
      score: photo.result.detection_score.toFixed(4),
      model: photo.result.model,
    });
  }
  store(corrections);
}

// A manifest lists a path once; of two photos with one name the first stays.
function split() {
  const byPath = new Map();
  const clashing = [];
  for (const row of load().values()) {
    if (byPath.has(row.path)) clashing.push(row.path);
    else byPath.set(row.path, row);
  }
  return { rows: [...byPath.values()], clashing };
}

function cell(value) {
  const text = Array.isArray(value) ? value.map((box) => box.join(" ")).join("; ") : String(value ?? "");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

// A spreadsheet would take a name that starts so for a formula.
const safePath = (name) => (/^[=+\-@]/.test(name) ? `./${name}` : name);

export function manifest() {
  const { rows } = split();
  const lines = rows.map((row) => COLUMNS.map((name) => cell(name === "path" ? safePath(row.path) : row[name])).join(","));
  return [COLUMNS.join(","), ...lines].map((line) => `${line}\r\n`).join("");
}

export function show() {
  const { rows, clashing } = split();
  const section = $("corrections");
  section.hidden = rows.length === 0;
  const tampered = rows.filter((row) => row.label === 1).length;
  const boxes = rows.reduce((count, row) => count + (row.boxes?.length ?? 0), 0);
  const children = [
    el("h2", { textContent: "Your answers" }),
    el("p", { textContent: `${tampered} tampered, ${rows.length - tampered} authentic${boxes ? `; boxes: ${boxes}` : ""}. Kept in this browser only.` }),
    clashing.length
      ? el("p", { className: "error", textContent: `Left out, as another photo has the same name: ${clashing.join(", ")}` })
      : null,
    el(
      "p",
      { className: "row" },
      el("button", {
        type: "button",
        textContent: "Export manifest",
        onclick: () => save(new Blob([manifest()], { type: "text/csv" }), "manifest.csv"),
      }),
      el("button", {
        type: "button",
        textContent: "Forget",
        onclick: () => confirm(`Forget ${rows.length} answers?`) && store(new Map()),
      }),
    ),
    el(
      "p",
      { className: "quiet" },
      "Put manifest.csv beside what you dropped, the photos or the folder; then ",
      el("code", { textContent: "vilaco train" }),
      " learns from them",
      ...(boxes ? ["; of the boxes only with ", el("code", { textContent: "--boxes" })] : []),
      ".",
    ),
  ];
  section.replaceChildren(...children.filter(Boolean));
}
