// A copy of a conversation, as whoever has its link reads it: nothing can be asked there.

import { byId } from "./dom.js";
import { moment } from "./format.js";

/** Show the page for reading alone, or with all that asks. */
export function installReading(isReading) {
  document.body.classList.toggle("reading", isReading);
  for (const id of ["sidebar", "menu", "composer"]) byId(id).hidden = isReading;
  byId("copied").hidden = true;
}

/** Show a copy. */
export function showCopy(copy, thread) {
  byId("copied").hidden = false;
  byId("copied-when").textContent = `A copy of ${moment(copy.created)}, expires ${moment(copy.expires)}.`;
  thread.title = copy.title || "A conversation";
  thread.show(copy.messages, { isCopy: true });
  byId("messages").scrollTop = 0;
}
