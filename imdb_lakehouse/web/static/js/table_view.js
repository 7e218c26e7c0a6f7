// View of a result as a sortable table with a CSV download.

import { csv } from "./csv.js";
import { button, make } from "./dom.js";
import { withEdges } from "./edges.js";
import { formatCount, formatterOf, isNumeric } from "./format.js";
import { visible } from "./prose.js";
import { saveText } from "./saving.js";
import { sortRows } from "./sort.js";
import { parquetButton } from "./table_files.js";

const AT_FIRST = 100;
const LONG_CELL = 400; // a longer text scrolls in its cell, so that no row is taller than the table

/** View of the table with its remarks. */
export function tableView(table, name) {
  const state = { index: null, descending: false, rows: table.rows, all: table.rows.length <= AT_FIRST };
  const writers = table.columns.map((column, index) => formatterOf(column, table.rows.map((row) => row[index])));
  const body = make("tbody");
  const headings = table.columns.map((column, index) => heading(column, () => order(index)));
  const more = make("div", { className: "more" });
  const note = make("p", { className: "note", role: "status" });

  function order(index) {
    state.descending = state.index === index ? !state.descending : false;
    state.index = index;
    state.rows = sortRows(table, index, state.descending);
    show();
    note.textContent = `Sorted by ${table.columns[index].name}, ${state.descending ? "descending" : "ascending"}.`;
  }

  function show() {
    for (const [index, cell] of headings.entries()) {
      const isSorted = index === state.index;
      cell.ariaSort = isSorted ? (state.descending ? "descending" : "ascending") : "none";
    }
    const rows = state.all ? state.rows : state.rows.slice(0, AT_FIRST);
    body.replaceChildren(...rows.map((row) => rowView(row, table.columns, writers)));
    more.replaceChildren(...(state.all ? [] : [button(`Show all ${formatCount(state.rows.length, "row")}`, showAll)]));
  }

  function showAll() {
    state.all = true;
    show();
    scroll.focus();
  }

  const head = make("thead", {}, make("tr", {}, headings));
  const label = `${name}, ${formatCount(table.rows.length, "row")}`;
  const scroll = make(
    "div",
    { className: "scroll", tabIndex: 0, role: "region", "aria-label": label },
    make("table", { className: table.columns.every(isNumeric) ? "numbers" : "" }, head, body),
  );
  show();
  const download = () => saveText("result.csv", "text/csv", "\ufeff", csv(table.columns, state.rows));
  const take = button("Download CSV", download, { className: "button small" });
  const asJson = () => saveText("result.json", "application/json", json(table, state.rows));
  const takeJson = button("JSON", asJson, { className: "button small", title: "Download JSON" });
  const bar = make("div", { className: "bar" }, make("span", { className: "said" }, size(table)), take, takeJson, parquetButton(table));
  return make("div", { className: "result" }, withEdges(scroll), more, remarks(table), bar, note);
}

function heading(column, order) {
  const arrow = make("span", { className: "arrow", "aria-hidden": "true" });
  const sort = make("button", { type: "button", title: column.type, onclick: order }, column.name, arrow);
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

function size(table) {
  const rows = formatCount(table.rows.length, "row");
  return table.truncated ? `The first ${rows}; there are more` : rows;
}

function remarks(table) {
  if (table.warnings.length === 0) return null;
  const items = table.warnings.map((text) => make("li", {}, text));
  return make("ul", { className: "warnings", "aria-label": "Warnings" }, items);
}

/** One object for each row; columns of one name get numbers. */
function json(table, rows) {
  const names = table.columns.map(({ name }, at) => {
    const before = table.columns.slice(0, at).filter((column) => column.name === name).length;
    return before === 0 ? name : `${name} (${before + 1})`;
  });
  return JSON.stringify(rows.map((row) => Object.fromEntries(row.map((cell, at) => [names[at], cell]))), null, 1);
}
