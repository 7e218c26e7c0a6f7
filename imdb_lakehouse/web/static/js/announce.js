// Announcements for screen readers.

import { byId } from "./dom.js";

let last = "";

/** Announce a text, unless it is the last one announced. */
export function announce(text) {
  if (text === last) return;
  last = text;
  byId("announcer").textContent = text;
}
