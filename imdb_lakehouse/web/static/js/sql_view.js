// View of a highlighted statement, to be copied, or edited and run again.

import { copyButton } from "./copying.js";
import { button, make } from "./dom.js";
import { pieces } from "./sql.js";

/** The event by which a statement asks to be edited; its `detail` is the statement. */
export const EDIT_SQL = "edit-sql";

export function sqlView(sql) {
  const code = make("code", {}, pieces(sql).map(pieceView));
  const named = { className: "sql", tabIndex: 0, role: "region", "aria-label": "SQL statement" };
  const block = make("pre", named, code);
  const copy = copyButton(sql, "The SQL", () => block, { title: "Copy the SQL" });
  const edit = button("Edit", () => dispatchEdit(view, sql), { className: "button small edit", title: "Change it and run it" });
  const view = make("div", { className: "statement" }, block, make("div", { className: "statement-bar" }, edit, copy));
  return view;
}

function dispatchEdit(view, sql) {
  view.dispatchEvent(new CustomEvent(EDIT_SQL, { bubbles: true, detail: sql }));
}

function pieceView({ kind, text }) {
  return kind === "space" || kind === "name" ? text : make("span", { className: `sql-${kind}` }, text);
}
