// Client of imdb-chat's REST API, for one visitor whose token is stored in the browser.

import { eventsOf } from "./events.js";

const TOKEN = "imdb-chat-token";
const PARQUET = "application/vnd.apache.parquet";
const PATIENCE_MS = 20_000;
const PAGE = 50; // conversations that are listed at once
const SILENCE_MS = 40_000; // the server says something every 15 seconds
const NOT_THE_API =
  "What answers here is not imdb-chat. Whoever put this page here can set the address of the API in its config.js.";

/** An error response of the server. `detail` says why, and what to do. */
export class Problem extends Error {
  constructor(status, detail, retryAfter = null) {
    super(detail);
    this.status = status;
    this.retryAfter = retryAfter;
  }

  /** True if the same request may succeed later. */
  get passing() {
    return this.status === 429 || this.status >= 500;
  }
}

/** The server is unreachable. */
export class Away extends Error {
  constructor() {
    super("The server cannot be reached.");
    this.passing = true;
    this.retryAfter = null;
  }
}

export class Api {
  constructor(base, storage, fetching = (...all) => fetch(...all)) {
    this.base = base.replace(/\/$/, "");
    this.storage = storage;
    this.fetching = fetching;
    this.becoming = null;
  }

  about = async () => (await this.#send("GET", "")).body;

  /** A page of conversations and, as `next`, what continues it. */
  conversations = async ({ search = "", after = null } = {}) => {
    const asked = new URLSearchParams({ limit: PAGE, ...(search && { q: search }), ...(after && { after }) });
    return (await this.#asVisitor("GET", `/conversations?${asked}`)).body;
  };

  /** Changes title or pin, under the condition that the conversation still has an ETag if that is given. */
  change = async (id, change, etag = null) =>
    (await this.#asVisitor("PATCH", `/conversations/${encodeURIComponent(id)}`, change, etag && { "If-Match": etag })).body;

  share = async (id) => (await this.#asVisitor("POST", `/conversations/${encodeURIComponent(id)}/share`)).body;

  stopSharing = async (id) => void (await this.#asVisitor("DELETE", `/conversations/${encodeURIComponent(id)}/share`));

  /** A copy, for whoever has its token: a reader need not be a visitor. */
  shared = async (token) => (await this.#send("GET", `/shared/${encodeURIComponent(token)}`)).body;

  start = async (title) => (await this.#asVisitor("POST", "/conversations", { title })).body;

  conversation = async (id) => (await this.#asVisitor("GET", `/conversations/${encodeURIComponent(id)}`)).body;

  remove = async (id) => void (await this.#asVisitor("DELETE", `/conversations/${encodeURIComponent(id)}`));

  /** Sends a question or statement. `key` is the idempotency key. */
  ask = async (id, request, key) =>
    this.#asVisitor("POST", `/conversations/${encodeURIComponent(id)}/messages`, request, { "Idempotency-Key": key });

  /** Keeps what the visitor thinks of an answer, {verdict, comment}; null withdraws it. */
  rate = async (operation, feedback) => {
    const path = `/operations/${encodeURIComponent(operation)}/feedback`;
    await (feedback === null ? this.#asVisitor("DELETE", path) : this.#asVisitor("PUT", path, feedback));
  };

  tables = async () => (await this.#asVisitor("GET", "/tables")).body;

  columns = async (table) => (await this.#asVisitor("GET", `/tables/${encodeURIComponent(table)}`)).body;

  sample = async (table) => (await this.#asVisitor("GET", `/samples/${encodeURIComponent(table)}`)).body;

  functions = async () => (await this.#asVisitor("GET", "/functions")).body;

  operation = async (id) => this.#asVisitor("GET", `/operations/${encodeURIComponent(id)}`);

  /** Yields the events of an operation until they end, `signal` is aborted, or nothing came for long. */
  async *events(id, signal) {
    const headers = { Authorization: `Bearer ${this.storage.get(TOKEN)}`, Accept: "text/event-stream" };
    const silence = new AbortController();
    const hush = () => silence.abort();
    let timer = setTimeout(hush, SILENCE_MS);
    const heard = () => {
      clearTimeout(timer);
      timer = setTimeout(hush, SILENCE_MS);
    };
    try {
      const url = `${this.base}/api/operations/${encodeURIComponent(id)}/events`;
      const response = await this.fetching(url, { headers, signal: AbortSignal.any([signal, silence.signal]) });
      const kind = response.headers.get("Content-Type") ?? "";
      if (!response.ok || !kind.startsWith("text/event-stream")) throw new Away();
      yield* eventsOf(response.body, heard);
    } catch (error) {
      throw error instanceof SyntaxError ? new Problem(502, NOT_THE_API) : new Away();
    } finally {
      clearTimeout(timer);
    }
  }

  /** The rows of a step as a Parquet file. */
  table = async (id, step) =>
    (await this.#asVisitor("GET", `/operations/${encodeURIComponent(id)}/steps/${step}/table?format=parquet`)).body;

  cancel = async (id) => (await this.#asVisitor("DELETE", `/operations/${encodeURIComponent(id)}`)).body;

  /** Sends a request with the visitor's token. If the server does not know it, repeats it as a new visitor. */
  async #asVisitor(method, path, body, headers = {}) {
    const token = this.storage.get(TOKEN) ?? (await this.#become(null));
    try {
      return await this.#send(method, path, body, { ...headers, Authorization: `Bearer ${token}` });
    } catch (error) {
      if (error.status !== 401) throw error;
      const another = await this.#become(token);
      return this.#send(method, path, body, { ...headers, Authorization: `Bearer ${another}` });
    }
  }

  /** Returns a token that replaces `old`. Concurrent requests share one new visitor. */
  #become(old) {
    const kept = this.storage.get(TOKEN);
    if (kept && kept !== old) return Promise.resolve(kept);
    this.becoming ??= this.#send("POST", "/visitors")
      .then(({ body }) => {
        this.storage.set(TOKEN, body.token);
        return body.token;
      })
      .finally(() => {
        this.becoming = null;
      });
    return this.becoming;
  }

  async #send(method, path, body, headers = {}) {
    const asked = { method, headers: { ...headers }, signal: AbortSignal.timeout(PATIENCE_MS) };
    if (body !== undefined) {
      asked.body = JSON.stringify(body);
      asked.headers["Content-Type"] = "application/json";
    }
    const [response, text] = await this.#answer(`${this.base}/api${path}`, asked);
    const retryAfter = seconds(response.headers.get("Retry-After"));
    if (!response.ok) throw new Problem(response.status, detailOf(text, response.status), retryAfter);
    return { body: bodyOf(text, response.status), retryAfter };
  }

  async #answer(url, asked) {
    try {
      const response = await this.fetching(url, asked);
      const isFile = response.headers.get("Content-Type") === PARQUET;
      return [response, isFile ? await response.blob() : await response.text()];
    } catch {
      throw new Away();
    }
  }
}

function seconds(text) {
  const number = Number.parseFloat(text);
  return Number.isFinite(number) ? number : null;
}

function bodyOf(text, status) {
  if (text instanceof Blob) return text;
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    throw new Problem(status, NOT_THE_API);
  }
}

function detailOf(text, status) {
  try {
    const { detail } = JSON.parse(text);
    if (typeof detail === "string") return detail;
  } catch {
    // a proxy may answer in HTML
  }
  return `The server answered with status ${status}, and did not say why. Try again in a minute.`;
}
