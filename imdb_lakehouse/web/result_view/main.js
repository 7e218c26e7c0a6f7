// The view of an answer in a program that shows MCP Apps.

import { redrawCharts } from "../static/js/chart_view.js";
import { byId, make } from "../static/js/dom.js";
import { visible } from "../static/js/visible.js";
import { readAnswer } from "./answer.js";
import { Host } from "./host.js";
import { rowsView } from "./rows_view.js";

const SIDES = ["top", "right", "bottom", "left"];
const root = document.documentElement;
const mode = byId("mode");
let context = {};
let height = 0;

const host = new Host({
  "ui/notifications/tool-result": (result) => show(...answerViews(readAnswer(result))),
  "ui/notifications/tool-cancelled": ({ reason }) => show(textView(reason ? `Cancelled: ${reason}` : "Cancelled.")),
  "ui/notifications/host-context-changed": follow,
});

/** Follows the host's context, of which `changed` is a part. */
function follow(changed) {
  context = { ...context, ...changed };
  if (["light", "dark"].includes(context.theme)) root.dataset.theme = context.theme;
  const font = context.styles?.variables?.["--font-sans"];
  if (typeof font === "string") document.body.style.fontFamily = font;
  for (const side of SIDES) {
    document.body.style.setProperty(`--inset-${side}`, `${Number(context.safeAreaInsets?.[side]) || 0}px`);
  }
  root.dataset.mode = isFullScreen() ? "fullscreen" : "inline";
  mode.hidden = !context.availableDisplayModes?.includes?.("fullscreen");
  mode.textContent = isFullScreen() ? "Leave full screen" : "Full screen";
  redrawCharts();
}

function isFullScreen() {
  return context.displayMode === "fullscreen";
}

mode.addEventListener("click", async () => {
  const wanted = isFullScreen() ? "inline" : "fullscreen";
  try {
    const { mode: displayMode } = await host.request("ui/request-display-mode", { mode: wanted });
    follow({ displayMode });
  } catch {
    mode.hidden = true; // a host that refuses it does not have it, until it says that it does
  }
});

function answerViews(answer) {
  if (answer.kind === "rows") return rowsView(answer, host);
  return [answer.kind === "failure" ? failureView(answer.text) : textView(answer.text)];
}

function textView(text) {
  return make("p", { className: "reason", dir: "auto" }, visible(text));
}

function failureView(text) {
  return make("div", { className: "trouble", role: "alert" }, textView(text));
}

function show(...views) {
  byId("view").replaceChildren(...views);
}

/** Tells the host how high the view is. */
function reportHeight() {
  const now = Math.ceil(document.body.getBoundingClientRect().height);
  if (now === height) return;
  height = now;
  host.notify("ui/notifications/size-changed", { height });
}

host.connect().then(
  (given) => {
    follow(given);
    new ResizeObserver(reportHeight).observe(document.body);
  },
  (error) => show(failureView(`The program around this view refused it: ${error.message}`)),
);
