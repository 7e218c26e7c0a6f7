// List of the visitor's conversations: to open, find, rename, pin and delete them.

import { announce } from "./announce.js";
import { ConversationItem } from "./conversation_item.js";
import { ConversationList } from "./conversation_list.js";
import { arrange, button, byId } from "./dom.js";
import { formatCount } from "./format.js";

const LEAST_FILTERED = 8;
const TYPING_MS = 200; // a pause in typing: then the server is asked

export class Sidebar {
  #element = byId("conversations");
  #toggle = byId("menu");
  #panel = byId("sidebar");
  #filter = byId("filter");
  #more = byId("more");
  #current = null;
  #list;
  #items = new Map(); // by id
  #typing = null;

  /** `list({search, after})`, `change(id, change, etag)` and `remove(id)` ask the server; `changed` gets a conversation. */
  constructor({ list, change, remove, changed }) {
    this.acts = { change, remove, changed };
    this.#list = new ConversationList(list);
    this.#filter.addEventListener("input", () => this.#find());
    this.#more.addEventListener("click", () => this.#showMore());
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

  /** Whether a title is being written, whose field keeps the focus. */
  get isWritten() {
    return this.#panel.contains(document.activeElement) && [...this.#items.values()].some((item) => item.isRenamed);
  }

  set current(id) {
    this.#current = id;
    this.#render();
  }

  /** Ask the server for the list again. */
  async refresh() {
    await this.#load(() => this.#list.refresh());
  }

  #find() {
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => this.#load(() => this.#list.find(this.#filter.value.trim())), TYPING_MS);
  }

  async #showMore() {
    const before = new Set(this.#list.all.map((one) => one.id));
    await this.#load(() => this.#list.more());
    const added = this.#list.all.filter((one) => !before.has(one.id));
    if (added.length === 0) return;
    announce(`${formatCount(added.length, "more conversation")} listed.`);
    this.#items.get(added[0].id).element.querySelector("a")?.focus();
  }

  async #load(act) {
    const trouble = byId("list-trouble");
    try {
      await act();
      trouble.hidden = true;
    } catch (error) {
      const again = button("Try again", () => this.#load(act), { className: "button small" });
      trouble.hidden = false;
      trouble.replaceChildren(`${error.message} `, again);
    }
    this.#render();
  }

  #render() {
    const { all, search, hasMore } = this.#list;
    const shown = new Map(all.map((one) => [one.id, this.#items.get(one.id) ?? this.#item()]));
    for (const one of all) shown.get(one.id).show(one, one.id === this.#current);
    this.#items = shown;
    arrange(this.#element, [...shown.values()].map((item) => item.element));
    this.#filter.hidden = !this.#filter.value && !search && all.length < LEAST_FILTERED;
    this.#more.hidden = !hasMore;
    const none = byId("no-conversations");
    none.hidden = all.length > 0;
    none.textContent = search ? "No title has that in it." : "Your conversations will be listed here.";
  }

  #item() {
    const opens = () => {
      for (const other of this.#items.values()) other.closeMenu();
    };
    const change = (one, wanted, etag) => this.#change(one, wanted, etag);
    return new ConversationItem({ change, remove: (one) => this.#remove(one), opens, chosen: () => this.open(false) });
  }

  async #change(one, wanted, etag) {
    try {
      const changed = await this.acts.change(one.id, wanted, etag);
      this.#list.replace(changed);
      this.acts.changed(changed);
    } finally {
      await this.refresh(); // also where it was changed elsewhere: the item shows its state there
    }
  }

  async #remove(one) {
    await this.acts.remove(one.id);
    announce("The conversation was deleted.");
    byId("new").focus();
  }
}
