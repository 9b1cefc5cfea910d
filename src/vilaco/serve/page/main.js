// The page: photos come in, go to the service one by one, and their answers are shown.

import { getJson, remove, setToken, takeToken, upload } from "./api.js";
import * as corrections from "./corrections.js";
import * as comparing from "./comparing.js";
import { closeDetail, showDetail } from "./detail.js";
import { $, el, megabytes } from "./dom.js";
import { receive } from "./incoming.js";
import { isOpen } from "./tabs.js";

const UPLOADS_AT_ONCE = 2;
const POLL_MS = 700;
const FAILURES = {
  0: "could not be sent",
  401: "was refused",
  403: "was refused",
  404: "is gone from the service",
  408: "could not be sent",
  410: "is gone from the service",
  413: "is too large",
  422: "could not be read",
  507: "found no space on the service",
};
const BADGES = { tampered: "tampered", "nothing found": "nothing-found", "cannot tell": "unsure" };

const items = []; // {file, name, url, choice, state, sent, job, photo, failure, problem, code, button}
let about = null; // what the service says of itself; null until it lets us in
let selected = null;
let uploads = 0;
let polling = false;

async function start({ entered = false } = {}) {
  try {
    about = await getJson("v1/about");
  } catch (error) {
    if (error.status === 401) askForToken(entered ? "This is not the token." : "");
    else say(error.message);
    return;
  }
  $("token-form").hidden = true;
  $("tabs").hidden = $("drop").hidden = false;
  $("model").textContent = `Model ${about.model}`;
  $("limits").textContent =
    `JPEG, PNG, TIFF, WebP, HEIC and others, up to ${megabytes(about.max_body)} MB and ${about.max_pixels / 1e6} megapixels each. ` +
    `Deleted from the service after ${about.keep_minutes} minutes.`;
  corrections.show();
  comparing.start(about, askForToken);
  next();
  poll();
}

// Until the token is there nothing more is sent or asked; photos on their way wait.
function askForToken(message = "") {
  about = null;
  $("token-error").textContent = message;
  $("token-form").hidden = false;
  $("tabs").hidden = $("drop").hidden = true;
  comparing.pause();
  $("token").focus();
}

$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  setToken($("token").value);
  start({ entered: true });
});

function say(text) {
  $("status").textContent = text;
}

// Coming in

$("choose").addEventListener("click", () => $("files").click());
$("files").addEventListener("change", () => {
  add([...$("files").files].map((file) => [file, file.webkitRelativePath || file.name]));
  $("files").value = "";
});
receive((files, target) => (isOpen("comparing") ? comparing.add(files, target) : add(files)), say);

function add(files) {
  if (!about) return;
  for (const [file, name] of files) {
    const item = { file, name, url: file ? URL.createObjectURL(file) : "", choice: {}, state: "queued", sent: 0 };
    if (!file) fail(item, 422, "the browser cannot open it");
    else if (file.size > about.max_body - 4096) fail(item, 413, `larger than ${megabytes(about.max_body)} MB`);
    else if (file.size === 0) fail(item, 422, "the file is empty");
    item.button = listButton(item);
    items.push(item);
    $("list").append(el("li", {}, item.button));
    refresh(item);
  }
  $("work").hidden = false;
  document.body.classList.add("has-photos");
  if (!selected) select(items.find((item) => item.state !== "failed") ?? items[0]);
  next();
}

// Going out

function next() {
  while (about && uploads < UPLOADS_AT_ONCE) {
    const item = items.find((each) => each.state === "queued");
    if (!item) return;
    send(item);
  }
}

async function send(item) {
  uploads++;
  item.state = "sending";
  refresh(item);
  try {
    item.job = await upload(jobsPath(item.choice), [["photos", item.file, item.name]], (share) => {
      item.sent = share;
      refresh(item);
    });
    if (!items.includes(item)) await remove(`v1/jobs/${item.job.id}`);
    item.state = "waiting";
    poll();
  } catch (error) {
    if (error.status === 503) {
      item.state = "busy";
      setTimeout(() => {
        item.state = "queued";
        next();
      }, 1000 * (error.retryAfter || 5));
    } else if (error.status === 401) {
      item.state = "queued";
      askForToken();
    } else fail(item, error.status, error.message);
  } finally {
    uploads--;
  }
  refresh(item);
  next();
}

function jobsPath({ page, acceptTruncated }) {
  const choice = new URLSearchParams();
  if (page) choice.set("page", page);
  if (acceptTruncated) choice.set("accept_truncated", "true");
  return choice.size ? `v1/jobs?${choice}` : "v1/jobs";
}

async function poll() {
  if (polling) return;
  polling = true;
  while (about) {
    const open = items.filter((item) => item.state === "waiting" || item.state === "judging");
    if (!open.length) break;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    for (const item of open) if (about) await update(item);
  }
  polling = false;
}

async function update(item) {
  try {
    const job = await getJson(`v1/jobs/${item.job.id}`);
    item.photo = job.photos[0];
    if (item.photo.state === "failed") fail(item, item.photo.problem.status, item.photo.problem.detail, item.photo.problem.code);
    else item.state = item.photo.state;
  } catch (error) {
    if (error.status === 401) askForToken();
    else if (error.code !== "unreachable") fail(item, error.status, error.message);
  }
  refresh(item);
}

// Judge another page of the file, or what is there of it.
function again(item, choice) {
  if (item.job) remove(`v1/jobs/${item.job.id}`).catch(() => {});
  Object.assign(item, { choice: { ...item.choice, ...choice }, state: "queued", sent: 0, job: null, photo: null });
  refresh(item);
  next();
}

function fail(item, status, reason, code = "") {
  item.state = "failed";
  item.code = code;
  item.failure = FAILURES[status] ?? "could not be judged";
  item.problem = reason.replace(/ \(--.*\)$/, "").replace(/\.$/, "");
}

// Shown

function listButton(item) {
  const picture = el("img", { src: item.url, alt: "", className: "thumb", onerror: () => picture.classList.add("none") });
  item.label = el("span", { className: "state" });
  return el(
    "button",
    { type: "button", className: "item", onclick: () => select(item) },
    picture,
    el("span", { className: "name", textContent: item.name }),
    item.label,
  );
}

function words(item) {
  switch (item.state) {
    case "queued":
      return "in line";
    case "sending":
      return item.sent < 1 ? `sending ${Math.round(100 * item.sent)}%` : "sent";
    case "busy":
      return "the service is busy; trying again";
    case "waiting":
      return "in line";
    case "judging":
      return "being looked at";
    case "failed":
      return item.failure;
    default:
      return item.photo.result.verdict;
  }
}

function refresh(item) {
  if (!item.button || !items.includes(item)) return;
  item.label.textContent = words(item);
  item.label.className = `state ${item.state} ${BADGES[item.photo?.result?.verdict] ?? ""}`;
  const finished = items.filter((each) => each.state === "done" || each.state === "failed").length;
  const failed = items.filter((each) => each.state === "failed").length;
  const bar = $("progress");
  bar.max = items.length || 1;
  bar.value = finished;
  bar.hidden = finished === items.length;
  say(
    `${finished} of ${items.length} ${items.length === 1 ? "photo" : "photos"} done` +
      (failed ? `, ${failed} could not be judged` : ""),
  );
  if (item === selected) show(item);
}

function select(item) {
  selected = item;
  for (const each of items) each.button?.setAttribute("aria-current", String(each === item));
  show(item);
}

function show(item) {
  showDetail(item, { words: words(item), forget: () => forget(item), again: (choice) => again(item, choice) });
}

function forget(item) {
  const place = items.indexOf(item);
  items.splice(place, 1);
  discard(item);
  if (items.length) {
    select(items[Math.min(place, items.length - 1)]);
    refresh(selected);
    selected.button.focus();
  } else clear();
}

function discard(item) {
  item.button.parentElement.remove();
  URL.revokeObjectURL(item.url);
  if (item.job) remove(`v1/jobs/${item.job.id}`).catch(() => {}); // gone already is as good
}

$("remove-all").addEventListener("click", () => {
  items.splice(0).forEach(discard);
  clear();
});

function clear() {
  selected = null;
  closeDetail();
  $("work").hidden = true;
  $("progress").hidden = true;
  document.body.classList.remove("has-photos");
  say("");
  $("choose").focus();
}

takeToken();
start();
