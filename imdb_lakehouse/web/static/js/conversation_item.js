// A conversation in the list: a link, and a menu to rename, pin and delete it.

import { announce } from "./announce.js";
import { button, make } from "./dom.js";
import { day } from "./format.js";
import { addressOf } from "./route.js";

const MOST_TITLE_CHARS = 120;
const OUTDATED = 412;

export class ConversationItem {
  element = make("li");
  #one = null;
  #isCurrent = false;
  #view = "link"; // or "menu", "title" while it is renamed, "deletion" while that is asked

  /** `change` and `remove` throw their errors; `opens` is told before the menu opens, `chosen` when the link is used. */
  constructor({ change, remove, opens, chosen }) {
    this.acts = { change, remove, opens, chosen };
    this.element.addEventListener("dblclick", (event) => {
      if (event.target.closest("a")) this.#rename();
    });
    this.element.addEventListener("keydown", (event) => this.#key(event));
  }

  get isRenamed() {
    return this.#view === "title";
  }

  /** Show a conversation. What is being written or asked is left alone. */
  show(one, isCurrent) {
    const isSame = this.#isCurrent === isCurrent && JSON.stringify(one) === JSON.stringify(this.#one);
    this.#one = one;
    this.#isCurrent = isCurrent;
    if (!isSame && (this.#view === "link" || this.#view === "menu")) this.#render(this.#view);
  }

  closeMenu() {
    if (this.#view === "menu") this.#render("link");
  }

  focus() {
    this.element.querySelector(".options").focus();
  }

  get #title() {
    return this.#one.title || "Without a title";
  }

  #render(view) {
    this.#view = view;
    this.element.className = this.#isCurrent ? "current" : "";
    const menu = view === "menu" ? [this.#menu()] : [];
    this.element.replaceChildren(this.#link(), this.#options(), ...menu);
  }

  #link() {
    const { id, created, pinned } = this.#one;
    const when = make("time", { dateTime: new Date(created * 1000).toISOString() }, day(created));
    const below = make("span", { className: "when" }, pinned ? "Pinned · " : "", when);
    const link = make("a", { href: addressOf(id), onclick: this.acts.chosen }, make("span", {}, this.#title), below);
    if (this.#isCurrent) link.setAttribute("aria-current", "page");
    return link;
  }

  #options() {
    const isOpen = this.#view === "menu";
    const act = () => {
      if (!isOpen) this.acts.opens();
      this.#render(isOpen ? "link" : "menu");
      this.focus();
    };
    const named = { className: "options", title: "Rename, pin or delete", "aria-expanded": String(isOpen) };
    return button("⋯", act, { ...named, "aria-label": `Options of “${this.#title}”` });
  }

  #menu() {
    const small = { className: "button small" };
    const { pinned } = this.#one;
    return make(
      "div",
      { className: "bar menu", role: "group", "aria-label": `Options of “${this.#title}”` },
      button("Rename", () => this.#rename(), { ...small, title: "F2" }),
      button(pinned ? "Unpin" : "Pin", (event) => this.#pin(event.currentTarget), small),
      button("Delete", () => this.#askDeletion(), { className: "button small danger" }),
    );
  }

  #key(event) {
    if (event.key === "F2" && this.#view !== "title") {
      event.preventDefault();
      this.#rename();
    } else if (event.key === "Escape" && this.#view !== "link" && !event.isComposing) {
      event.stopPropagation(); // it would cancel the running answer
      this.#render("link");
      this.focus();
    }
  }

  async #pin(pin) {
    const pinned = !this.#one.pinned;
    pin.disabled = true;
    try {
      await this.acts.change(this.#one, { pinned });
    } catch (error) {
      pin.disabled = false;
      this.#tell(`It was not ${pinned ? "pinned" : "unpinned"}. ${error.message}`);
      return;
    }
    announce(pinned ? "Pinned to the top." : "No longer pinned.");
    this.#render("link");
    this.focus();
  }

  #rename() {
    this.acts.opens();
    this.#view = "title";
    const label = `New title of “${this.#title}”`;
    const field = make("input", { className: "field", maxLength: MOST_TITLE_CHARS, value: this.#one.title, "aria-label": label });
    const save = button("Save", null, { type: "submit", className: "button small" });
    const keep = button("Cancel", () => this.#settle(), { className: "button small" });
    const form = make("form", { className: "confirm" }, field, make("div", { className: "bar" }, save, keep));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#save(field.value.trim(), save);
    });
    this.element.replaceChildren(form);
    field.select();
    field.focus();
  }

  async #save(title, save) {
    if (title === "" || title === this.#one.title) {
      this.#settle();
      return;
    }
    save.disabled = true;
    try {
      await this.acts.change(this.#one, { title }, this.#one.etag);
    } catch (error) {
      save.disabled = false;
      const elsewhere = `It was changed elsewhere, and is called “${this.#title}” now. Save again to replace that.`;
      this.#tell(error.status === OUTDATED ? elsewhere : `It was not renamed. ${error.message}`);
      return;
    }
    announce(`Renamed to ${title}.`);
    this.#settle();
  }

  #settle() {
    this.#render("link");
    this.element.querySelector("a").focus();
  }

  #askDeletion() {
    this.#view = "deletion";
    const keep = () => {
      this.#render("link");
      this.focus();
    };
    const yes = button("Delete", () => this.#delete(yes), { className: "button small danger" });
    const no = button("Keep", keep, { className: "button small" });
    const named = { className: "confirm", role: "group", "aria-label": `Delete “${this.#title}”` };
    const question = make("p", {}, "Delete this conversation? It cannot be brought back, and a link to a copy ends.");
    this.element.replaceChildren(make("div", named, question, make("div", { className: "bar" }, yes, no)));
    no.focus();
  }

  async #delete(yes) {
    yes.disabled = true;
    try {
      await this.acts.remove(this.#one);
    } catch (error) {
      yes.disabled = false;
      yes.textContent = "Try again";
      this.#tell(`It was not deleted. ${error.message}`);
    }
  }

  /** Say what failed, below what was tried. */
  #tell(text) {
    this.element.querySelector("[role=alert]")?.remove();
    this.element.lastElementChild.append(make("p", { role: "alert" }, text));
  }
}
