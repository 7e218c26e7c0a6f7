// View of a result as a sortable table with a CSV download.

import { csv } from "./csv.js";
import { button, make } from "./dom.js";
import { formatCount } from "./format.js";
import { saveText } from "./saving.js";
import { describeOrder, nextOrder, sortRows } from "./sort.js";
import { parquetButton } from "./table_files.js";
import { tableGrid } from "./table_grid.js";
import { tableJson } from "./table_json.js";
import { warningsView } from "./warnings_view.js";

const AT_FIRST = 100;

/** View of the table with its remarks. */
export function tableView(table, name) {
  const state = { order: null, rows: table.rows, all: table.rows.length <= AT_FIRST };
  const grid = tableGrid(table, `${name}, ${formatCount(table.rows.length, "row")}`, sortBy);
  const more = make("div", { className: "more" });
  const note = make("p", { className: "note", role: "status" });

  function sortBy(index) {
    state.order = nextOrder(state.order, index);
    state.rows = sortRows(table, index, state.order.descending);
    show();
    note.textContent = describeOrder(table, state.order);
  }

  function show() {
    grid.show(state.all ? state.rows : state.rows.slice(0, AT_FIRST), state.order);
    more.replaceChildren(...(state.all ? [] : [button(`Show all ${formatCount(state.rows.length, "row")}`, showAll)]));
  }

  function showAll() {
    state.all = true;
    show();
    grid.scroll.focus();
  }

  show();
  const download = () => saveText("result.csv", "text/csv", "\ufeff", csv(table.columns, state.rows));
  const take = button("Download CSV", download, { className: "button small" });
  const asJson = () => saveText("result.json", "application/json", tableJson(table.columns, state.rows));
  const takeJson = button("JSON", asJson, { className: "button small", title: "Download JSON" });
  const bar = make("div", { className: "bar" }, make("span", { className: "said" }, size(table)), take, takeJson, parquetButton(table));
  return make("div", { className: "result" }, grid.view, more, warningsView(table.warnings), bar, note);
}

function size(table) {
  const rows = formatCount(table.rows.length, "row");
  return table.truncated ? `The first ${rows}; there are more` : rows;
}
