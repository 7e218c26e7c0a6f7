// Items of the tree of tables.

import { make } from "./dom.js";
import { formatCount } from "./format.js";

export function tableItem({ name, kind, purpose, rows }) {
  const size = rows === null ? kind : `${kind}, ${formatCount(rows, "row")}`;
  return make(
    "li",
    { ...itemOf(1, `${name}, ${size}. ${purpose}`), "data-kind": "name", "data-name": name, ariaExpanded: "false" },
    make(
      "div",
      { className: "lake-row", title: "Put the name into the statement" },
      make("span", { className: "twisty", title: "Show or hide the columns" }),
      make("span", { className: "lake-name" }, name),
      make("span", { className: "lake-type" }, size),
      purpose ? make("span", { className: "lake-comment" }, purpose) : null,
    ),
    make("ul", { role: "group", hidden: true }),
  );
}

export function columnItem({ name, type, comment }) {
  return make(
    "li",
    { ...itemOf(2, `${name}, ${type}. ${comment}`), "data-kind": "name", "data-name": name },
    make(
      "div",
      { className: "lake-row", title: "Put the name into the statement" },
      make("span", { className: "lake-name" }, name),
      make("span", { className: "lake-type", title: type }, type),
      comment ? make("span", { className: "lake-comment" }, comment) : null,
    ),
  );
}

/** The item of a table that shows some of its rows. */
export function sampleItem(name) {
  return make(
    "li",
    { ...itemOf(2, `Show rows of ${name}`), "data-kind": "sample", "data-name": name },
    make("div", { className: "lake-row lake-show" }, "Show a few rows"),
  );
}

/** A remark among the columns. */
export function noteItem(text) {
  return make("li", itemOf(2, text), make("div", { className: "lake-row lake-note" }, text));
}

function itemOf(level, label) {
  return { role: "treeitem", tabIndex: -1, className: `lake-item lake-level-${level}`, ariaLevel: String(level), ariaLabel: label };
}
