// Parses Markdown to a tree of elements from a list of allowed ones. Whatever is not on it stays text, HTML too.
//
// A node is a text, or {tag, attributes, children}. Nothing here knows of a document, so that it runs anywhere.

import { Lexer } from "../vendor/marked.esm.js";
import { visible } from "./visible.js";

const MOST_CHARS = 50_000; // far beyond an answer; some forms take quadratic time
const THOUGHTS = /<(think|thinking)>[\s\S]*?(<\/\1>|$)/gi; // reasoning models stream it before the answer
const ADDRESS = /^(https?:\/\/|mailto:)/i;

/** Parses an answer to nodes. */
export function blocks(text) {
  const said = visible(text.replace(THOUGHTS, "").trim());
  if (said.length > MOST_CHARS) return [node("p", said)];
  try {
    return nodesOf(Lexer.lex(said, { gfm: true, breaks: true }));
  } catch (error) {
    if (error instanceof RangeError) return [node("p", said)]; // nested deeper than the stack
    throw error;
  }
}

function node(tag, children, attributes = {}) {
  return { tag, attributes, children: Array.isArray(children) ? children : [children] };
}

function nodesOf(tokens = []) {
  return tokens.flatMap((token) => (VIEWS[token.type] ?? asWritten)(token));
}

function asWritten(token) {
  return token.raw;
}

const inside = (tag) => (token) => node(tag, nodesOf(token.tokens), { dir: "auto" });

/** How each kind of token is shown; of others the text is. */
const VIEWS = {
  space: () => [],
  paragraph: inside("p"),
  heading: inside("h3"), // the page has its own headings above
  blockquote: inside("blockquote"),
  strong: (token) => node("strong", nodesOf(token.tokens)),
  em: (token) => node("em", nodesOf(token.tokens)),
  del: (token) => node("del", nodesOf(token.tokens)),
  codespan: (token) => node("code", token.text),
  code: (token) => node("pre", node("code", token.text), { tabIndex: 0 }),
  br: () => node("br", []),
  hr: () => node("hr", []),
  escape: (token) => token.text,
  text: (token) => (token.tokens ? nodesOf(token.tokens) : token.text),
  list: (token) => node(token.ordered ? "ol" : "ul", token.items.map(item), token.ordered ? { start: token.start } : {}),
  table: (token) => node("div", table(token), { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Table" }),
  link,
  image: (token) => token.text || token.href,
};

function item(token) {
  const mark = token.task ? [token.checked ? "☑ " : "☐ "] : [];
  return node("li", [...mark, ...nodesOf(token.tokens.filter((one) => one.type !== "checkbox"))], { dir: "auto" });
}

function table({ header, rows }) {
  const cells = (tag, row) => node("tr", row.map((cell) => node(tag, nodesOf(cell.tokens), { dir: "auto" })));
  return node("table", [node("thead", cells("th", header)), node("tbody", rows.map((row) => cells("td", row)))]);
}

/** A link says where it leads, unless its text does. Other schemes than the web's stay text. */
function link(token) {
  const children = nodesOf(token.tokens);
  if (!ADDRESS.test(token.href)) return [...children, ` (${token.href})`];
  const leads = node("a", children, { href: token.href, rel: "noopener noreferrer nofollow", target: "_blank" });
  return token.text === token.href ? leads : [leads, ` (${hostOf(token.href)})`];
}

function hostOf(address) {
  try {
    return new URL(address).host || address;
  } catch {
    return address;
  }
}
