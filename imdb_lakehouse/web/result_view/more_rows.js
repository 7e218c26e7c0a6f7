// More rows of an answer than it showed: the server keeps some for a while.

import { formatCount } from "../static/js/format.js";
import { readAnswer } from "./answer.js";
import { textOf } from "./host.js";

/**
 * Adds the rows that come next to an answer. `call(tool, arguments)` calls a tool of the server.
 *
 * Returns what people should know where there are none, else null. Throws an Error where the server has forgotten them.
 */
export async function addRows(answer, call) {
  const { table, queryId } = answer;
  const found = await call("read_kept_rows", { query_id: queryId, offset: table.rows.length });
  const page = readAnswer(found);
  if (page.kind !== "rows") throw new Error(textOf(found));
  table.rows.push(...page.table.rows);
  table.truncated = page.table.truncated;
  if (page.table.rows.length > 0) return null;
  return `The server keeps ${formatCount(table.rows.length, "row")} of this answer. Ask for others by LIMIT and OFFSET.`;
}
