// A photo beside its original: two files come in, and what the original does not explain is shown.

import { getBlob, getJson, remove, upload } from "./api.js";
import { $, el, megabytes, pause as wait, stem } from "./dom.js";
import { download, limits, pictureOf, showRegions, slider, zoomButtons } from "./parts.js";
import { Viewer } from "./viewer.js";

const POLL_MS = 700;
const SLOTS = { suspect: $("suspect-slot"), original: $("original-slot") };

const hints = Object.fromEntries(Object.entries(SLOTS).map(([part, slot]) => [part, slot.querySelector(".name").textContent]));
const files = {}; // [file, name] of suspect and original
let about = null; // what the service says of itself; null until it lets us in
let refused = () => {};
let run = 0; // counts what was asked for; older answers are not shown
let job = null;
let viewer = null;
let url = "";

export function start(said, askForToken) {
  about = said;
  refused = askForToken;
  $("slots").hidden = false;
  if (files.suspect && files.original && !job) compare();
}

export function pause() {
  about = null;
  $("slots").hidden = true;
}

for (const [part, slot] of Object.entries(SLOTS)) {
  const input = slot.querySelector("input");
  slot.querySelector("button").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    if (input.files.length) put(part, [input.files[0], input.files[0].name]);
    input.value = "";
    begin();
  });
}

// Files go where they were dropped; elsewhere, to the free places: first the photo in question, then the original.
export function add(dropped, target) {
  if (!about) return;
  const on = Object.keys(SLOTS).find((part) => SLOTS[part].contains(target));
  if (on && dropped.length === 1) put(on, dropped[0]);
  else {
    const free = Object.keys(SLOTS).filter((part) => dropped.length > 1 || !files[part]);
    free.slice(0, dropped.length).forEach((part, i) => put(part, dropped[i]));
    if (!free.length) return say("Drop it on the photo in question or on the original, to take its place.");
  }
  begin();
}

function put(part, [file, name]) {
  const slot = SLOTS[part];
  const picture = slot.querySelector("img");
  URL.revokeObjectURL(picture.src);
  files[part] = file && file.size && file.size < about.max_body ? [file, name] : null;
  picture.onerror = () => picture.classList.add("none");
  picture.src = file ? URL.createObjectURL(file) : "";
  picture.classList.toggle("none", !file);
  slot.querySelector(".name").textContent = name;
  if (!file) say(`${name}: the browser cannot open it.`);
  else if (!file.size) say(`${name}: the file is empty.`);
  else if (file.size >= about.max_body) say(`${name} is too large: larger than ${megabytes(about.max_body)} MB.`);
  else say("");
}

function say(text) {
  $("comparing-status").textContent = text;
}

function begin() {
  forget();
  if (files.suspect && files.original) compare();
}

function forget() {
  run++;
  if (job) remove(`v1/jobs/${job.id}`).catch(() => {}); // gone already is as good
  viewer?.close();
  URL.revokeObjectURL(url);
  job = viewer = null;
  url = "";
  $("comparison").hidden = true;
  $("comparison").replaceChildren();
  document.body.classList.remove("has-comparison");
}

async function compare() {
  const ours = ++run;
  const parts = Object.keys(SLOTS).map((part) => [part, ...files[part]]);
  try {
    const made = await handIn(parts, ours);
    if (ours !== run) return made && remove(`v1/jobs/${made.id}`).catch(() => {});
    job = made;
    for (;;) {
      const [found] = job.comparisons;
      if (found.state === "done") return show(found);
      if (found.state === "failed") return say(`${found.problem.photo ?? "A photo"}: ${found.problem.detail}.`);
      say(found.state === "waiting" ? "In line." : "Being compared.");
      await wait(POLL_MS);
      if (ours !== run) return;
      job = await getJson(`v1/jobs/${job.id}`);
    }
  } catch (error) {
    if (ours !== run) return;
    job = null;
    if (error.status === 401) refused();
    else say(error.message);
  }
}

// The job, once the service has room for it.
async function handIn(parts, ours) {
  while (ours === run) {
    try {
      return await upload("v1/comparisons", parts, (share) => say(share < 1 ? `Sending ${Math.round(100 * share)}%.` : "Sent."));
    } catch (error) {
      if (error.status !== 503) throw error;
      say("The service is busy; trying again.");
      await wait(1000 * (error.retryAfter || 5));
    }
  }
}

async function show({ id, suspect, result, words }) {
  say("");
  const place = $("comparison");
  const base = `v1/comparisons/${id}`;
  const notice = el("p", { className: "error", role: "alert" });
  const name = stem(suspect);
  const changed = result.regions.length > 0;
  const kind = !result.related ? "unsure" : changed ? "tampered" : "nothing-found";
  const file = (text, ending, className = "") => download(text, () => `${base}/${ending}`, `${name}.${ending}`, notice, className);
  const regions = el("div", { className: "regions" });
  const pictures = [];
  if (result.related) {
    viewer = new Viewer(result.width, result.height, "marks");
    pictures.push(viewer.element, controls(viewer, suspect, result, base, notice), regions, record(result));
    showRegions(regions, result.regions, result, viewer, "strength", "No region differs by more than is explained.");
  }
  place.replaceChildren(
    el("h2", { className: "name", textContent: `${suspect}, beside its original` }),
    el(
      "section",
      { className: `verdict ${kind}`, "aria-label": "What was found" },
      el("p", { className: "headline", textContent: words.headline }),
      ...words.meaning.map((sentence) => el("p", { textContent: sentence })),
      result.notes.length ? el("p", { className: "notes", textContent: `Mind: ${result.notes.join("; ")}.` }) : null,
      limits(words.limits),
    ),
    notice,
    ...pictures,
    el(
      "p",
      { className: "row downloads" },
      file("Report", "report.html", "primary"),
      ...(result.related ? [file("Mask", "mask.png"), file("Difference", "difference.png"), file("Overlay", "overlay.jpg")] : []),
      el("button", { type: "button", textContent: "Remove", onclick: clear }),
    ),
  );
  place.hidden = false;
  document.body.classList.add("has-comparison");
  if (!viewer) return;
  const ours = viewer;
  ours.setSideBySide(ours.sideBySide);
  try {
    url = URL.createObjectURL(files.suspect[0]);
    const [picture, mask] = await Promise.all([pictureOf(url, result, `${base}/suspect.png`), getBlob(`${base}/mask.png`)]);
    if (viewer === ours) await ours.show(picture, mask);
  } catch (error) {
    notice.textContent = error.message;
  }
}

// The suspect, what it should look like, and what is left between: at one place and zoom, one in place of the other.
function controls(ours, suspect, result, base, notice) {
  const known = new Map();
  const views = { "Photo in question": null, "Original, as it should look": "explained.jpg", Difference: "difference.png" };
  const buttons = Object.entries(views).map(([text, path]) =>
    el("button", {
      type: "button",
      textContent: text,
      "aria-pressed": String(!path),
      onclick: async (event) => {
        try {
          if (!known.has(null)) known.set(null, ours.photo);
          if (!known.has(path)) known.set(path, await createImageBitmap(await getBlob(`${base}/${path}`)));
          ours.showInstead(known.get(path));
          for (const each of buttons) each.setAttribute("aria-pressed", String(each === event.target));
        } catch (error) {
          notice.textContent = error.message;
        }
      },
    }),
  );
  return el(
    "div",
    { className: "controls" },
    el("div", { className: "row", role: "group", "aria-label": "Picture" }, ...buttons),
    slider("Marks over the photo", ours.opacity, (value) => ours.setOpacity(value)),
    zoomButtons(ours),
  );
}

function record(result) {
  const number = (value, digits) => Number(value.toFixed(digits)).toString();
  const facts = [
    ["Size", `${number(result.scale, 3)} times the original's`],
    ["Turned", `${number(result.rotation, 1)}°${result.mirrored ? ", mirrored" : ""}`],
    ["Shows", `${number(100 * result.seen, 1)}% of the original, which explains ${number(100 * result.covered, 1)}% of it`],
    ["Brightness", `${result.brightness > 0 ? "+" : ""}${number(result.brightness, 1)} levels`],
    ["Softened", result.blur ? `by about ${result.blur} pixels` : "no"],
    [
      "JPEG",
      result.jpeg_quality === null
        ? "no save seen"
        : `about quality ${result.jpeg_quality}, ${result.jpeg_seen_in === "tables" ? "as its file says" : "as its pixels show"}`,
    ],
  ];
  return el(
    "section",
    { className: "evidence" },
    el("h3", { textContent: "What the whole picture went through" }),
    el("dl", {}, ...facts.flatMap(([term, text]) => [el("dt", { textContent: term }), el("dd", { textContent: text })])),
  );
}

function clear() {
  forget();
  for (const part of Object.keys(SLOTS)) {
    const picture = SLOTS[part].querySelector("img");
    URL.revokeObjectURL(picture.src);
    picture.removeAttribute("src");
    picture.classList.add("none");
    SLOTS[part].querySelector(".name").textContent = hints[part];
    delete files[part];
  }
  say("");
  SLOTS.suspect.querySelector("button").focus();
}
