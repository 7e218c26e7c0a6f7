// Renders the tree of an answer's Markdown.

import { make } from "./dom.js";
import { blocks } from "./prose.js";

export function proseView(text) {
  return make("div", { className: "prose" }, blocks(text).map(view));
}

function view(node) {
  if (typeof node === "string") return node;
  return make(node.tag, node.attributes, node.children.map(view));
}
