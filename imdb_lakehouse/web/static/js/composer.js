// Input of questions and statements, in two tabs.

import { byId, isComposing } from "./dom.js";
import { whole } from "./format.js";
import { installTabs } from "./tabs.js";

const NEAR_THE_END = 0.8;
const MOST_RECALLED = 50;

export class Composer {
  #kind = "question";
  #fields = { question: byId("question"), sql: byId("sql") };
  #send = byId("send");
  #cancel = byId("cancel");
  #left = byId("left");
  #busy = false;
  #hasModel = true;
  #sent = { question: [], sql: [] }; // recalled by the arrow up in an empty field
  #served = false; // sending is disabled until the server answers; the input is kept

  /** `send` receives {kind, text}; `cancel` takes no arguments; `chosen` receives the kind whose tab is shown. */
  constructor({ send, cancel, chosen }) {
    this.choose = installTabs(byId("kinds"), (kind) => {
      this.#chosen(kind);
      chosen(kind);
    });
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(send);
    });
    this.#cancel.addEventListener("click", cancel);
    for (const field of Object.values(this.#fields)) {
      field.addEventListener("input", () => this.#changed());
      field.addEventListener("keydown", (event) => this.#key(event, send));
      field.addEventListener("paste", (event) => this.#pasted(event, field));
    }
  }

  /** Apply the capabilities of the server. */
  serve(about) {
    this.#served = true;
    this.#hasModel = about.model !== null;
    this.#fields.question.maxLength = about.question_chars;
    this.#fields.question.disabled = !this.#hasModel;
    byId("no-model").hidden = this.#hasModel;
    this.choose(this.#hasModel ? this.#kind : "sql"); // the tab may have been chosen before the server answered
    if (document.activeElement === document.body) this.focus();
  }

  set busy(busy) {
    const loses = document.activeElement === (busy ? this.#send : this.#cancel); // focus, because it gets hidden
    this.#busy = busy;
    this.#cancel.hidden = !busy;
    this.#cancel.disabled = false;
    this.#cancel.textContent = "Cancel";
    this.#send.hidden = busy;
    this.#changed();
    if (loses) this.focus();
  }

  cancelling() {
    this.#cancel.disabled = true;
    this.#cancel.textContent = "Cancelling…";
    this.focus();
  }

  focus() {
    this.#field.focus();
  }

  /** Restore an input that could not be sent. */
  restore({ kind, text }) {
    this.choose(kind);
    if (!this.#field.value) this.#field.value = text;
    this.#changed();
  }

  /** Put a statement into its field, to be changed and run. */
  edit(sql) {
    this.choose("sql");
    this.#field.value = sql;
    this.#changed();
    this.focus();
  }

  /** Put a question into its field, to be changed or sent. A draft in it is recalled by the arrow up. */
  offer(question) {
    this.choose("question");
    this.#remember(this.#field.value.trim());
    this.#field.value = question;
    this.#changed();
    this.focus();
  }

  get #field() {
    return this.#fields[this.#kind];
  }

  #chosen(kind) {
    this.#kind = kind;
    this.#changed();
  }

  #key(event, send) {
    if (isComposing(event)) return;
    if (event.key === "ArrowUp" && this.#field.value === "") this.#recall(event);
    if (event.key !== "Enter" || event.shiftKey) return;
    event.preventDefault();
    this.#submit(send);
  }

  #recall(event) {
    const last = this.#sent[this.#kind].at(-1);
    if (last === undefined) return;
    event.preventDefault();
    this.#field.value = last;
    this.#changed();
  }

  /** Say that a text is too long instead of cutting its end off in silence. */
  #pasted(event, field) {
    const text = event.clipboardData?.getData("text") ?? "";
    const room = field.maxLength - field.value.length + (field.selectionEnd - field.selectionStart);
    if (text.length <= room) return;
    event.preventDefault();
    this.#left.textContent = `Not pasted: it has ${whole(text.length)} characters, and there is room for ${whole(room)}.`;
  }

  #submit(send) {
    const text = this.#field.value.trim();
    if (!text || this.#busy || !this.#served || this.#field.disabled) return;
    this.#field.value = "";
    this.#changed();
    this.#remember(text);
    send({ kind: this.#kind, text });
  }

  #remember(text) {
    if (text) this.#sent[this.#kind] = [...this.#sent[this.#kind], text].slice(-MOST_RECALLED);
  }

  #changed() {
    const field = this.#field;
    this.#send.disabled = this.#busy || !this.#served || field.disabled || !field.value.trim();
    const left = field.maxLength - field.value.length;
    this.#left.textContent = left < field.maxLength * (1 - NEAR_THE_END) ? `${whole(left)} characters left` : "";
  }
}
