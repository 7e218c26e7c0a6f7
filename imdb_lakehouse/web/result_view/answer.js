// Reads the result of a tool into what is shown of it.

import { dollars, formatCount, seconds, whole } from "../static/js/format.js";
import { textOf } from "./host.js";

/**
 * Reads a result: {kind: "failure" | "text", text}, or {kind: "rows", table, given, total, queryId, facts}.
 *
 * A table is {columns, rows, truncated, warnings} as on the page, to which rows may be added later; `given` is how many
 * the model has. `total` is the number of rows of the statement, null if nobody counted them, and `facts` are short texts.
 * What does not have the form of rows is shown as the text that it has.
 */
export function readAnswer(result) {
  const text = textOf(result);
  if (result.isError) return { kind: "failure", text: text || "The tool failed and gave no reason." };
  const found = result.structuredContent;
  if (found?.status !== "done" || !hasRows(found)) return { kind: "text", text: text || "The answer has no text." };
  const { columns, rows, truncated, warnings } = found;
  return {
    kind: "rows",
    table: { columns, rows, truncated: truncated === true, warnings: listTexts(warnings) },
    given: rows.length,
    total: Number.isInteger(found.total_rows) ? found.total_rows : null,
    queryId: String(found.query_id),
    facts: listFacts(found),
  };
}

/** Describes how many rows there are, how many of them are here, and how many the model has. */
export function describeSize({ table, total, given }) {
  const rows = table.rows.length;
  const model = rows > given ? `; the model has ${whole(given)}` : "";
  if (!table.truncated) return formatCount(rows, "row") + model;
  if (total === null) return `The first ${formatCount(rows, "row")}; there are more${model}`;
  return `${whole(rows)} of ${formatCount(total, "row")}${model}`;
}

function hasRows({ columns, rows }) {
  const isColumn = (column) => typeof column?.name === "string" && typeof column.type === "string";
  const isRow = (row) => Array.isArray(row) && row.length === columns.length;
  return Array.isArray(columns) && columns.length > 0 && columns.every(isColumn) && Array.isArray(rows) && rows.every(isRow);
}

function listTexts(texts) {
  return Array.isArray(texts) ? texts.filter((text) => typeof text === "string") : [];
}

function listFacts({ elapsed_ms: elapsed, engine, ai }) {
  return [
    Number.isFinite(elapsed) ? seconds(elapsed / 1000) : null,
    typeof engine === "string" ? engine : null,
    ai ? `${formatCount(Number(ai.calls) || 0, "model call")}, ${dollars(Number(ai.cost_usd) || 0)}` : null,
  ].filter(Boolean);
}
