// The tables of the lake beside the SQL field: to look at, and to put a name into the statement.

import { announce } from "./announce.js";
import { button, byId, make, typeInto } from "./dom.js";
import { formatCount } from "./format.js";
import { columnItem, noteItem, sampleItem, tableItem } from "./lake_items.js";
import { quoteName, spaceName } from "./names.js";
import { storage } from "./storage.js";
import { tableView } from "./table_view.js";
import { installTreeKeys, makeReachable } from "./tree.js";

const OPEN = "imdb-chat-tables";
const BESIDE = matchMedia("(min-width: 72rem)"); // elsewhere it covers the conversation, so it opens only when asked

export class LakePanel {
  #lake;
  #field = byId("sql");
  #panel = byId("lake");
  #toggle = byId("lake-toggle");
  #filter = byId("lake-filter");
  #tree = byId("lake-tree");
  #isOpen = BESIDE.matches && storage.get(OPEN) === "yes";
  #isSql = false;
  #all = { tables: [], truncated: false };
  #opened = new Set(); // names of tables whose columns are shown

  constructor(lake) {
    this.#lake = lake;
    this.#toggle.addEventListener("click", () => this.#open(!this.#isOpen));
    byId("lake-close").addEventListener("click", () => this.#open(false));
    this.#filter.addEventListener("input", () => this.#render());
    this.#panel.addEventListener("keydown", (event) => this.#leave(event));
    this.#tree.addEventListener("click", (event) => this.#clicked(event));
    installTreeKeys(this.#tree, {
      toggle: (item, isOpen) => this.#unfold(item, isOpen),
      act: (item) => this.#act(item, { staying: true }),
    });
  }

  /** Show the panel with the SQL field alone. */
  set kind(kind) {
    this.#isSql = kind === "sql";
    this.#show();
  }

  /** Where the panel covers the conversation, close it, so that an answer is seen. */
  giveWay() {
    if (BESIDE.matches) return;
    this.#isOpen = false;
    this.#show();
  }

  #open(isOpen) {
    this.#isOpen = isOpen;
    storage.set(OPEN, isOpen ? "yes" : "no");
    this.#show();
    if (isOpen) this.#filter.focus();
    else this.#field.focus();
  }

  #show() {
    const isShown = this.#isOpen && this.#isSql;
    this.#panel.hidden = !isShown;
    this.#toggle.ariaExpanded = String(isShown);
    document.body.classList.toggle("with-lake", isShown);
    if (isShown) void this.#load();
  }

  async #load() {
    const trouble = byId("lake-trouble");
    if (this.#all.tables.length === 0) this.#say("Reading what there is…");
    try {
      this.#all = await this.#lake.loadTables();
      trouble.hidden = true;
      this.#render();
    } catch (error) {
      this.#say("");
      trouble.hidden = false;
      trouble.replaceChildren(`${error.message} `, button("Try again", () => this.#load(), { className: "button small" }));
    }
  }

  #say(text) {
    byId("lake-said").textContent = text;
  }

  /** Show the tables that the filter finds. An opened one is also found by its columns. */
  #render() {
    const wanted = this.#filter.value.trim().toLowerCase();
    const has = (text) => text.toLowerCase().includes(wanted);
    const items = this.#all.tables.flatMap((table) => {
      const known = this.#lake.knownColumns(table.name);
      const columns = known?.columns ?? [];
      const isFound = has(table.name) || has(table.purpose);
      const found = isFound ? columns : columns.filter(({ name, comment }) => has(name) || has(comment));
      if (!isFound && found.length === 0) return [];
      const item = tableItem(table);
      if (this.#opened.has(table.name) && known) this.#fill(item, table.name, found, known.truncated);
      else if (this.#opened.has(table.name)) void this.#loadColumns(item, table.name);
      return [item];
    });
    this.#tree.replaceChildren(...items);
    makeReachable(this.#tree);
    this.#say(this.#describe(items.length, wanted !== ""));
  }

  #describe(count, isFiltered) {
    const { tables, truncated } = this.#all;
    if (tables.length === 0) return "This lake has no tables.";
    if (isFiltered && count === 0) return "No table or opened column is called that.";
    const all = truncated ? `the first ${formatCount(tables.length, "table")}; there are more` : formatCount(tables.length, "table");
    return isFiltered ? `${count} of ${all}` : all[0].toUpperCase() + all.slice(1);
  }

  #unfold(item, isOpen) {
    const { name } = item.dataset;
    if (isOpen) this.#opened.add(name);
    else this.#opened.delete(name);
    if (isOpen) void this.#loadColumns(item, name);
    else this.#fold(item);
  }

  #fold(item) {
    item.ariaExpanded = "false";
    item.querySelector('[role="group"]').hidden = true;
  }

  async #loadColumns(item, name) {
    const group = item.querySelector('[role="group"]');
    item.ariaExpanded = "true";
    group.hidden = false;
    if (this.#lake.columnsOf(name) === null) group.replaceChildren(noteItem("Reading its columns…"));
    try {
      const { columns, truncated } = await this.#lake.loadColumns(name);
      this.#fill(item, name, columns, truncated);
    } catch (error) {
      this.#opened.delete(name);
      group.replaceChildren(noteItem(`${error.message} Open it again to try again.`));
      announce(error.message);
    }
  }

  #fill(item, name, columns, truncated) {
    const group = item.querySelector('[role="group"]');
    const isHeld = group.contains(document.activeElement);
    const more = truncated ? [noteItem("It has more columns, which are not listed here.")] : [];
    group.replaceChildren(sampleItem(name), ...columns.map(columnItem), ...more);
    group.hidden = !this.#opened.has(name);
    item.ariaExpanded = String(!group.hidden);
    if (isHeld) item.focus();
  }

  #clicked(event) {
    const item = event.target.closest('[role="treeitem"]');
    if (!item) return;
    makeReachable(this.#tree, item);
    if (event.target.closest(".twisty")) this.#unfold(item, item.ariaExpanded === "false");
    else this.#act(item, { staying: event.pointerType === "touch" }); // or the keyboard of the screen comes up
  }

  #act(item, { staying }) {
    const { kind, name } = item.dataset;
    if (kind === "sample") void this.#showSample(name);
    else if (kind === "name") this.#insert(item, name, staying);
  }

  /** Put a name at the caret. */
  #insert(item, name, staying) {
    const { value, selectionStart: start, selectionEnd: end } = this.#field;
    const isIn = typeInto(this.#field, start, end, spaceName(value, start, end, quoteName(name)));
    announce(isIn ? `${name} is in the statement.` : "There is no room for it in the statement.");
    if (staying) item.focus();
  }

  async #showSample(name) {
    const box = byId("lake-sample");
    const close = () => {
      box.hidden = true;
      box.replaceChildren();
      this.#tree.querySelector('[tabindex="0"]')?.focus();
    };
    const shut = button("×", close, { className: "button icon", "aria-label": "Close the rows", title: "Close" });
    const head = make("div", { className: "lake-head" }, make("h3", {}, `Rows of ${name}`), shut);
    const say = (...parts) => box.replaceChildren(head, make("p", { className: "hint", role: "status" }, ...parts));
    box.hidden = false;
    say("Reading a few rows…");
    try {
      const table = await this.#lake.loadSample(name);
      if (!head.isConnected) return; // closed, or another table's rows are read
      if (table.rows.length === 0) say("It has no rows.");
      else box.replaceChildren(head, tableView(table, `Rows of ${name}`));
      announce(`${formatCount(table.rows.length, "row")} of ${name}.`);
    } catch (error) {
      if (!head.isConnected) return;
      say(`${error.message} `, button("Try again", () => this.#showSample(name), { className: "button small" }));
    }
  }

  /** Escape goes back to the statement, and closes a panel that covers the conversation. */
  #leave(event) {
    if (event.key !== "Escape" || event.isComposing) return;
    event.preventDefault();
    if (event.target === this.#filter && this.#filter.value !== "") {
      this.#filter.value = "";
      this.#render();
    } else if (BESIDE.matches) this.#field.focus();
    else this.#open(false);
  }
}
