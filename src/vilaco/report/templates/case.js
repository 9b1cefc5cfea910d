"use strict";
(() => {
  const get = (id) => document.getElementById(id);
  const sheet = get("sheet"), photo = get("photo"), canvas = get("overlay"), marker = get("marker");
  const opacity = get("opacity"), threshold = get("threshold");
  const tint = [255, 0, 128], tintFrom = 0.25, tintFull = 0.75;  // as vilaco.report.overlay draws them
  const whole = get("whole");  // not there where every region counts
  let levels = null, kept = null, width = 0, height = 0;

  const read = (picture) => {
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(picture, 0, 0);
    const pixels = context.getImageData(0, 0, width, height).data;
    return new Uint8Array(width * height).map((_, i) => pixels[4 * i]);
  };

  const readMap = () => {
    const map = get("map");
    [width, height] = [map.naturalWidth, map.naturalHeight];
    [canvas.width, canvas.height] = [width, height];
    levels = read(map);
    if (whole) kept = read(get("mask")).map((inMask, i) => (inMask ? levels[i] : 0));
  };

  const draw = () => {
    const shown = kept && !whole.checked ? kept : levels;
    const share = opacity.value / 100, limit = threshold.value / 100 * 255;
    const context = canvas.getContext("2d");
    const picture = context.createImageData(width, height), out = picture.data;
    const line = Math.max(1, Math.round(width / canvas.clientWidth));
    let above = 0;
    const inside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && shown[y * width + x] > limit;
    for (let y = 0, i = 0; y < height; y++) {
      for (let x = 0; x < width; x++, i++) {
        const strength = Math.min(1, Math.max(0, (shown[i] / 255 - tintFrom) / (tintFull - tintFrom)));
        out.set(tint, 4 * i);
        out[4 * i + 3] = 255 * share * strength;
        const isIn = shown[i] > limit;
        above += isIn;
        if (share === 0) continue;
        const others = inside(x - line, y) + inside(x + line, y) + inside(x, y - line) + inside(x, y + line);
        if (isIn && others < 4) out.set([255, 255, 255, 255], 4 * i);
        else if (!isIn && others > 0) out.set([0, 0, 0, 255], 4 * i);
      }
    }
    context.putImageData(picture, 0, 0);
    get("opacity-value").value = `${opacity.value}%`;
    get("threshold-value").value = (threshold.value / 100).toFixed(2);
    const judged = Math.abs(threshold.value / 100 - sheet.dataset.threshold) < 0.005;
    threshold.disabled = shown === kept;
    const part = `${(100 * above / levels.length).toFixed(2)}% of the photo is`;
    const listed = kept ? "; listed below are the regions." : judged ? "." : `; the list below is for ${Number(sheet.dataset.threshold).toFixed(2)}.`;
    get("live").textContent = shown === kept ? `${part} drawn on.` : `${part} above ${(threshold.value / 100).toFixed(2)}${listed}`;
  };

  const zoom = (button) => {
    for (const other of document.querySelectorAll("[data-zoom]")) other.setAttribute("aria-pressed", other === button);
    const factor = Number(button.dataset.zoom);
    sheet.style.width = factor ? `${factor * photo.naturalWidth / window.devicePixelRatio}px` : "";
    sheet.classList.toggle("zoomed", factor > 0);
    get("stage").classList.toggle("zoomed", factor > 0);
    draw();
  };

  const show = (row) => {
    const wasShown = row.classList.contains("shown");
    for (const other of document.querySelectorAll("tr.shown")) other.classList.remove("shown");
    marker.hidden = wasShown;
    if (wasShown) return;
    row.classList.add("shown");
    const [x, y, w, h] = row.dataset.box.split(",").map(Number);
    const [fullWidth, fullHeight] = [sheet.dataset.width, sheet.dataset.height];
    marker.style.left = `${100 * x / fullWidth}%`;
    marker.style.top = `${100 * y / fullHeight}%`;
    marker.style.width = `${100 * w / fullWidth}%`;
    marker.style.height = `${100 * h / fullHeight}%`;
    marker.scrollIntoView({ block: "center", inline: "center" });
  };

  const start = () => {
    readMap();
    for (const element of [photo, canvas, document.querySelector(".tools")]) element.hidden = false;
    for (const element of document.querySelectorAll(".without-script")) element.remove();
    opacity.addEventListener("input", draw);
    threshold.addEventListener("input", draw);
    if (whole) whole.addEventListener("change", draw);
    for (const button of document.querySelectorAll("[data-zoom]")) button.addEventListener("click", () => zoom(button));
    for (const button of document.querySelectorAll("button.show")) {
      button.addEventListener("click", () => show(button.closest("tr")));
    }
    window.addEventListener("resize", draw);
    window.addEventListener("beforeprint", () => {
      for (const details of document.querySelectorAll("details")) details.open = true;
    });
    draw();
  };

  Promise.all([get("map"), ...(whole ? [get("mask")] : [])].map((picture) => picture.decode())).then(start);
})();
