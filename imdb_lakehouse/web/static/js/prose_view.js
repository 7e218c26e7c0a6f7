// Renders the tree of an answer's Markdown.

import { make } from "./dom.js";
import { blocks } from "./prose.js";

/** View of a text; `marked` are parts of it that are marked, because no result has them. */
export function proseView(text, marked = []) {
  const pattern = marked.length > 0 ? patternOf(marked) : null;
  return make("div", { className: "prose" }, blocks(text).flatMap((node) => view(node, pattern)));
}

function view(node, pattern) {
  if (typeof node !== "string") {
    return [make(node.tag, node.attributes, node.children.flatMap((child) => view(child, pattern)))];
  }
  if (pattern === null) return [node];
  const title = "in no result of this question";
  return node.split(pattern).map((part, at) => (at % 2 ? make("mark", { title }, part) : part));
}

/** Matches the parts, the longest first, where no digit goes on with them. */
function patternOf(marked) {
  const literal = (part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const parts = [...marked].sort((one, other) => other.length - one.length).map(literal);
  return new RegExp(`(?<![\\d.,])(${parts.join("|")})(?!\\d)`);
}
