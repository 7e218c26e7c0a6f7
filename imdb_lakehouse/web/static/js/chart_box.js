// The chart of a result, with what people may change: its kind, its measure, and whether it is there.

import { choicesFor } from "./chart_for.js";
import { chartView } from "./chart_view.js";
import { button, make } from "./dom.js";
import { saveBlob } from "./saving.js";

const NAMES = { line: "Line", bar: "Bars", scatter: "Scatter", histogram: "Histogram" };
const KINDS = { ranking: "bar", bars: "bar" };

/**
 * View of a table's chart, or null where no chart of it says anything. It begins hidden where none says it at sight.
 * `save(name, blob)` saves its picture, null where pictures cannot be saved.
 */
export function chartBox(table, save = saveBlob) {
  const choices = choicesFor(table);
  if (choices.kinds.length === 0) return null;
  const state = { shown: choices.first !== null, ...startOf(choices) };
  const place = make("div");
  const bar = make("div", { className: "bar chart-bar" });

  function show() {
    const chart = state.shown ? choices.draw(state.kind, state.measure) : null;
    place.replaceChildren(...(chart ? [chartView(chart)] : []));
    const kinds = choices.kinds.map((kind) => [kind, NAMES[kind]]);
    const measures = choices.measures.filter((name) => choices.draw(state.kind, name)).map((name) => [name, name]);
    const pickers = state.shown
      ? [picker("Chart", kinds, state.kind, chooseKind), picker("Measure", measures, state.measure, chooseMeasure)]
      : [];
    const toggle = button(state.shown ? "Hide chart" : "Show a chart", turn, { className: "button small" });
    const picture = state.shown && save ? button("Save picture", savePicture, { className: "button small" }) : null;
    bar.replaceChildren(...[...pickers, picture, toggle].filter(Boolean));
  }

  function chooseKind(kind) {
    state.kind = kind;
    state.measure = [state.measure, ...choices.measures].find((name) => choices.draw(kind, name));
    show();
    bar.querySelector("select")?.focus();
  }

  function chooseMeasure(measure) {
    state.measure = measure;
    show();
    [...bar.querySelectorAll("select")].at(-1)?.focus();
  }

  function savePicture() {
    place.querySelector("canvas")?.toBlob((blob) => blob && save("chart.png", blob));
  }

  function turn() {
    state.shown = !state.shown;
    show();
    [...bar.querySelectorAll("button")].at(-1).focus();
  }

  show();
  return make("div", { className: "chart-box" }, place, bar);
}

function startOf({ first, kinds, measures, draw }) {
  const kind = first === null ? kinds[0] : (KINDS[first.kind] ?? first.kind);
  const named = first?.kind === "line" ? null : first?.series[0].name;
  const measure = [named, ...measures].find((name) => name && draw(kind, name));
  return { kind, measure };
}

/** A select with a label; null where there is nothing to choose. */
function picker(label, options, chosen, choose) {
  if (options.length < 2) return null;
  const items = options.map(([value, name]) => make("option", { value, selected: value === chosen }, name));
  const select = make("select", { onchange: (event) => choose(event.target.value) }, items);
  return make("label", { className: "said" }, `${label} `, select);
}
