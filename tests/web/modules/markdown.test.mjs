import assert from "node:assert/strict";
import test from "node:test";

import { conversationAsMarkdown } from "../../../imdb_lakehouse/web/static/js/markdown.js";

const table = { columns: [{ name: "title" }, { name: "votes" }], rows: [["A|B\nC", 3], [null, 2]], truncated: true };
const step = { sql: "SELECT 1", state: "done", table };

test("a conversation is written with its answers, statements and rows", () => {
  const asked = { request: { kind: "question", text: "How\nmany?" }, result: { answer: "**Three.**", steps: [step] } };
  assert.equal(
    conversationAsMarkdown("Films", [asked]),
    "# Films\n\n## How many?\n\n**Three.**\n\n```sql\nSELECT 1\n```\n\n" +
      "| title | votes |\n| --- | --- |\n| A\\|B C | 3 |\n|  | 2 |\n\nThere are more rows.\n",
  );
});

test("a statement that has backticks is fenced by more of them, and one without an answer stands alone", () => {
  const sql = { request: { kind: "sql", text: "SELECT ```x```" }, result: null };
  assert.equal(conversationAsMarkdown("", [sql]), "# Conversation\n\n````sql\nSELECT ```x```\n````\n");
});
