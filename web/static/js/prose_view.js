// Renders the model's text as a few kinds of elements. Links stay text.

import { make } from "./dom.js";
import { blocks } from "./prose.js";

export function proseView(text) {
  return make("div", { className: "prose" }, blocks(text).map(blockView));
}

function blockView(block) {
  if (block.kind === "code") return make("pre", { tabIndex: 0 }, make("code", {}, block.text));
  if (block.kind === "paragraph") return make("p", {}, block.parts.map(partView));
  return make(block.ordered ? "ol" : "ul", {}, block.items.map((parts) => make("li", {}, parts.map(partView))));
}

function partView({ kind, text }) {
  if (kind === "text") return text;
  return make(kind === "bold" ? "strong" : "code", {}, text);
}
