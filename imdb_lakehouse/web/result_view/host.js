// Speaks with the program that shows the view: JSON-RPC 2.0 in messages between windows, as SEP-1865 (MCP Apps) has it.

const PROTOCOL = "2026-01-26";
const UNKNOWN_METHOD = -32601;

/** The host. `heard` maps methods of notifications to what is done with their parameters. */
export class Host {
  #heard;
  #last = 0;
  #waiting = new Map(); // id of a request → {resolve, reject}
  #capabilities = {};

  constructor(heard) {
    this.#heard = heard;
    window.addEventListener("message", (event) => {
      if (event.source === window.parent && event.data?.jsonrpc === "2.0") this.#take(event.data);
    });
  }

  /** Announces the view, and returns the host's context: theme, display mode and so on. */
  async connect() {
    const answer = await this.request("ui/initialize", {
      protocolVersion: PROTOCOL,
      appInfo: { name: "lakehouse-result", version: "1" },
      appCapabilities: { availableDisplayModes: ["inline", "fullscreen"] },
    });
    this.#capabilities = answer.hostCapabilities ?? {};
    this.notify("ui/notifications/initialized", {});
    return answer.hostContext ?? {};
  }

  /** True if the host has a capability, such as `serverTools`. */
  can(capability) {
    return this.#capabilities[capability] !== undefined;
  }

  /** Sends a request, and returns its result. Throws an Error with the host's reason. */
  request(method, params) {
    this.#last += 1;
    const id = this.#last;
    const answered = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.#send({ id, method, params });
    return answered;
  }

  notify(method, params) {
    this.#send({ method, params });
  }

  /** Calls a tool of the server, and returns its result, which may be one that failed. */
  callTool(name, args) {
    return this.request("tools/call", { name, arguments: args });
  }

  #take(message) {
    if (message.method === undefined) this.#settle(message);
    else if (message.id === undefined) this.#hear(message.method, message.params ?? {});
    else if (["ping", "ui/resource-teardown"].includes(message.method)) this.#send({ id: message.id, result: {} });
    else this.#send({ id: message.id, error: { code: UNKNOWN_METHOD, message: "The view has no such method." } });
  }

  #hear(method, params) {
    if (Object.hasOwn(this.#heard, method)) this.#heard[method](params);
  }

  #settle({ id, result, error }) {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error) waiting?.reject(new Error(String(error.message ?? "The host refused it.")));
    else waiting?.resolve(result ?? {});
  }

  #send(message) {
    window.parent.postMessage({ jsonrpc: "2.0", ...message }, "*"); // who the host is, only the host knows
  }
}

/** Returns the text of a tool's result. */
export function textOf(result) {
  const parts = Array.isArray(result.content) ? result.content : [];
  return parts.filter((part) => part?.type === "text").map((part) => String(part.text)).join("\n");
}
