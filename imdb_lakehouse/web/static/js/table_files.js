// Files of tables that the server makes, because they need the types of the statement: Parquet.

import { button } from "./dom.js";

/** Is dispatched at the document to save a table: `detail` has the operation and the number of the step. */
export const SAVE_TABLE = "save-table";

const places = new WeakMap(); // table → {operation, step}

/** Remember which operation the tables of an answer's steps belong to. */
export function noteTables(operation, steps) {
  for (const [step, { table }] of steps.entries()) {
    if (operation && table) places.set(table, { operation, step });
  }
}

/** A button that saves a table as Parquet, null for a table whose operation is not known. */
export function parquetButton(table) {
  const detail = places.get(table);
  if (!detail) return null;
  const save = () => document.dispatchEvent(new CustomEvent(SAVE_TABLE, { bubbles: true, detail }));
  return button("Parquet", save, { className: "button small", title: "Download Parquet, with the types of the columns" });
}
