// Files that come in by drop or paste, and where they were let go.

export function receive(take, say) {
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) take(files.map((file) => [file, file.name]), event.target);
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dragging");
  });
  addEventListener("drop", async (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    const { target } = event;
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const files = (await Promise.all(entries.map(filesOf))).flat();
    if (files.length) take(files, target);
    else if (event.dataTransfer.files.length) take([...event.dataTransfer.files].map((file) => [file, file.name]), target);
    else say("That was no file. Save the picture first, then drop the file: addresses are not fetched.");
  });
}

// Pairs of file and path; of what the browser cannot read, `null` and path.
async function filesOf(entry) {
  const path = entry.fullPath.replace(/^\//, "");
  try {
    if (entry.isFile) return [[await new Promise((resolve, reject) => entry.file(resolve, reject)), path]];
    const reader = entry.createReader();
    const found = [];
    for (;;) {
      const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!part.length) return found;
      for (const child of part) found.push(...(await filesOf(child)));
    }
  } catch {
    return [[null, path]];
  }
}
