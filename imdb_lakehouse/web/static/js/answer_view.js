// Views of messages: questions, and answers with their chart, table, statement, cost and steps.

import { chartBox } from "./chart_box.js";
import { copyButton } from "./copying.js";
import { button, hiddenText, make } from "./dom.js";
import { dollars, formatCount, seconds } from "./format.js";
import { followUpsView } from "./follow_ups_view.js";
import { proseView } from "./prose_view.js";
import { RatingView } from "./rating_view.js";
import { sqlView } from "./sql_view.js";
import { stepsView } from "./steps_view.js";
import { tableView } from "./table_view.js";

const OUTCOMES = {
  declined: "The model declined",
  failed: "Not answered",
  stopped: "Stopped at a limit",
  cancelled: "Cancelled",
  refused: "Refused by the guard",
};

/** View of a question or a statement. */
export function askedView({ kind, text }) {
  const said = kind === "sql" ? sqlView(text) : make("p", {}, text);
  return make("article", { className: `asked asked-${kind}` }, hiddenText("You asked: "), said);
}

const BASES = {
  none: "No data was asked for this answer.",
  failed: "No statement succeeded, so this answer rests on no rows.",
};

/** View of an answer. `again` repeats the request; `rating` has the `feedback` and how to `save` it, null for none. */
export function answerView(result, kind, again, rating = null) {
  const rated = rating && kind === "question" && result.outcome === "answered";
  const view = rated ? new RatingView(rating.feedback, rating.save) : null;
  const step = result.steps[result.shown] ?? result.steps.findLast((one) => one.table !== null) ?? null;
  return make(
    "article",
    { className: `answer outcome-${result.outcome}` },
    hiddenText("The answer: "),
    outcomeView(result.outcome),
    spokenView(result, kind),
    kind === "question" ? basisView(result) : null,
    ...(step && step.table.columns.length > 0 ? dataViews(step) : []),
    kind === "question" && step?.sql ? sqlView(step.sql) : null,
    costView(result, step),
    kind === "question" ? stepsView(result.steps, step) : null,
    kind === "question" || result.outcome !== "answered" ? actionsView(result, again, view?.buttons ?? []) : null,
    view?.form,
    followUpsView(result.follow_ups ?? []),
  );
}

function actionsView(result, again, rating) {
  const words = () => document.activeElement.closest(".answer").querySelector(".prose");
  const small = { className: "button small" };
  const ways = [
    result.answer ? copyButton(result.answer, "The answer", words, { title: "Copy the answer" }) : null,
    again ? button("Ask again", again, small) : null,
    ...rating,
  ].filter(Boolean);
  return ways.length === 0 ? null : make("div", { className: "bar" }, ways);
}

/** View of an error, with the actions that may help. */
export function troubleView(text, ...buttons) {
  const ways = make("div", { className: "bar" }, buttons);
  return make("div", { className: "trouble", role: "alert" }, make("p", {}, text), ways);
}

function outcomeView(outcome) {
  return outcome === "answered" ? null : make("p", { className: "outcome" }, OUTCOMES[outcome] ?? outcome);
}

function spokenView(result, kind) {
  if (!result.answer) return null;
  if (kind === "sql") return make("p", { className: "reason" }, result.answer);
  return proseView(result.answer, result.unfounded ?? []);
}

/** What an answer rests on, where that is not the rows below it alone. */
function basisView({ basis, unfounded = [], steps }) {
  const tables = steps.filter((one) => one.table !== null).length;
  const parts = [
    BASES[basis],
    basis === "rows" && tables > 1 ? `It rests on the rows of ${tables} statements; all are below.` : null,
    unfounded.length > 0 ? "A marked number is in no result of this question." : null,
  ].filter(Boolean);
  return parts.length === 0 ? null : make("p", { className: "basis" }, parts.join(" "));
}

function dataViews(step) {
  return [chartBox(step.table), tableView(step.table, "Result")];
}

/** View of cost and duration. */
function costView(result, step) {
  const tokens = result.tokens_read + result.tokens_written;
  const parts = [
    ["Time", seconds(result.seconds)],
    ["Cost", costs(result)],
    tokens > 0 ? ["Tokens", formatCount(tokens, "token")] : null,
    step ? ["Engine", step.table.engine] : null,
  ];
  return make("dl", { className: "cost" }, parts.filter(Boolean).map(partView));
}

function partView([name, value]) {
  return make("div", {}, make("dt", { className: "unseen" }, name), make("dd", {}, value));
}

function costs(result) {
  const all = result.model_usd + result.ai_usd;
  return result.ai_usd > 0 ? `${dollars(all)} (${dollars(result.ai_usd)} for AI functions)` : dollars(all);
}
