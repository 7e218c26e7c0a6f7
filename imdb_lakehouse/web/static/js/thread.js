// View of a conversation: messages, the running answer, and examples for an empty one.

import { answerView, askedView, troubleView } from "./answer_view.js";
import { button, byId, make } from "./dom.js";
import { conversationAsMarkdown } from "./markdown.js";
import { saveText } from "./saving.js";
import { noteTables } from "./table_files.js";

const WITH_MODEL =
  "Each answer shows the SQL that found it, its rows, and what it cost. Begin with one of these, or ask below.";
const WITHOUT_MODEL =
  "No model is set up here, so only SQL is answered. Write a statement below, or begin with one of these.";

export class Thread {
  #messages = byId("messages");
  #title = byId("title");
  #last = null; // replaced by the next view
  #asked = null; // the latest question
  #entries = []; // {request, result} of all that is shown
  #taking = byId("taking"); // the ways to save and share it
  #isCopy = false;

  /** `ask` repeats a request; `rate` keeps a rating; `lost` is called when the focused element is removed. */
  constructor({ ask, rate, lost }) {
    this.ask = ask;
    this.rate = rate;
    this.lost = lost;
  }

  clear(title) {
    this.#messages.replaceChildren();
    this.#last = null;
    this.#asked = null;
    this.#entries = [];
    this.#taking.hidden = true;
    this.#isCopy = false;
    this.title = title;
  }

  set title(title) {
    this.#title.textContent = title || "New conversation";
    document.title = `${title || "Ask"} – Lakehouse`;
  }

  focus() {
    this.#title.focus();
  }

  /** Show all messages. In a copy nothing can be asked again. */
  show(messages, { isCopy = false } = {}) {
    this.#isCopy = isCopy;
    let request = null;
    for (const message of messages) {
      if (message.role === "user") {
        request = { kind: message.kind, text: message.text };
        this.asked(request);
      } else if (message.result) {
        noteTables(message.operation, message.result.steps);
        this.answered(message.result, request ?? { kind: message.kind, text: "" }, message.operation, message.feedback);
      }
    }
  }

  asked(request) {
    this.#asked = askedView(request);
    this.#put(this.#asked);
  }

  answered(result, request, operation, feedback = null) {
    this.#entries.push({ request, result });
    this.#taking.hidden = false;
    if (this.#isCopy) {
      this.#put(answerView({ ...result, follow_ups: [] }, request.kind, null));
      return;
    }
    const rating = operation ? { feedback, save: (wanted) => this.rate(operation, wanted) } : null;
    const again = () => this.ask({ kind: request.kind, text: request.text, again: operation });
    this.#put(answerView(result, request.kind, request.text ? again : null, rating));
  }

  /** Save the conversation as Markdown. */
  save() {
    saveText("conversation.md", "text/markdown", conversationAsMarkdown(this.#title.textContent, this.#entries));
  }

  /** Append a view; it replaces a temporary one at the end. */
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

  /** Show an empty conversation: about the page, and examples. */
  welcome(about) {
    const examples = about.examples.filter((one) => about.model !== null || one.kind === "sql");
    const items = examples.map((one) => make("li", {}, this.#example(one)));
    this.passing(
      make(
        "div",
        { className: "welcome" },
        make("p", { className: "lead" }, "Ask about the data of this lake."),
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
    (this.#asked ?? view).scrollIntoView({ block: "start" }); // the reader starts there
  }
}
