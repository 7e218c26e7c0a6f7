// The grid of a table: headings that sort, and rows of cells.

import { make } from "./dom.js";
import { withEdges } from "./edges.js";
import { formatterOf, isNumeric } from "./format.js";
import { visible } from "./visible.js";

const LONG_CELL = 400; // a longer text scrolls in its cell, so that no row is taller than the table

/**
 * Creates the grid: {view, scroll, show}. `choose(index)` is called with the column whose heading is chosen;
 * show(rows, order) shows these of the table's rows, in an order that is null or {index, descending}.
 */
export function tableGrid(table, label, choose) {
  const body = make("tbody");
  const headings = table.columns.map((column, index) => headingView(column, () => choose(index)));
  const head = make("thead", {}, make("tr", {}, headings));
  const scroll = make(
    "div",
    { className: "scroll", tabIndex: 0, role: "region", "aria-label": label },
    make("table", { className: table.columns.every(isNumeric) ? "numbers" : "" }, head, body),
  );
  let writers = [];
  let known = -1; // rows of the table that the writers were made for

  function show(rows, order) {
    if (known !== table.rows.length) {
      known = table.rows.length;
      writers = table.columns.map((column, index) => formatterOf(column, table.rows.map((row) => row[index])));
    }
    for (const [index, cell] of headings.entries()) {
      const isSorted = index === order?.index;
      cell.ariaSort = isSorted ? (order.descending ? "descending" : "ascending") : "none";
    }
    body.replaceChildren(...rows.map((row) => rowView(row, table.columns, writers)));
  }

  return { view: withEdges(scroll), scroll, show };
}

function headingView(column, choose) {
  const arrow = make("span", { className: "arrow", "aria-hidden": "true" });
  const sort = make("button", { type: "button", title: column.type, onclick: choose }, visible(column.name), arrow);
  return make("th", { scope: "col", className: isNumeric(column) ? "number" : "", ariaSort: "none" }, sort);
}

function rowView(row, columns, writers) {
  return make("tr", {}, row.map((cell, index) => cellView(cell, columns[index], writers[index])));
}

function cellView(cell, column, write) {
  const kinds = [isNumeric(column) ? "number" : "", cell === null ? "null" : ""];
  const said = visible(write(cell));
  const inner = said.length > LONG_CELL ? make("div", { className: "long", tabIndex: 0 }, said) : said;
  return make("td", { className: kinds.join(" ").trim(), dir: "auto" }, inner);
}
