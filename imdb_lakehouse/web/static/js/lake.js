// What the lake holds, as far as this page has asked: for the tables beside the statement, and the suggestions in it.

const FRESH_MS = 300_000; // a load publishes seldom, and a reload of the page asks again

export class Lake {
  #api;
  #kept = new Map(); // by what was asked: {at, promise, value}

  constructor(api) {
    this.#api = api;
  }

  /** All of these throw what the API throws, and ask again the next time. */
  loadTables = () => this.#keep("tables", this.#api.tables);

  loadFunctions = () => this.#keep("functions", this.#api.functions);

  loadColumns = (name) => this.#keep(`columns of ${name}`, () => this.#api.columns(name));

  loadSample = (name) => this.#api.sample(name);

  /** Tables that are known already. */
  get tables() {
    return this.#kept.get("tables")?.value?.tables ?? [];
  }

  /** Names of functions that are known already, in order. */
  get functions() {
    return Object.values(this.#kept.get("functions")?.value?.functions ?? {}).flat().sort();
  }

  /** {columns, truncated} of a table, null where they are not known yet. */
  knownColumns = (name) => this.#kept.get(`columns of ${name}`)?.value ?? null;

  columnsOf = (name) => this.knownColumns(name)?.columns ?? null;

  #keep(key, load) {
    const kept = this.#kept.get(key);
    if (kept && Date.now() - kept.at < FRESH_MS) return kept.promise;
    const entry = { at: Date.now(), value: kept?.value, promise: load() };
    this.#kept.set(key, entry);
    entry.promise.then(
      (value) => {
        entry.value = value;
      },
      () => {
        entry.at = 0; // what failed is asked again the next time
      },
    );
    return entry.promise;
  }
}
