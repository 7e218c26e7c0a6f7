// How an answer was found: each tool call with its reason, statement, rows and time, and what failed.

import { make } from "./dom.js";
import { counted, dollars, seconds } from "./format.js";
import { sqlView } from "./sql_view.js";
import { tableView } from "./table_view.js";

/** The steps of an answer, folded. `shown` is the step whose table is on the page already. */
export function stepsView(steps, shown) {
  if (steps.length === 0) return null;
  const failed = steps.filter((step) => step.state === "failed").length;
  const said = `How it was found: ${counted(steps.length, "step")}${failed ? `, ${failed} failed` : ""}`;
  const list = make("ol", { className: "steps" }, steps.map((step) => stepView(step, step !== shown)));
  return make("details", { className: "found" }, make("summary", {}, said), list);
}

/** One step. With its table, that is folded too. */
export function stepView(step, withTable) {
  return make(
    "li",
    { className: `step step-${step.state}` },
    make("p", { className: "step-head" }, make("code", {}, step.tool), make("span", { className: "said" }, came(step))),
    step.reasoning ? make("p", { className: "reasoning" }, step.reasoning) : null,
    step.sql ? sqlView(step.sql) : null,
    step.text ? make("p", { className: "reason" }, step.text) : null,
    withTable && step.table ? folded(step) : null,
  );
}

/** Where a step is, or how it ended, in a few words. */
function came(step) {
  if (step.state === "running") return step.stage ?? "running";
  const parts = [
    step.state === "failed" ? "failed" : null,
    step.rows === null ? null : counted(step.rows, "row"),
    step.seconds === null ? null : seconds(step.seconds),
    step.ai_usd > 0 ? `${dollars(step.ai_usd)} for AI functions` : null,
  ];
  return parts.filter(Boolean).join(" · ");
}

function folded(step) {
  const details = make("details", {}, make("summary", {}, `Its ${counted(step.table.rows.length, "row")}`));
  const show = () => details.append(tableView(step.table, "Rows of this step"));
  details.addEventListener("toggle", show, { once: true });
  return details;
}
