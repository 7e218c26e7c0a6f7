import assert from "node:assert/strict";
import test from "node:test";

import { describeSize, readAnswer } from "../../../imdb_lakehouse/web/result_view/answer.js";
import { MoreRows } from "../../../imdb_lakehouse/web/result_view/more_rows.js";

const SQL = "SELECT n FROM t";
const columns = [{ name: "n", type: "int" }];
const rowsFrom = (first, count) => Array.from({ length: count }, (_, at) => [first + at]);
const answered = (rows, total, more = {}) => ({
  content: [{ type: "text", text: "as text" }],
  structuredContent: {
    status: "done", columns, rows, total_rows: total, truncated: rows.length !== total, query_id: "q1", warnings: [], ...more,
  },
});
const failed = (text) => ({ isError: true, content: [{ type: "text", text }] });

/** A server that answers with these results one after another, and what it was asked. */
function scripted(...results) {
  const asked = [];
  const call = async (tool, args) => {
    asked.push([tool, args]);
    return results.shift();
  };
  return { asked, call };
}

test("rows that are kept are added until there are no more", async () => {
  const answer = readAnswer(answered(rowsFrom(0, 2), 5));
  const { asked, call } = scripted(answered(rowsFrom(2, 2), 5), answered(rowsFrom(4, 1), 5, { truncated: false }));
  const more = new MoreRows(call, answer, SQL);
  assert.equal(await more.add(), null);
  assert.equal(describeSize(answer), "4 of 5 rows; the model has 2");
  assert.equal(more.isOpen, true);
  assert.equal(await more.add(), null);
  assert.deepEqual(answer.table.rows, rowsFrom(0, 5));
  assert.equal(more.isOpen, false);
  assert.deepEqual(asked.map(([, args]) => args.offset), [2, 4]);
});

test("where none are kept the statement is run again, however long that takes", async () => {
  const answer = readAnswer(answered(rowsFrom(0, 2), 5));
  const slow = { content: [], structuredContent: { status: "running", handle: "h1" } };
  const { asked, call } = scripted(failed("No rows are kept"), slow, slow, answered(rowsFrom(10, 5), 5, { query_id: "q2" }));
  assert.equal(await new MoreRows(call, answer, SQL).add(), "The statement was run again for more rows.");
  assert.deepEqual(answer.table.rows, rowsFrom(10, 5));
  assert.deepEqual(asked.map(([tool]) => tool), ["read_kept_rows", "execute_spark_sql", "query_status", "query_status"]);
  assert.equal(asked[1][1].sql_query, SQL);
  assert.equal(asked[2][1].handle, "h1");
});

test("a statement that cost money is not run again", async () => {
  const answer = readAnswer(answered(rowsFrom(0, 2), 5, { ai: { calls: 2, cost_usd: 0.01 } }));
  const { asked, call } = scripted(answered([], 5));
  const more = new MoreRows(call, answer, SQL);
  assert.match(await more.add(), /no more rows/);
  assert.equal(more.isOpen, false);
  assert.deepEqual(asked.map(([tool]) => tool), ["read_kept_rows"]);
  assert.deepEqual(answer.facts, ["2 model calls, $0.010"]);
});

test("a run that fails says why and leaves the rows", async () => {
  const answer = readAnswer(answered(rowsFrom(0, 2), 5));
  const { call } = scripted(answered([], 5), failed("The query ran out of time."));
  await assert.rejects(new MoreRows(call, answer, SQL).add(), /out of time/);
  assert.deepEqual(answer.table.rows, rowsFrom(0, 2));
});

test("another run that has no more rows changes nothing", async () => {
  const answer = readAnswer(answered(rowsFrom(0, 2), null));
  const { call } = scripted(answered([], null), answered(rowsFrom(7, 2), null), answered([], null));
  const more = new MoreRows(call, answer, SQL);
  assert.match(await more.add(), /no more rows/);
  assert.deepEqual(answer.table.rows, rowsFrom(0, 2));
  assert.equal(describeSize(answer), "The first 2 rows; there are more");
});
