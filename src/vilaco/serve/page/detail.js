// One photo's answer: verdict in words, pictures, regions, the file's evidence, downloads, and the person's own answer.

import { getBlob, getJson } from "./api.js";
import { correct, labelOf } from "./corrections.js";
import { evidenceSection } from "./evidence.js";
import { $, el, percent, save, stem } from "./dom.js";
import { levelSliders } from "./levels.js";
import { Magnifier } from "./magnifier.js";
import { Viewer } from "./viewer.js";

const CLASSES = { tampered: "tampered", authentic: "authentic", "cannot tell": "unsure" };
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
  const magnifier = new Magnifier(
    result.width,
    result.height,
    async () => {
      const names = ["map", "ela", "noise"];
      const blobs = await Promise.all(names.map((name) => getBlob(`v1/photos/${photo.id}/${name}.png`)));
      return Promise.all([ours.photo ?? pictureOf(item), ...blobs.map((blob) => createImageBitmap(blob))]);
    },
    (box) => ours.setMagnified(box),
  );
  ours.onpoint = (x, y) => magnifier.show(x, y);
  const levels = levelSliders((table) => {
    ours.setLevels(table);
    magnifier.setLevels(table);
  });
  $("detail").replaceChildren(
    el("h2", { className: "name", textContent: item.name }),
    ...(result.pages > 1 ? [pageChooser(result, again)] : []),
    verdict(photo),
    answerButtons(photo, item.name),
    notice,
    viewer.element,
    controls(photo, regions, notice),
    levels,
    magnifier.element,
    regions,
    ...(photo.evidence ? [evidenceSection(photo.evidence, photo.hints)] : []),
    downloads(photo, notice, forget),
  );
  viewer.setSideBySide(viewer.sideBySide);
  showRegions(regions, result.regions, photo);
  try {
    const map = await getBlob(`v1/photos/${photo.id}/map.png`);
    const picture = await pictureOf(item);
    if (viewer === ours) await viewer.show(picture, map);
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

// The file itself where the browser shows its type as it was judged; else its pixels from the service.
async function pictureOf(item) {
  const { id, result } = item.photo;
  if (result.notes.length) return pixelsOf(id);
  const own = el("img", { src: item.url, alt: "" });
  try {
    await own.decode();
    if (own.naturalWidth === result.width && own.naturalHeight === result.height) return own;
  } catch {
    // a type that browsers do not show
  }
  return pixelsOf(id);
}

const pixelsOf = async (id) => createImageBitmap(await getBlob(`v1/photos/${id}/photo.png`));

function verdict({ result, words }) {
  return el(
    "section",
    { className: `verdict ${CLASSES[result.verdict]}`, "aria-label": "Verdict" },
    el("p", { className: "headline", textContent: words.headline }),
    ...words.meaning.map((sentence) => el("p", { textContent: sentence })),
    result.notes.length ? el("p", { className: "notes", textContent: `Mind: ${result.notes.join("; ")}.` }) : null,
    result.is_blank ? null : scale(result),
    el(
      "details",
      {},
      el("summary", { textContent: "What this does not mean" }),
      el("ul", {}, ...words.limits.map((sentence) => el("li", { textContent: sentence }))),
    ),
  );
}

// The score on a line from 0 to 1, with the two limits between which nothing is said.
function scale({ detection_score: score, authentic_threshold: low, decision_threshold: high }) {
  const mark = el("span", { className: "mark" });
  mark.style.setProperty("--at", `${100 * score}%`);
  const text = `Score ${score.toFixed(3)}; authentic up to ${low.toFixed(3)}, tampered above ${high.toFixed(3)}`;
  const line = el("div", { className: "line", role: "img", "aria-label": text }, mark);
  line.style.setProperty("--low", `${100 * low}%`);
  line.style.setProperty("--high", `${100 * high}%`);
  const captions = ["authentic", `score ${score.toFixed(3)}`, "tampered"];
  return el(
    "figure",
    { className: "scale" },
    line,
    el("figcaption", { className: "quiet" }, ...captions.map((caption) => el("span", { textContent: caption }))),
  );
}

function answerButtons(photo, path) {
  const { verdict: said } = photo.result;
  const choices =
    said === "cannot tell"
      ? [["It is tampered", 1], ["It is authentic", 0]]
      : [["Right", said === "tampered" ? 1 : 0], ["Wrong", said === "tampered" ? 0 : 1]];
  const buttons = choices.map(([text, label]) =>
    el("button", {
      type: "button",
      textContent: text,
      onclick: () => {
        correct(photo, path, labelOf(photo.sha256) === label ? null : label);
        press();
      },
    }),
  );
  const press = () =>
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(labelOf(photo.sha256) === choices[i][1])));
  press();
  const question = said === "cannot tell" ? "Do you know?" : "Is the verdict right?";
  return el("p", { className: "row answer", role: "group", "aria-label": question }, el("span", { textContent: question }), ...buttons);
}

function slider(label, value, onchange) {
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

function controls(photo, regions, notice) {
  const ours = viewer;
  const zoom = el("output", { className: "zoom" });
  ours.onview = (scale) => (zoom.textContent = percent(scale));
  const button = (text, label, onclick) => el("button", { type: "button", textContent: text, "aria-label": label, title: label, onclick });
  const both = el("button", { type: "button", textContent: "Side by side", "aria-pressed": String(ours.sideBySide) });
  both.addEventListener("click", () => {
    ours.setSideBySide(!ours.sideBySide);
    both.setAttribute("aria-pressed", String(ours.sideBySide));
  });
  let timer = 0;
  const threshold = (value) => {
    ours.setThreshold(value);
    clearTimeout(timer);
    timer = setTimeout(async () => {
      try {
        const found = await getJson(`v1/photos/${photo.id}/regions?threshold=${value}`);
        if (viewer === ours && ours.threshold === value) showRegions(regions, found.regions, photo);
      } catch (error) {
        notice.textContent = error.message;
      }
    }, SETTLE_MS);
  };
  return el(
    "div",
    { className: "controls" },
    slider("Map over the photo", ours.opacity, (value) => ours.setOpacity(value)),
    slider("Threshold of the outline", photo.result.mask_threshold, threshold),
    el(
      "div",
      { className: "row", role: "group", "aria-label": "Zoom" },
      button("−", "Zoom out", () => ours.zoom(-1)),
      zoom,
      button("+", "Zoom in", () => ours.zoom(1)),
      button("Fit", "Fit the whole photo", () => ours.fit()),
      button("Pixels", "One pixel of the photo on one of the screen", () => ours.pixels()),
      both,
    ),
  );
}

function showRegions(place, regions, { result }) {
  const title = el("h3", { textContent: "Regions" });
  if (!regions.length) {
    place.replaceChildren(title, el("p", { className: "quiet", textContent: "Nothing on the map is above this threshold." }));
    return;
  }
  const ours = viewer;
  const area = result.width * result.height;
  const rows = regions.map(({ box, area: pixels, mean_score: score }, i) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, el("button", { type: "button", textContent: `Region ${i + 1}`, title: "Show this region", onclick: () => ours.look(box) })),
      el("td", { textContent: percent(pixels / area) }),
      el("td", { textContent: `${box[2]} × ${box[3]}` }),
      el("td", { textContent: score.toFixed(2) }),
    ),
  );
  place.replaceChildren(
    title,
    el(
      "table",
      {},
      el("thead", {}, el("tr", {}, ...["", "of the photo", "pixels", "mean of the map"].map((text) => el("th", { scope: "col", textContent: text })))),
      el("tbody", {}, ...rows),
    ),
  );
}

function downloads(photo, notice, forget) {
  const ours = viewer;
  const name = stem(photo.name);
  const download = (text, path, ending, className = "") =>
    el("button", {
      type: "button",
      className,
      textContent: text,
      onclick: async () => {
        try {
          save(await getBlob(`v1/photos/${photo.id}/${path()}`), `${name}.${ending}`);
        } catch (error) {
          notice.textContent = error.message;
        }
      },
    });
  return el(
    "p",
    { className: "row downloads" },
    download("Report", () => "report.html", "report.html", "primary"),
    download("Mask", () => `mask.png?threshold=${ours.threshold}`, "mask.png"),
    download("Map", () => "map.png", "map.png"),
    download("Overlay", () => "overlay.jpg", "overlay.jpg"),
    el("button", { type: "button", textContent: "Remove", onclick: forget }),
  );
}
