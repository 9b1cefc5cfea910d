// One photo's answer: verdict in words, pictures, regions, the file's evidence, downloads, and the person's own answer.

import { getBlob, getJson } from "./api.js";
import { Boxes } from "./boxes.js";
import { correct, labelOf } from "./corrections.js";
import { evidenceSection } from "./evidence.js";
import { $, el, stem } from "./dom.js";
import { levelSliders } from "./levels.js";
import { Magnifier } from "./magnifier.js";
import { download, limits, pictureOf, showRegions, slider, zoomButtons } from "./parts.js";
import { Viewer } from "./viewer.js";

const CLASSES = { tampered: "tampered", "nothing found": "nothing-found", "cannot tell": "unsure" };
const SETTLE_MS = 200;

let shown = null; // the item that stands there
let shownState = ""; // "done", "failed" or "open"
let viewer = null;

export function closeDetail() {
  viewer?.close();
  viewer = shown = null;
  $("detail").replaceChildren();
}

// Called again and again while a photo waits: what stands there stays, so that focus and clicks do too.
export function showDetail(item, { words, forget, again }) {
  const state = item.state === "done" || item.state === "failed" ? item.state : "open";
  if (shown !== item || shownState !== state) {
    closeDetail();
    shown = item;
    shownState = state;
    if (state === "done") showAnswer(item, forget, again);
    else showUnanswered(item, state, forget, again);
  }
  if (state === "open") $("detail").querySelector(".waiting").textContent = words;
}

function showUnanswered(item, state, forget, again) {
  const message =
    state === "failed"
      ? { className: "error", role: "alert", textContent: `This photo ${item.failure}: ${item.problem}.` }
      : { className: "quiet waiting" };
  const button = (textContent, onclick) => el("button", { type: "button", textContent, onclick });
  const partly = state === "failed" && item.code === "truncated" && item.problem.includes("% of the picture");
  $("detail").replaceChildren(
    el("h2", { className: "name", textContent: item.name }),
    el("p", message),
    el(
      "p",
      { className: "row" },
      partly ? button("Judge the part that is there", () => again({ acceptTruncated: true })) : null,
      button("Remove", forget),
    ),
  );
}

async function showAnswer(item, forget, again) {
  const { photo } = item;
  const { result } = photo;
  viewer = new Viewer(result.width, result.height);
  const regions = el("div", { className: "regions" });
  const notice = el("p", { className: "error", role: "alert" });
  const ours = viewer;
  const picture = () => pictureOf(item.url, result, `v1/photos/${photo.id}/photo.png`);
  const magnifier = new Magnifier(
    result.width,
    result.height,
    async () => {
      const names = ["map", "ela", "noise"];
      const blobs = await Promise.all(names.map((name) => getBlob(`v1/photos/${photo.id}/${name}.png`)));
      return Promise.all([ours.photo ?? picture(), ...blobs.map((blob) => createImageBitmap(blob))]);
    },
    (box) => ours.setMagnified(box),
  );
  ours.onpoint = (x, y) => magnifier.show(x, y);
  const levels = levelSliders((table) => {
    ours.setLevels(table);
    magnifier.setLevels(table);
  });
  const boxes = result.page > 1 ? null : new Boxes(photo, viewer); // a manifest speaks of a file's first page
  $("detail").replaceChildren(
    el("h2", { className: "name", textContent: item.name }),
    ...(result.pages > 1 ? [pageChooser(result, again)] : []),
    verdict(photo),
    answerButtons(photo, item.name, () => boxes?.show()),
    ...(boxes ? [boxes.buttons] : []),
    notice,
    viewer.element,
    ...(boxes ? [boxes.list] : []),
    controls(photo, regions, notice),
    levels,
    magnifier.element,
    regions,
    ...(photo.evidence ? [evidenceSection(photo.evidence, photo.hints)] : []),
    downloads(photo, notice, forget),
  );
  viewer.setSideBySide(viewer.sideBySide);
  showRegionsOf(regions, result.regions, photo);
  try {
    const map = await getBlob(`v1/photos/${photo.id}/map.png`);
    const mask = result.region_thresholds ? await getBlob(`v1/photos/${photo.id}/mask.png`) : null;
    const shown = await picture();
    if (viewer === ours) await viewer.show(shown, map, mask);
  } catch (error) {
    notice.textContent = error.message;
  }
}

function pageChooser({ page, pages }, again) {
  const numbers = Array.from({ length: pages }, (_, i) => el("option", { value: i + 1, textContent: i + 1 }));
  const chooser = el("select", { onchange: () => again({ page: Number(chooser.value) }) }, ...numbers);
  chooser.value = page;
  return el("p", { className: "row" }, el("label", { className: "page" }, "Page ", chooser, ` of ${pages}`));
}

function verdict({ result, words }) {
  return el(
    "section",
    { className: `verdict ${CLASSES[result.verdict]}`, "aria-label": "Verdict" },
    el("p", { className: "headline", textContent: words.headline }),
    ...words.meaning.map((sentence) => el("p", { textContent: sentence })),
    result.notes.length ? el("p", { className: "notes", textContent: `Mind: ${result.notes.join("; ")}.` }) : null,
    result.is_blank ? null : scale(result),
    limits(words.limits),
  );
}

// The score on a line from 0 to 1, with the two limits between which nothing is said.
function scale({ detection_score: score, authentic_threshold: low, decision_threshold: high }) {
  const mark = el("span", { className: "mark" });
  mark.style.setProperty("--at", `${100 * score}%`);
  const text = `Score ${score.toFixed(3)}; suspicious above ${low.toFixed(3)}, tampered above ${high.toFixed(3)}`;
  const line = el("div", { className: "line", role: "img", "aria-label": text }, mark);
  line.style.setProperty("--low", `${100 * low}%`);
  line.style.setProperty("--high", `${100 * high}%`);
  const captions = ["nothing found", `score ${score.toFixed(3)}`, "tampered"];
  return el(
    "figure",
    { className: "scale" },
    line,
    el("figcaption", { className: "quiet" }, ...captions.map((caption) => el("span", { textContent: caption }))),
  );
}

function answerButtons(photo, path, onanswer) {
  const { verdict: said } = photo.result;
  const choices =
    said === "tampered"
      ? [["Right", 1], ["Wrong", 0]]
      : [["It is tampered", 1], ["It is authentic", 0]];
  const buttons = choices.map(([text, label]) =>
    el("button", {
      type: "button",
      textContent: text,
      onclick: () => {
        correct(photo, path, labelOf(photo.sha256) === label ? null : label);
        press();
        onanswer();
      },
    }),
  );
  const press = () =>
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(labelOf(photo.sha256) === choices[i][1])));
  press();
  const question = said === "tampered" ? "Is the verdict right?" : "Do you know?";
  return el("p", { className: "row answer", role: "group", "aria-label": question }, el("span", { textContent: question }), ...buttons);
}

function controls(photo, regions, notice) {
  const ours = viewer;
  const { result } = photo;
  let timer = 0;
  const threshold = (value) => {
    ours.setThreshold(value);
    clearTimeout(timer);
    timer = setTimeout(async () => {
      try {
        const found = await getJson(`v1/photos/${photo.id}/regions?threshold=${value}`);
        if (viewer === ours && ours.threshold === value) showRegionsOf(regions, found.regions, photo);
      } catch (error) {
        notice.textContent = error.message;
      }
    }, SETTLE_MS);
  };
  const outline = slider("Threshold of the outline", result.mask_threshold, threshold);
  return el(
    "div",
    { className: "controls" },
    slider("Map over the photo", ours.opacity, (value) => ours.setOpacity(value)),
    ...(result.region_thresholds ? [wholeMap(photo, outline, regions)] : []),
    outline,
    zoomButtons(ours),
  );
}

// Only what stands out is drawn, unless the person asks for all; then the threshold counts.
function wholeMap(photo, outline, regions) {
  const ours = viewer;
  const input = outline.querySelector("input");
  input.disabled = true;
  const box = el("input", {
    type: "checkbox",
    onchange: () => {
      ours.setWhole(box.checked);
      input.disabled = !box.checked;
      if (box.checked) {
        input.dispatchEvent(new Event("input"));
        return;
      }
      ours.setThreshold(photo.result.mask_threshold);
      showRegionsOf(regions, photo.result.regions, photo);
    },
  });
  return el("label", { className: "choice" }, box, "Whole map, as it is on authentic photos too");
}

const showRegionsOf = (place, regions, { result }) =>
  showRegions(place, regions, result, viewer, "mean of the map", result.region_thresholds && !viewer.whole ? "Nothing stands out." : "Nothing on the map is above this threshold.");

function downloads(photo, notice, forget) {
  const ours = viewer;
  const file = (text, path, ending, className = "") =>
    download(text, () => `v1/photos/${photo.id}/${path()}`, `${stem(photo.name)}.${ending}`, notice, className);
  return el(
    "p",
    { className: "row downloads" },
    file("Report", () => "report.html", "report.html", "primary"),
    file("Mask", () => (ours.whole ? `mask.png?threshold=${ours.threshold}` : "mask.png"), "mask.png"),
    file("Map", () => "map.png", "map.png"),
    file("Overlay", () => "overlay.jpg", "overlay.jpg"),
    el("button", { type: "button", textContent: "Remove", onclick: forget }),
  );
}
