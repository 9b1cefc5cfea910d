// What the file says about itself: never a verdict, often the best lead.

import { el } from "./dom.js";

export function evidenceSection(evidence, hints) {
  const rows = facts(evidence).filter(([, value]) => value);
  return el(
    "section",
    { className: "evidence" },
    el("h3", { textContent: "What the file says about itself" }),
    hints.length ? el("p", { className: "hints", textContent: `Worth a look: ${hints.join(", ")}` }) : null,
    el("dl", {}, ...rows.flatMap(([term, value]) => [el("dt", { textContent: term }), el("dd", { textContent: value })])),
    evidence.fields.length
      ? el(
          "details",
          {},
          el("summary", { textContent: `All metadata (${evidence.fields.length})` }),
          el(
            "table",
            {},
            el("tbody", {}, ...evidence.fields.map((field) =>
              el("tr", {}, el("th", { scope: "row", textContent: `${field.group} ${field.name}` }), el("td", { textContent: field.value })),
            )),
          ),
        )
      : null,
  );
}

function facts(evidence) {
  return [
    ["File", `${evidence.format}, ${evidence.width} × ${evidence.height}, ${evidence.size.toLocaleString("en")} bytes`],
    ["Pictures inside", evidence.frames > 1 ? evidence.frames : ""],
    ["Saved as", jpeg(evidence.jpeg)],
    ["Software", evidence.software.map((trace) => trace.program ?? trace.text).filter((name, i, all) => all.indexOf(name) === i).join(", ") || "none named"],
    ["Previews inside", thumbnails(evidence.thumbnails)],
    ["Content credentials", credentials(evidence.credentials)],
    ["Not readable", evidence.problems.join(" ")],
    ["SHA-256", evidence.sha256],
  ];
}

function jpeg(found) {
  if (!found) return "";
  const tables = found.standard ? "standard tables" : "tables of its own; the nearest standard ones";
  return `JPEG, quality ${found.quality} (${tables}), colour ${found.subsampling}${found.progressive ? ", progressive" : ""}`;
}

function thumbnails(found) {
  if (!found.length) return "none";
  return found.map((each) => `${each.source}, ${each.width} × ${each.height}`).join("; ");
}

function credentials(found) {
  if (found.status !== "present") return found.note ? `${found.status} (${found.note})` : found.status;
  const state = found.intact ? "present, and the file is unchanged since signing" : "present, but they do not fit the file";
  const trust = { trusted: "signer on your list", untrusted: "signed by someone who is not on your trust list", "not checked": "signer not checked" }[found.trust];
  const parts = [`${state}; ${trust ?? ""}${found.signer ? `: ${found.signer}` : ""}`];
  if (found.ingredient_faults.length) parts.push(`a picture that went in has broken ones (${found.ingredient_faults.join(", ")})`);
  if (found.identity_trust) parts.push(`vouched for by ${found.identity}: ${found.identity_trust}`);
  return parts.join("; ");
}
