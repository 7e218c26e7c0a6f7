// Views of the steps of an answer: tool calls with reason, statement, rows, time and failures.

import { make } from "./dom.js";
import { dollars, formatCount, seconds } from "./format.js";
import { sqlView } from "./sql_view.js";
import { tableView } from "./table_view.js";

/** View of the steps, collapsed. `shown` is the step whose table is already on the page. */
export function stepsView(steps, shown) {
  if (steps.length === 0) return null;
  const failed = steps.filter((step) => step.state === "failed").length;
  const said = `How it was found: ${formatCount(steps.length, "step")}${failed ? `, ${failed} failed` : ""}`;
  const list = make("ol", { className: "steps" }, steps.map((step) => stepView(step, step !== shown)));
  return make("details", { className: "found" }, make("summary", {}, said), list);
}

/** View of one step, with its table collapsed. */
export function stepView(step, withTable) {
  return make(
    "li",
    { className: `step step-${step.state}` },
    make(
      "p",
      { className: "step-head" },
      make("code", {}, step.tool),
      make("span", { className: "said" }, describeOutcome(step)),
    ),
    step.reasoning ? make("p", { className: "reasoning" }, step.reasoning) : null,
    step.sql ? sqlView(step.sql) : null,
    step.text ? make("p", { className: "reason" }, step.text) : null,
    withTable && step.table ? foldTable(step) : null,
  );
}

/** Describes the progress or outcome of a step. */
function describeOutcome(step) {
  if (step.state === "running") return step.stage ?? "running";
  const parts = [
    step.state === "failed" ? "failed" : null,
    step.rows === null ? null : formatCount(step.rows, "row"),
    step.seconds === null ? null : seconds(step.seconds),
    step.ai_usd > 0 ? `${dollars(step.ai_usd)} for AI functions` : null,
  ];
  return parts.filter(Boolean).join(" · ");
}

function foldTable(step) {
  const details = make("details", {}, make("summary", {}, `Its ${formatCount(step.table.rows.length, "row")}`));
  const show = () => details.append(tableView(step.table, "Rows of this step"));
  details.addEventListener("toggle", show, { once: true });
  return details;
}
