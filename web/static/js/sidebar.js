// List of the visitor's conversations, to open, create and delete them.

import { announce } from "./announce.js";
import { button, byId, make } from "./dom.js";
import { day } from "./format.js";
import { addressOf } from "./route.js";

const LEAST_FILTERED = 8;

export class Sidebar {
  #list = byId("conversations");
  #toggle = byId("menu");
  #panel = byId("sidebar");
  #filter = byId("filter");
  #current = null;
  #all = [];

  /** `remove` deletes a conversation by its id, and throws its error. */
  constructor({ remove }) {
    this.remove = remove;
    this.#filter.addEventListener("input", () => this.#render());
    this.#toggle.addEventListener("click", () => this.open(this.#toggle.ariaExpanded !== "true"));
  }

  /** On narrow screens the list covers the page. */
  open(isOpen) {
    this.#toggle.ariaExpanded = String(isOpen);
    this.#panel.classList.toggle("open", isOpen);
    if (isOpen) byId("new").focus();
  }

  /** Close the list. Returns whether it was open. */
  close() {
    const wasOpen = this.#toggle.ariaExpanded === "true";
    if (wasOpen) {
      this.open(false);
      this.#toggle.focus();
    }
    return wasOpen;
  }

  show(all) {
    this.#all = all;
    this.#render();
  }

  set current(id) {
    this.#current = id;
    this.#render();
  }

  #render() {
    const wanted = this.#filter.value.trim().toLowerCase();
    const found = this.#all.filter((one) => one.title.toLowerCase().includes(wanted));
    this.#list.replaceChildren(...found.map((one) => this.#item(one)));
    this.#filter.hidden = this.#all.length < LEAST_FILTERED;
    byId("no-conversations").hidden = this.#all.length > 0;
  }

  #item(one) {
    const title = one.title || "Without a title";
    const isCurrent = one.id === this.#current;
    const when = make("time", { dateTime: new Date(one.created * 1000).toISOString() }, day(one.created));
    const link = make("a", { href: addressOf(one.id), onclick: () => this.open(false) }, make("span", {}, title), when);
    if (isCurrent) link.setAttribute("aria-current", "page");
    const item = make("li", { className: isCurrent ? "current" : "" }, link);
    const ask = () => item.replaceChildren(...this.#confirmation(one, title, item));
    item.append(button("×", ask, { className: "remove", "aria-label": `Delete “${title}”`, title: "Delete" }));
    return item;
  }

  #confirmation(one, title, item) {
    const keep = () => {
      const whole = this.#item(one);
      item.replaceWith(whole);
      whole.querySelector(".remove").focus();
    };
    const question = make("p", {}, "Delete this conversation? It cannot be brought back.");
    const yes = button("Delete", () => this.#delete(one, question, yes), { className: "button small danger" });
    const no = button("Keep", keep, { className: "button small" });
    const ways = make("div", { className: "bar" }, yes, no);
    const named = { className: "confirm", role: "group", "aria-label": `Delete “${title}”` };
    const group = make("div", named, question, ways);
    group.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      keep();
    });
    queueMicrotask(() => no.focus());
    return [group];
  }

  async #delete(one, question, yes) {
    yes.disabled = true;
    try {
      await this.remove(one.id);
    } catch (error) {
      question.textContent = `It was not deleted. ${error.message}`;
      question.setAttribute("role", "alert");
      yes.disabled = false;
      yes.textContent = "Try again";
      return;
    }
    announce("The conversation was deleted.");
    byId("new").focus();
  }
}
