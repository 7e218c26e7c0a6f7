// Draws charts by Chart.js, which is loaded for the first one.

import { make } from "./dom.js";
import { shortenAll } from "./shorten.js";

const ROW_PX = 26;
const VALUE_PX = 56;
const MOST_DOTS = 40;
const drawn = new Set();
let library = null;

/** View of a chart. The table beside it is its text alternative. */
export function chartView(chart) {
  const canvas = make("canvas", { role: "img", "aria-label": `${chart.about} The table below has the same numbers.` });
  const frame = make("div", { className: `chart chart-${chart.kind}` }, canvas);
  frame.dataset.bars = chart.kind === "ranking" ? String(chart.labels.length) : "";
  if (chart.kind === "ranking") frame.style.height = `${chart.labels.length * ROW_PX + 60}px`;
  loadLibrary().then(
    (Chart) => whenShown(frame, () => draw(Chart, canvas, frame, chart)),
    () => frame.remove(), // the table has the same data
  );
  return frame;
}

/** Redraw all visible charts after a change of colours. */
export function redrawCharts() {
  for (const entry of [...drawn]) {
    entry.picture.destroy();
    drawn.delete(entry);
    if (entry.frame.isConnected) draw(globalThis.Chart, entry.canvas, entry.frame, entry.chart);
  }
}

function loadLibrary() {
  library ??= globalThis.Chart
    ? Promise.resolve(globalThis.Chart) // the view of a result in other programs has it from the start
    : import("../vendor/chart.umd.min.js").then(() => globalThis.Chart);
  return library;
}

function whenShown(frame, act) {
  const observer = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    act();
  });
  observer.observe(frame);
}

function draw(Chart, canvas, frame, chart) {
  forgetRemoved();
  const ink = readColours(frame);
  Object.assign(Chart.defaults.font, { family: ink.font, size: 12.5 });
  const picture = new Chart(canvas, settings(chart, ink));
  drawn.add({ picture, canvas, frame, chart });
  frame.dataset.drawn = chart.kind;
}

function forgetRemoved() {
  for (const entry of drawn) {
    if (entry.frame.isConnected) continue;
    entry.picture.destroy();
    drawn.delete(entry);
  }
}

function readColours(frame) {
  const style = (name) => {
    const probe = make("span", { className: `ink ink-${name}` });
    frame.append(probe);
    const { color } = getComputedStyle(probe);
    probe.remove();
    return color;
  };
  return {
    text: style("text"),
    grid: style("grid"),
    font: getComputedStyle(frame).fontFamily,
    lines: ["accent", "two", "three", "four", "five", "six"].map(style),
  };
}

function settings(chart, ink) {
  const isLine = chart.kind === "line";
  const isScatter = chart.kind === "scatter";
  const [category, value] = chart.kind === "ranking" ? ["y", "x"] : ["x", "y"];
  return {
    type: isScatter ? "scatter" : isLine ? "line" : "bar",
    data: {
      labels: isScatter ? undefined : chart.labels,
      datasets: chart.series.map((one, index) => dataset(one, chart, ink.lines[index])),
    },
    options: {
      indexAxis: category,
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      interaction: isScatter ? { mode: "nearest" } : { mode: "index", intersect: false, axis: category },
      scales: {
        [category]: isScatter ? numberAxis(chart, ink) : isLine ? timeAxis(chart, ink) : labelAxis(chart, ink),
        [value]: valueAxis(chart, ink),
      },
      plugins: {
        legend: { display: chart.series.length > 1, labels: { color: ink.text, boxWidth: 12, boxHeight: 2 } },
        tooltip: { callbacks: isLine ? { title: ([item]) => formatTime(item.parsed.x, chart) } : {} },
      },
      layout: { padding: { right: chart.kind === "ranking" ? VALUE_PX : 0 } },
    },
    plugins: chart.kind === "ranking" ? [labelBars(ink)] : [],
  };
}

/** Plugin that writes the value beside each bar: the top of a ranking often differs little. */
function labelBars(ink) {
  return {
    id: "values",
    afterDatasetsDraw(picture) {
      const { ctx, data } = picture;
      ctx.save();
      Object.assign(ctx, { fillStyle: ink.text, textBaseline: "middle", font: `12px ${ink.font}` });
      for (const [index, bar] of picture.getDatasetMeta(0).data.entries()) {
        const value = data.datasets[0].data[index];
        if (value !== null) ctx.fillText(value.toLocaleString("en-US"), Math.max(bar.x, bar.base) + 6, bar.y);
      }
      ctx.restore();
    },
  };
}

function dataset(one, chart, colour) {
  const shared = { label: one.name, borderColor: colour, backgroundColor: colour };
  if (chart.kind === "scatter") return { ...shared, data: dots(chart.labels, one.values), pointRadius: 3 };
  if (chart.kind === "histogram") return { ...shared, data: one.values, barPercentage: 1, categoryPercentage: 0.95 };
  if (chart.kind !== "line") return { ...shared, data: one.values, maxBarThickness: 28, borderRadius: 3 };
  const data = one.values.map((y, index) => ({ x: chart.labels[index], y }));
  const pointRadius = data.length > MOST_DOTS ? 0 : 2.5;
  return { ...shared, data, pointRadius, borderWidth: 2, clip: 8, spanGaps: true };
}

function dots(across, values) {
  return values.map((y, row) => ({ x: across[row], y })).filter(({ x, y }) => x !== null && y !== null);
}

function numberAxis(chart, ink) {
  const ticks = { color: ink.text, maxTicksLimit: 8 };
  return { type: "linear", ...title(chart.x, ink), grid: { color: ink.grid }, border: { display: false }, ticks };
}

function timeAxis(chart, ink) {
  return {
    type: "linear",
    ...title(chart.x, ink),
    min: chart.labels[0],
    max: chart.labels.at(-1),
    grid: { display: false },
    border: { color: ink.grid },
    ticks: { color: ink.text, maxRotation: 0, autoSkipPadding: 16, callback: (value) => formatTime(value, chart) },
  };
}

function labelAxis(chart, ink) {
  const most = (width) => (chart.kind === "ranking" ? Math.max(10, Math.min(26, Math.floor(width / 22))) : 14);
  return {
    ...title(chart.kind === "ranking" ? null : chart.x, ink),
    grid: { display: false },
    border: { color: ink.grid },
    ticks: {
      color: ink.text,
      autoSkip: chart.kind !== "ranking",
      maxRotation: chart.kind === "ranking" ? 0 : 45,
      callback(_, index) {
        return shortenAll(chart.labels, most(this.chart.width))[index] ?? "";
      },
    },
  };
}


function valueAxis(chart, ink) {
  const isCount = chart.series.every((one) => one.values.every((value) => value === null || Number.isInteger(value)));
  return {
    beginAtZero: !["line", "scatter"].includes(chart.kind) || (chart.kind === "line" && isCount),
    ...title(chart.series.length === 1 ? chart.series[0].name : null, ink),
    grid: { color: ink.grid },
    border: { display: false },
    ticks: { color: ink.text, maxTicksLimit: 6, precision: isCount ? 0 : undefined },
  };
}

function title(text, ink) {
  return { title: { display: text !== null, text: text ?? "", color: ink.text } };
}

function formatTime(value, chart) {
  if (!chart.time) return Number.isInteger(value) ? String(value) : "";
  return new Date(value).toISOString().slice(0, 10);
}
