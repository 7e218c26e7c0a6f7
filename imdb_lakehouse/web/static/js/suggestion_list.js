// Suggestions for the SQL field: a listbox above it, which the field controls while it keeps the focus (ARIA pattern).

import { announce } from "./announce.js";
import { byId, isComposing, make, typeInto } from "./dom.js";
import { formatCount } from "./format.js";
import { findSuggestions, tablesNamed } from "./suggestions.js";

const LEAST_LETTERS = 2;
const MOST_TABLES = 20; // of one statement, whose columns are asked for

export class SuggestionList {
  #field = byId("sql");
  #list = byId("suggestions");
  #lake;
  #found = null; // what is offered, null while the list is closed
  #failed = new Set(); // tables whose columns did not come; asked again once the field is entered again
  #chosen = -1; // the option that the arrows are at: Enter takes it, and sends where there is none
  #last = { value: "", caret: 0, opens: false }; // where names were looked for last, and whether some may open the list

  constructor(lake) {
    this.#lake = lake;
    const field = this.#field;
    field.addEventListener("focus", () => this.#load());
    field.addEventListener("input", (event) => this.#typed(event));
    field.addEventListener("compositionend", () => this.#update({ opens: true }));
    // Before the field's own keys: what the list takes neither sends nor cancels.
    field.addEventListener("keydown", (event) => this.#key(event), { capture: true });
    field.addEventListener("click", () => this.#close());
    field.addEventListener("blur", () => this.#close());
    this.#list.addEventListener("mousedown", (event) => event.preventDefault()); // the field keeps the focus
    this.#list.addEventListener("click", (event) => {
      const option = event.target.closest('[role="option"]');
      if (option) this.#take([...this.#list.children].indexOf(option));
    });
  }

  /** Load what there is to offer. Where that fails, keywords are offered alone; the tables beside the field say why. */
  #load() {
    this.#failed.clear();
    for (const names of [this.#lake.loadTables(), this.#lake.loadFunctions()]) {
      names.then(
        () => this.#lookAgain(),
        () => {},
      );
    }
  }

  #typed(event) {
    if (event.isComposing) return;
    this.#update({ opens: event.inputType === "insertText" && event.data?.length === 1 });
  }

  /** Offer what fits at the caret. An open list follows it; a closed one opens where `opens` and enough is written. */
  #update({ opens = false, isAsked = false } = {}) {
    const { value, selectionStart: start, selectionEnd: end } = this.#field;
    const found = start === end ? findSuggestions(value, start, this.#lake) : null;
    this.#loadColumns(value);
    const isEnough = found !== null && (found.dotted || found.prefix.length >= LEAST_LETTERS);
    const isOffered = found !== null && (isAsked || (isEnough && (opens || this.#found)));
    if (!isOffered) this.#close();
    this.#last = { value, caret: start, opens: opens || isAsked };
    if (!isOffered) {
      if (isAsked) announce("There is nothing to suggest here.");
      return;
    }
    if (this.#found === null) announce(`${formatCount(found.options.length, "suggestion")}.`);
    this.#show(found);
    if (isAsked) this.#choose(0);
  }

  /** Load the columns of the tables that the statement names, and offer them once they have come. */
  #loadColumns(sql) {
    for (const name of tablesNamed(sql, this.#lake).slice(0, MOST_TABLES)) {
      if (this.#lake.columnsOf(name) !== null || this.#failed.has(name)) continue;
      this.#lake.loadColumns(name).then(
        () => this.#lookAgain(),
        () => this.#failed.add(name),
      );
    }
  }

  /** Offer what has come since names were looked for, where nobody went on, chose or closed the list meanwhile. */
  #lookAgain() {
    const { value, caret, opens } = this.#last;
    const isHere = this.#field.value === value && this.#field.selectionStart === caret;
    if (isHere && document.activeElement === this.#field && this.#chosen < 0) this.#update({ opens });
  }

  #show(found) {
    this.#found = found;
    this.#list.replaceChildren(...found.options.map(optionView));
    this.#list.hidden = false;
    this.#list.scrollTop = 0;
    this.#field.setAttribute("aria-controls", this.#list.id);
    this.#choose(-1);
  }

  #close() {
    this.#last.opens = false;
    if (this.#found === null) return;
    this.#found = null;
    this.#choose(-1);
    this.#list.hidden = true;
    this.#list.replaceChildren();
    this.#field.removeAttribute("aria-controls");
  }

  #key(event) {
    if (isComposing(event)) return;
    this.#last.opens = false; // until the letter of this key is there
    if (event.ctrlKey && event.code === "Space") {
      this.#load();
      this.#update({ isAsked: true });
      stop(event);
      return;
    }
    if (this.#found === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const count = this.#found.options.length;
    switch (event.key) {
      case "ArrowDown":
        this.#choose((this.#chosen + 1) % count);
        break;
      case "ArrowUp":
        this.#choose(this.#chosen <= 0 ? count - 1 : this.#chosen - 1);
        break;
      case "Enter":
        if (event.shiftKey || this.#chosen < 0) {
          this.#close(); // and the field begins a line, or sends
          return;
        }
        this.#take(this.#chosen);
        break;
      case "Tab":
        if (event.shiftKey) return;
        this.#take(Math.max(this.#chosen, 0));
        break;
      case "Escape":
        this.#close();
        break;
      case "ArrowLeft":
      case "ArrowRight":
      case "Home":
      case "End":
        this.#close();
        return;
      default:
        return;
    }
    stop(event);
  }

  #choose(at) {
    this.#chosen = at;
    for (const [index, option] of [...this.#list.children].entries()) option.ariaSelected = String(index === at);
    const option = this.#list.children[at];
    option?.scrollIntoView({ block: "nearest" });
    if (option) this.#field.setAttribute("aria-activedescendant", option.id);
    else this.#field.removeAttribute("aria-activedescendant");
  }

  #take(at) {
    const { from, to, options } = this.#found;
    this.#close();
    typeInto(this.#field, from, to, options[at].insert);
  }
}

function optionView({ kind, label, detail }, at) {
  return make(
    "li",
    { id: `suggestion-${at}`, role: "option", className: `suggestion suggestion-${kind}` },
    make("span", { className: "suggestion-name" }, label),
    make("span", { className: "suggestion-detail" }, detail),
  );
}

function stop(event) {
  event.preventDefault();
  event.stopPropagation();
}
