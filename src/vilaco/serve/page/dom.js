// Small helpers; text goes in as text, never as markup.

export const $ = (id) => document.getElementById(id);

export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function save(blob, name) {
  const link = el("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export const stem = (name) => name.split("/").pop().replace(/\.[^.]*$/, "") || "photo";

const percents = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });
export const percent = (share) => percents.format(share);

export const megabytes = (bytes) => Number((bytes / 2 ** 20).toFixed(2));

export const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
