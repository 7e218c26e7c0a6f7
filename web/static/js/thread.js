// The conversation on the page: what was said, what is being answered, and what to begin with.

import { answerView, askedView, troubleView } from "./answer_view.js";
import { button, byId, make } from "./dom.js";

const WITH_MODEL =
  "Each answer shows the SQL that found it, its rows, and what it cost. Begin with one of these, or ask below.";
const WITHOUT_MODEL =
  "No model is set up here, so only SQL is answered. Write a statement below, or begin with one of these.";

export class Thread {
  #messages = byId("messages");
  #title = byId("title");
  #last = null; // what gives way
  #asked = null; // the newest question

  /** `ask` sends a request once more; `lost` is called when what had the focus is taken away. */
  constructor({ ask, lost }) {
    this.ask = ask;
    this.lost = lost;
  }

  clear(title) {
    this.#messages.replaceChildren();
    this.#last = null;
    this.#asked = null;
    this.title = title;
  }

  set title(title) {
    this.#title.textContent = title || "New conversation";
    document.title = `${title || "Ask"} – IMDb Lakehouse`;
  }

  focus() {
    this.#title.focus();
  }

  /** All that was said. */
  show(messages) {
    let request = null;
    for (const message of messages) {
      if (message.role === "user") {
        request = { kind: message.kind, text: message.text };
        this.asked(request);
      } else if (message.result) {
        this.answered(message.result, request ?? { kind: message.kind, text: "" });
      }
    }
  }

  asked(request) {
    this.#asked = askedView(request);
    this.#put(this.#asked);
  }

  answered(result, request) {
    this.#put(answerView(result, request.kind, request.text ? () => this.ask(request) : null));
  }

  /** Put something at the end; what is passing there gives way. */
  passing(view) {
    this.settle();
    this.#put(view);
    this.#last = view;
  }

  settle() {
    const held = this.#last?.contains(document.activeElement);
    this.#last?.remove();
    this.#last = null;
    if (held) this.lost();
  }

  trouble(text, ...buttons) {
    this.passing(troubleView(text, ...buttons));
  }

  /** An empty conversation: what the page is, and what to begin with. */
  welcome(about) {
    const examples = about.examples.filter((one) => about.model !== null || one.kind === "sql");
    const items = examples.map((one) => make("li", {}, this.#example(one)));
    this.passing(
      make(
        "div",
        { className: "welcome" },
        make("p", { className: "lead" }, "Ask about films, series and the people who made them."),
        make("p", {}, about.model === null ? WITHOUT_MODEL : WITH_MODEL),
        make("ul", { className: "examples", "aria-label": "Examples" }, items),
      ),
    );
  }

  #example(one) {
    const text = one.kind === "sql" ? make("code", {}, one.text) : one.text;
    return button(text, () => this.ask(one), { className: "button example" });
  }

  #put(view) {
    this.#messages.append(view);
    (this.#asked ?? view).scrollIntoView({ block: "start" }); // what is read first
  }
}
