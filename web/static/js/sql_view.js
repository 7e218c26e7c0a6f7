// View of a highlighted statement, with a copy button.

import { announce } from "./announce.js";
import { button, make } from "./dom.js";
import { pieces } from "./sql.js";

const SAID_MS = 1_500;

export function sqlView(sql) {
  const code = make("code", {}, pieces(sql).map(pieceView));
  const named = { className: "sql", tabIndex: 0, role: "region", "aria-label": "SQL statement" };
  const block = make("pre", named, code);
  const act = () => copyStatement(sql, copy, block);
  const copy = button("Copy", act, { className: "button small copy", title: "Copy the SQL" });
  return make("div", { className: "statement" }, block, copy);
}

function pieceView({ kind, text }) {
  return kind === "space" || kind === "name" ? text : make("span", { className: `sql-${kind}` }, text);
}

async function copyStatement(sql, copy, block) {
  try {
    await navigator.clipboard.writeText(sql);
    copy.textContent = "Copied";
    announce("The SQL was copied.");
  } catch {
    getSelection().selectAllChildren(block); // the browser denies the clipboard; select the text for Ctrl+C
    copy.textContent = "Selected";
  }
  setTimeout(() => {
    copy.textContent = "Copy";
  }, SAID_MS);
}
