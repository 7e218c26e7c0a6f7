// View of the warnings of a result.

import { make } from "./dom.js";
import { visible } from "./visible.js";

/** View of warnings as a list, null where there are none. */
export function warningsView(warnings) {
  if (warnings.length === 0) return null;
  const items = warnings.map((text) => make("li", {}, visible(text)));
  return make("ul", { className: "warnings", "aria-label": "Warnings" }, items);
}
