// Controller of the page: shows a conversation, sends questions, and follows the answer.

import { announce } from "./announce.js";
import { Away } from "./api.js";
import { SuggestionList } from "./suggestion_list.js";
import { Composer } from "./composer.js";
import { button, byId } from "./dom.js";
import { ASK_NEXT } from "./follow_ups_view.js";
import { seconds } from "./format.js";
import { Lake } from "./lake.js";
import { LakePanel } from "./lake_panel.js";
import { LiveView } from "./live_view.js";
import { follow, hasEnded, persist } from "./poll.js";
import { addressOf, conversationAt, sharedAt } from "./route.js";
import { SharePanel } from "./share_panel.js";
import { installReading, showCopy } from "./shared_view.js";
import { Sidebar } from "./sidebar.js";
import { EDIT_SQL } from "./sql_view.js";
import { saveBlob } from "./saving.js";
import { noteTables, SAVE_TABLE } from "./table_files.js";
import { Thread } from "./thread.js";
import { BrokenOff, Waiter } from "./waiting.js";

const MOST_TITLE_CHARS = 80;
const MOST_SAID_CHARS = 1_000;
const OVER = new Set([404, 410]); // the conversation expired, or was deleted
const INTERRUPTED = "The answer was interrupted: the server ended while it was at it. Nothing more will come of it.";

export class App {
  #api;
  #about = null;
  #id = null;
  #waiter = new Waiter();
  #offline = new AbortController(); // ends streams when the network is lost: they would only fall silent
  #operation = null; // the running operation
  #live = null; // its view
  #request = null; // its request
  #sidebar = new Sidebar({
    list: (wanted) => this.#api.conversations(wanted),
    change: (id, change, etag) => this.#api.change(id, change, etag),
    remove: (id) => this.#remove(id),
    changed: (one) => this.#retitle(one),
  });
  #sharing = new SharePanel({ make: (id) => this.#api.share(id), revoke: (id) => this.#api.stopSharing(id) });
  #lakePanel = null;
  #composer = new Composer({
    send: (request) => this.#send(request),
    cancel: () => this.cancel(),
    chosen: (kind) => {
      this.#lakePanel.kind = kind;
    },
  });
  #thread = new Thread({
    ask: (request) => this.#send(request),
    rate: (operation, feedback) => this.#api.rate(operation, feedback),
    lost: () => this.#composer.focus(),
  });

  constructor(api) {
    this.#api = api;
    const lake = new Lake(api);
    this.#lakePanel = new LakePanel(lake);
    new SuggestionList(lake);
  }

  /** Show the conversation of the URL, and follow its changes. */
  async begin() {
    addEventListener("online", () => this.#waiter.hurry());
    addEventListener("offline", () => {
      this.#offline.abort();
      this.#offline = new AbortController();
    });
    addEventListener(EDIT_SQL, (event) => this.#composer.edit(event.detail));
    addEventListener(ASK_NEXT, (event) => this.#composer.offer(event.detail));
    addEventListener(SAVE_TABLE, (event) => this.#saveTable(event.detail));
    byId("save").addEventListener("click", () => this.#thread.save());
    installReading(sharedAt(location.hash) !== null);
    const again = button("Try again", () => location.reload());
    this.#about = await this.#patiently(() => this.#api.about(), again);
    if (this.#about === null) return;
    addEventListener("hashchange", () => this.#go());
    byId("new").addEventListener("click", () => this.#new());
    this.#composer.serve(this.#about);
    this.#sharing.serve(this.#about);
    byId("about").textContent = aboutText(this.#about);
    await this.#go({ atFirst: true });
  }

  /** Show what the URL names. */
  async #go(when = {}) {
    const token = sharedAt(location.hash);
    installReading(token !== null);
    if (token !== null) await this.#read(token, when);
    else await this.#open(conversationAt(location.hash), when);
  }

  /** Cancel the running operation. Returns whether there was one. */
  cancel() {
    if (this.#live === null) return false;
    if (this.#operation === null) {
      this.#breakOff();
      return true;
    }
    this.#composer.cancelling();
    announce("Cancelling");
    this.#api.cancel(this.#operation).catch((error) => {
      this.#composer.busy = this.#live !== null;
      this.#notice(`It was not cancelled. ${error.message}`);
    });
    return true;
  }

  closeSidebar() {
    return this.#sidebar.close();
  }

  #new() {
    this.#sidebar.open(false);
    if (location.hash.length > 1) history.pushState(null, "", location.pathname + location.search);
    installReading(false);
    this.#open(null);
    this.#composer.focus();
  }

  async #open(id, { atFirst = false } = {}) {
    this.#leave();
    this.#lakePanel.giveWay();
    this.#id = id;
    this.#sidebar.current = id;
    this.#sharing.show(id);
    this.#thread.clear("");
    if (id === null) this.#thread.welcome(this.#about);
    this.#sidebar.refresh();
    if (id === null) return;
    const instead = button("New conversation", () => this.#new());
    const whole = await this.#patiently(() => this.#api.conversation(id), instead);
    if (whole === null || this.#id !== id) return;
    this.#thread.title = whole.title;
    this.#thread.show(whole.messages);
    this.#sharing.show(id, whole.share);
    if (!atFirst && !this.#sidebar.isWritten) this.#thread.focus();
    if (whole.operation) await this.#resume(whole.operation);
    else if (whole.messages.length === 0) this.#thread.welcome(this.#about);
  }

  /** Show a copy of a conversation of somebody's. */
  async #read(token, { atFirst = false }) {
    this.#leave();
    this.#lakePanel.giveWay();
    this.#id = null;
    this.#thread.clear("A copy");
    const copy = await this.#patiently(() => this.#api.shared(token), button("Ask a question", () => this.#new()));
    if (copy === null || sharedAt(location.hash) !== token) return;
    showCopy(copy, this.#thread);
    if (!atFirst) this.#thread.focus();
  }

  /** Stop following the running operation; the server continues it. */
  #leave() {
    this.#waiter.stop();
    this.#waiter = new Waiter();
    this.#end();
  }

  async #resume(operation) {
    const first = { body: operation, retryAfter: null };
    if (hasEnded(operation)) this.#ended(operation);
    else await this.#following(operation.request, (hooks) => this.#follow(first, hooks));
  }

  async #send(request, key = newKey()) {
    if (this.#live !== null) {
      this.#notice("Another question is being answered. Wait for its answer, or cancel it.");
      return;
    }
    this.#lakePanel.giveWay();
    this.#thread.settle();
    this.#thread.asked(request);
    await this.#asking(request, key);
  }

  async #asking(request, key) {
    const again = () => this.#asking(request, key);
    await this.#following(request, (hooks) => this.#taken(request, key, hooks), again);
  }

  async #taken(request, key, hooks) {
    const patient = { ...hooks, passes: (error) => error instanceof Away };
    const id = this.#id ?? (await this.#begun(request, patient));
    const first = await persist(() => this.#api.ask(id, request, key), patient);
    if (hooks.live.cancelled) await this.#api.cancel(first.body.id);
    await this.#follow(first, hooks);
  }

  /** Create a conversation for a first question. */
  async #begun(request, hooks) {
    const title = [...request.text.replace(/\s+/g, " ")].slice(0, MOST_TITLE_CHARS).join(""); // not within an emoji
    const { id } = await persist(() => this.#api.start(title), hooks);
    if (hooks.waiter.stopped) throw new BrokenOff();
    this.#id = id;
    history.pushState(null, "", addressOf(id));
    this.#thread.title = title;
    this.#sidebar.current = id;
    this.#sharing.show(id);
    this.#sidebar.refresh();
    return id;
  }

  /** Show a running answer while `act` runs, then any error; `again` is offered if a retry may help. */
  async #following(request, act, again = null) {
    const waiter = this.#waiter;
    const live = new LiveView(waiter.hurry);
    this.#live = live;
    this.#request = request;
    this.#composer.busy = true;
    this.#thread.passing(live.element);
    try {
      const away = (error, pause) => waiter.stopped || live.away(error, pause);
      await act({ wait: waiter.wait, away, live, waiter });
    } catch (error) {
      if (error instanceof BrokenOff || waiter.stopped) return;
      this.#end();
      const retry = again ?? (() => this.#open(this.#id));
      const anew = button("Ask in a new conversation", () => this.#askAnew(request));
      this.#thread.trouble(error.message, OVER.has(error.status) ? anew : button("Try again", retry));
    }
  }

  async #askAnew(request) {
    this.#new();
    await this.#send(request);
  }

  async #follow(first, { wait, away, live, waiter }) {
    const seen = (operation) => {
      if (waiter.stopped) throw new BrokenOff();
      this.#operation = operation.id;
      live.show(operation);
    };
    const stream = (id) => this.#api.events(id, AbortSignal.any([waiter.signal, this.#offline.signal]));
    this.#ended(await follow(first, { stream, ask: this.#api.operation, seen, away, wait }));
  }

  #ended(operation) {
    this.#end();
    if (operation.result === null) {
      const again = () => this.#send(operation.request);
      this.#thread.trouble(INTERRUPTED, button("Ask again", again));
      return;
    }
    noteTables(operation.id, operation.result.steps);
    this.#thread.answered(operation.result, operation.request, operation.id);
    const { outcome, answer, seconds: taken } = operation.result;
    announce(`${outcome} in ${seconds(taken)}. ${answer}`.slice(0, MOST_SAID_CHARS));
  }

  #end() {
    this.#thread.settle();
    this.#live = null;
    this.#operation = null;
    this.#composer.busy = false;
    this.#notice("");
  }

  /** Show a request that was cancelled before the server accepted it. */
  #breakOff() {
    this.#live.cancelled = true;
    this.#composer.restore(this.#request);
    this.#leave();
    this.#thread.trouble("Cancelled before it was sent.");
  }

  async #remove(id) {
    await this.#api.remove(id);
    if (id === this.#id) this.#new();
    else await this.#sidebar.refresh();
  }

  #retitle({ id, title }) {
    if (id === this.#id) this.#thread.title = title;
  }

  async #saveTable({ operation, step }) {
    try {
      saveBlob("result.parquet", await this.#api.table(operation, step));
      this.#notice("");
    } catch (error) {
      this.#notice(`The file was not saved. ${error.message}`);
    }
  }

  /** Call the server, waiting while it is unreachable. Returns null for an error response, which is shown. */
  async #patiently(act, instead) {
    const waiter = this.#waiter;
    const away = (error, pause) => {
      if (waiter.stopped) return;
      const now = button("Try now", waiter.hurry, { className: "button small" });
      this.#notice(error ? `${error.message} Trying again in ${seconds(Math.ceil(pause))}. ` : "", error ? now : "");
    };
    try {
      return await persist(act, { away, wait: waiter.wait });
    } catch (error) {
      if (error instanceof BrokenOff) return null;
      this.#thread.trouble(error.message, instead);
      return null;
    }
  }

  #notice(...parts) {
    byId("notice").hidden = !parts[0];
    byId("notice").replaceChildren(...parts);
  }
}

function aboutText({ name, version, model, keep_days: days }) {
  const kept = `Conversations are kept ${days === 1 ? "a day" : `${days} days`}.`;
  return `${name} ${version} · ${model === null ? "no model" : model}. ${kept}`;
}

/** Create an idempotency key. */
function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
