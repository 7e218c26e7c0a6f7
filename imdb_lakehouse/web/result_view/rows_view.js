// View of an answer's rows: how many, a chart, the table, warnings, and what can be done with them.

import { chartBox } from "../static/js/chart_box.js";
import { csv } from "../static/js/csv.js";
import { button, make } from "../static/js/dom.js";
import { formatCount } from "../static/js/format.js";
import { describeOrder, nextOrder, sortRows } from "../static/js/sort.js";
import { tableGrid } from "../static/js/table_grid.js";
import { tableJson } from "../static/js/table_json.js";
import { visible } from "../static/js/visible.js";
import { warningsView } from "../static/js/warnings_view.js";
import { describeSize } from "./answer.js";
import { saverOf } from "./files.js";
import { addRows } from "./more_rows.js";

/** Views of the rows, from top to bottom. */
export function rowsView(answer, host) {
  const { table } = answer;
  const state = { order: null, rows: table.rows, hasMore: table.truncated };
  const size = make("p", { className: "said size" });
  const chart = make("div", { className: "place" });
  const warnings = make("div", { className: "place" });
  const note = make("p", { className: "note", role: "status" });
  const grid = tableGrid(table, "Result", sortBy);
  const say = (text) => note.replaceChildren(visible(text ?? ""));
  const save = host.can("downloadFile") ? saverOf(host, say) : null;
  const next = button("More rows", addMore, { className: "button small" });

  function sortBy(index) {
    state.order = nextOrder(state.order, index);
    order();
    say(describeOrder(table, state.order) + (table.truncated ? " Only the rows that are here." : ""));
  }

  function order() {
    state.rows = state.order ? sortRows(table, state.order.index, state.order.descending) : table.rows;
    grid.show(state.rows, state.order);
  }

  async function addMore() {
    const before = table.rows.length;
    next.disabled = true;
    say("Asking for more rows…");
    try {
      const end = await addRows(answer, (tool, args) => host.callTool(tool, args));
      state.hasMore = table.truncated && end === null;
      showAll();
      say(end ?? `${formatCount(table.rows.length - before, "row")} added.`);
    } catch (error) {
      say(error.message);
    }
    next.disabled = false;
    (next.hidden ? grid.scroll : next).focus(); // a button that is disabled has lost it
  }

  function showAll() {
    size.replaceChildren([describeSize(answer), ...answer.facts].join(" · "));
    chart.replaceChildren(...[chartBox(table, save)].filter(Boolean));
    const told = warningsView(table.warnings);
    const whom = told && table.rows.length > answer.given ? make("p", { className: "said" }, "The model was told:") : null;
    warnings.replaceChildren(...[whom, told].filter(Boolean));
    next.hidden = !(state.hasMore && host.can("serverTools"));
    order();
  }

  const files = save && [
    button("Save CSV", () => save("result.csv", "text/csv", `\ufeff${csv(table.columns, state.rows)}`), { className: "button small" }),
    button("JSON", () => save("result.json", "application/json", tableJson(table.columns, state.rows)), {
      className: "button small",
      title: "Save JSON",
    }),
  ];
  showAll();
  if (table.rows.length === 0) return [size, make("p", { className: "reason" }, "The statement found no rows."), warnings];
  return [size, chart, make("div", { className: "result" }, grid.view, make("div", { className: "bar" }, next, files ?? [], note)), warnings];
}
