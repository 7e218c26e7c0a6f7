// Saves what the page made as a file of the reader's.

import { make } from "./dom.js";

export function saveText(name, type, ...parts) {
  saveBlob(name, new Blob(parts, { type: `${type};charset=utf-8` }));
}

export function saveBlob(name, blob) {
  const address = URL.createObjectURL(blob);
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 0);
}
