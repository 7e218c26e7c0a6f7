// Writes a conversation as Markdown.

import { text } from "./format.js";

const MOST_ROWS = 200;

/** The conversation with its questions, answers, statements and rows. */
export function conversationAsMarkdown(title, entries) {
  return [`# ${line(title || "Conversation")}`, ...entries.flatMap(entryParts)].join("\n\n") + "\n";
}

function entryParts({ request, result }) {
  const asked = request.kind === "sql" ? [fence(request.text, "sql")] : [`## ${line(request.text)}`];
  if (result === null) return asked;
  const steps = result.steps.filter((step) => step.sql && step.state === "done");
  const found = steps.flatMap((step) => [
    ...(request.kind === "sql" ? [] : [fence(step.sql, "sql")]),
    ...(step.table ? [table(step.table)] : []),
  ]);
  return [...asked, ...(result.answer ? [result.answer] : []), ...found];
}

function table({ columns, rows, truncated }) {
  const head = [row(columns.map((column) => column.name)), row(columns.map(() => "---"))];
  const body = rows.slice(0, MOST_ROWS).map((cells) => row(cells.map((cell) => (cell === null ? "" : text(cell)))));
  const more = truncated || rows.length > MOST_ROWS ? ["", "There are more rows."] : [];
  return [...head, ...body, ...more].join("\n");
}

function row(cells) {
  return `| ${cells.map((cell) => line(cell).replaceAll("|", "\\|")).join(" | ")} |`;
}

function line(said) {
  return said.replace(/\s+/g, " ").trim();
}

/** A block whose fence is longer than any run of backticks in it. */
function fence(said, kind) {
  const longest = Math.max(2, ...[...said.matchAll(/`+/g)].map((run) => run[0].length));
  const ticks = "`".repeat(longest + 1);
  return `${ticks}${kind}\n${said}\n${ticks}`;
}
