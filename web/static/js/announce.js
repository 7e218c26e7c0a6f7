// What screen readers are told when something has happened.

import { byId } from "./dom.js";

let last = "";

/** Say it, unless it was the last thing said. */
export function announce(text) {
  if (text === last) return;
  last = text;
  byId("announcer").textContent = text;
}
