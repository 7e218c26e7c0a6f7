// Questions that may be asked next. One that is chosen goes into the field, to be changed or sent.

import { button, make } from "./dom.js";
import { visible } from "./visible.js";

/** The event by which a question asks to be put into the field; its `detail` is the question. */
export const ASK_NEXT = "ask-next";

export function followUpsView(questions) {
  if (questions.length === 0) return null;
  const items = questions.map((text) => make("li", {}, button(visible(text), (event) => dispatch(event.target, text), {
    className: "button small follow-up",
    title: "Put it into the field",
  })));
  return make("ul", { className: "follow-ups", "aria-label": "Ask next" }, items);
}

function dispatch(from, text) {
  from.dispatchEvent(new CustomEvent(ASK_NEXT, { bubbles: true, detail: text }));
}
