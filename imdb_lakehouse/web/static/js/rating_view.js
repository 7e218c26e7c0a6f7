// Rating of an answer: two buttons, and a comment once one of them is pressed.

import { button, make } from "./dom.js";

const MOST_COMMENT_CHARS = 1_000;
const KEPT = "Kept without your name, with the question, its answer and up to two questions before it.";
const ASKED = { up: "What was good? (optional)", down: "What was wrong? (optional)" };
const NAMES = { up: "Good answer", down: "Bad answer" };
const SVG = "http://www.w3.org/2000/svg";
const THUMB = "M7 9l3.500-6.200c1.600 0 2.300 1.200 2 2.700L12 8h4c1.100 0 1.800.9 1.600 2l-1 5.400c-.2 1-.9 1.600-1.900 1.600H7zM7 9H3v8h4";

/** The rating of one answer. `save` keeps {verdict, comment}, or withdraws it with null. */
export class RatingView {
  #saved; // {verdict, comment} as the server has it, or null
  #wanted;
  #save;
  #saving = Promise.resolve();
  #said = make("p", { className: "hint", role: "status" });
  #label = make("span", {});
  #comment = make("textarea", { rows: 2, maxLength: MOST_COMMENT_CHARS });
  #send = button("Send comment", () => this.#sendComment(), { className: "button small" });
  #edit = button("", () => this.#open(), { className: "button small" });
  #field = make(
    "div",
    { className: "rating-field", hidden: true },
    make("label", {}, this.#label, this.#comment),
    make("div", { className: "bar" }, this.#send, make("p", { className: "hint" }, KEPT)),
  );

  /** The buttons, and the form that stands below them. */
  buttons = ["up", "down"].map((verdict) => this.#button(verdict));
  form = make("div", { className: "rating" }, make("div", { className: "bar" }, this.#said, this.#edit), this.#field);

  constructor(feedback, save) {
    this.#saved = this.#wanted = feedback;
    this.#save = save;
    this.#comment.value = feedback?.comment ?? "";
    if (feedback?.comment) this.#said.textContent = `Your comment: ${feedback.comment}`;
    this.#comment.addEventListener("input", () => this.#show());
    this.#comment.addEventListener("keydown", (event) => this.#key(event));
    this.#show();
  }

  #button(verdict) {
    const icon = document.createElementNS(SVG, "svg");
    for (const [name, value] of [["viewBox", "0 0 20 20"], ["class", `thumb-${verdict}`], ["aria-hidden", "true"]]) {
      icon.setAttribute(name, value);
    }
    icon.append(document.createElementNS(SVG, "path"));
    icon.firstChild.setAttribute("d", THUMB);
    const named = { className: "button icon thumb", value: verdict, "aria-label": NAMES[verdict], title: NAMES[verdict] };
    return button(icon, () => this.#press(verdict), named);
  }

  #show() {
    for (const one of this.buttons) one.ariaPressed = String(one.value === this.#wanted?.verdict);
    this.#label.textContent = ASKED[this.#wanted?.verdict] ?? "";
    this.#send.disabled = this.#comment.value.trim() === (this.#wanted?.comment ?? "");
    this.#edit.textContent = this.#wanted?.comment ? "Edit comment" : "Add a comment";
    this.#edit.hidden = this.#wanted === null || !this.#field.hidden;
    this.form.hidden = this.#wanted === null && !this.#said.textContent;
  }

  /** A button that is pressed already withdraws the rating, and its comment with it. */
  #press(verdict) {
    if (this.#wanted?.verdict === verdict) {
      this.#comment.value = "";
      this.#field.hidden = true;
      this.#keep(null, "Withdrawn.");
    } else {
      this.#field.hidden = false;
      this.#keep({ verdict, comment: this.#wanted?.comment ?? "" }, "Thank you.");
      this.#field.scrollIntoView({ block: "nearest" });
    }
  }

  #open() {
    this.#field.hidden = false;
    this.#show();
    this.#comment.focus();
  }

  #close() {
    this.#field.hidden = true;
    this.#show();
    this.#edit.focus();
  }

  #sendComment() {
    const comment = this.#comment.value.trim();
    this.#keep({ ...this.#wanted, comment }, comment ? `Thank you. Your comment: ${comment}` : "Thank you.");
    this.#close();
  }

  #key(event) {
    if (event.key === "Escape") {
      event.preventDefault(); // elsewhere it cancels the answer that is on its way
      this.#close();
    }
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!this.#send.disabled) this.#sendComment();
  }

  /** Show a rating at once, and take it back if the server does not keep it. One after the other. */
  #keep(wanted, said) {
    this.#wanted = wanted;
    this.#show();
    this.#saving = this.#saving.then(async () => {
      try {
        await this.#save(wanted);
        this.#saved = wanted;
        this.#said.textContent = said;
      } catch (error) {
        this.#wanted = this.#saved;
        this.#field.hidden = this.#wanted === null || this.#field.hidden;
        this.#said.textContent = `It was not kept. ${error.message}`;
      }
      this.#show();
    });
  }
}
