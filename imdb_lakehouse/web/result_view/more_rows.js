// More rows of an answer than it showed: those that the server keeps, then those of another run.

import { readAnswer } from "./answer.js";

const MOST_ROWS = 100_000; // the server's own limit is lower and decides
const REASONING = "Whoever reads the result asks for more of its rows.";
const NO_MORE = "The server has no more rows of this answer. A statement with another LIMIT and OFFSET gets them.";

/** Adds rows to an answer. `call(tool, arguments)` calls a tool of the server; `sql` is the statement, null if unknown. */
export class MoreRows {
  #call;
  #answer;
  #sql;
  #isSpent = false;

  constructor(call, answer, sql) {
    this.#call = call;
    this.#answer = answer;
    this.#sql = answer.isPaid ? null : sql; // to run AI functions again would cost money
  }

  /** True if there may be rows that are not here. */
  get isOpen() {
    return this.#answer.table.truncated && !this.#isSpent;
  }

  /** Adds rows. Returns what people should know of them, null if nothing. Throws an Error where the statement fails. */
  async add() {
    if (await this.#addKept(this.#answer)) return null;
    const sql = this.#sql;
    this.#sql = null;
    if (sql !== null && (await this.#runAgain(sql))) return "The statement was run again for more rows.";
    this.#isSpent = true;
    return NO_MORE;
  }

  /** Adds rows that the server keeps of an answer. Returns false if it keeps no more, or no longer. */
  async #addKept({ table, queryId }) {
    const found = await this.#call("read_kept_rows", { query_id: queryId, offset: table.rows.length });
    if (found.isError) return false;
    const page = readAnswer(found);
    if (page.kind !== "rows" || page.table.columns.length !== table.columns.length) return false;
    table.rows.push(...page.table.rows);
    table.truncated = page.table.truncated;
    return page.table.rows.length > 0;
  }

  /** Puts the rows of another run in the place of those that are here, which may come in another order. */
  async #runAgain(sql) {
    let found = await this.#call("execute_spark_sql", { sql_query: sql, reasoning: REASONING, row_limit: MOST_ROWS });
    while (found.structuredContent?.status === "running") {
      found = await this.#call("query_status", { handle: found.structuredContent.handle });
    }
    const again = readAnswer(found);
    if (again.kind !== "rows") throw new Error(again.text);
    const before = this.#answer.table.rows.length;
    while (again.table.rows.length <= before && again.table.truncated && (await this.#addKept(again)));
    if (again.table.rows.length <= before) return false;
    Object.assign(this.#answer.table, { rows: again.table.rows, truncated: again.table.truncated });
    Object.assign(this.#answer, { total: again.total, queryId: again.queryId, facts: again.facts });
    return true;
  }
}
