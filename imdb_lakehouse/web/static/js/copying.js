// A button that copies a text, and says so.

import { announce } from "./announce.js";
import { button } from "./dom.js";

const SAID_MS = 1_500;

/** Creates the button. Where the browser denies the clipboard, `block` is selected for Ctrl+C. */
export function copyButton(text, what, block, properties = {}) {
  const act = async () => {
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
      announce(`${what} was copied.`);
    } catch {
      select(block());
      copy.textContent = "Selected";
    }
    setTimeout(() => {
      copy.textContent = "Copy";
    }, SAID_MS);
  };
  const copy = button("Copy", act, { className: "button small", ...properties });
  return copy;
}

function select(element) {
  if (element instanceof HTMLInputElement) element.select();
  else getSelection().selectAllChildren(element);
}
