// View of a running answer: the current stage, the text so far, and the steps.

import { announce } from "./announce.js";
import { button, make } from "./dom.js";
import { seconds } from "./format.js";
import { proseView } from "./prose_view.js";
import { stepView } from "./steps_view.js";

const TICK_MS = 1_000;
const DOINGS = {
  waiting: "Waiting its turn",
  writing: "Writing the answer",
  "calling execute_spark_sql": "Running SQL",
};

/** View of a running operation: `show` renders its state, `away` an unreachable server. */
export class LiveView {
  #begun = performance.now(); // measured locally, because the server's clock may differ
  #stage = make("span", { className: "doing" }, "Sending");
  #clock = make("span", { className: "said" });
  #words = make("div");
  #steps = make("ol", { className: "steps" });
  #trouble = make("p", { className: "away", role: "status", hidden: true });
  #written = "";
  #shown = [];

  /** True if it was cancelled before the server accepted it. */
  cancelled = false;

  /** `hurry` retries the server at once. */
  constructor(hurry) {
    this.hurry = hurry;
    const dot = make("span", { className: "dot", "aria-hidden": "true" });
    const head = make("div", { className: "live-head" }, dot, this.#stage, this.#clock);
    this.element = make("article", { className: "answer live", "aria-label": "The answer, on its way" });
    this.element.append(head, this.#trouble, this.#words, this.#steps);
    const ticking = setInterval(() => {
      if (this.element.isConnected) this.#tick();
      else clearInterval(ticking);
    }, TICK_MS);
  }

  show(operation) {
    const { stage } = operation;
    const doing = DOINGS[stage.doing] ?? capitalized(stage.doing);
    this.#stage.textContent = doing;
    this.#tick();
    announce(doing);
    this.#write(stage.text);
    if (operation.request.kind === "question") this.#list(stage.steps); // the single step of a statement is shown above
  }

  #tick() {
    this.#clock.textContent = seconds(Math.round((performance.now() - this.#begun) / 1000));
  }

  away(error, pause) {
    this.#trouble.hidden = error === null;
    if (error === null) {
      announce("The server is back.");
      return;
    }
    const now = button("Try now", this.hurry, { className: "button small" });
    this.#trouble.replaceChildren(`${error.message} Trying again in ${seconds(Math.ceil(pause))}. `, now);
  }

  #write(text) {
    if (text === this.#written) return;
    this.#written = text;
    this.#words.replaceChildren(proseView(text));
  }

  /** Updates changed steps only, so that details opened by the reader stay open. */
  #list(steps) {
    for (const [index, step] of steps.entries()) {
      const said = JSON.stringify(step);
      if (this.#shown[index] === said) continue;
      this.#shown[index] = said;
      const view = stepView(step, true);
      const old = this.#steps.children[index];
      if (old) old.replaceWith(view);
      else this.#steps.append(view);
    }
  }
}

function capitalized(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
