// The loaded part of the visitor's conversations, in the server's order: pinned ones first, new before old.

export class ConversationList {
  all = [];
  search = "";
  #next = null; // continues the list on the server
  #asked = 0;

  /** `fetching({search, after})` returns a page: {conversations, next}. */
  constructor(fetching) {
    this.fetching = fetching;
  }

  get hasMore() {
    return this.#next !== null;
  }

  /** Load the conversations whose title contains a text, instead of the loaded ones. */
  async find(search) {
    this.search = search;
    const page = await this.#fetch(null);
    if (page) this.#hold(page.conversations, page.next);
  }

  /** Load the first page again; what is loaded behind it stays. */
  async refresh() {
    const page = await this.#fetch(null);
    if (!page) return;
    const behind = loadedBehind(page, this.all);
    this.#hold([...page.conversations, ...behind], behind.length > 0 ? this.#next : page.next);
  }

  /** Load the next page. */
  async more() {
    const page = await this.#fetch(this.#next);
    if (page) this.#hold([...this.all, ...page.conversations], page.next);
  }

  /** Put a changed conversation in the place of the old one. */
  replace(changed) {
    this.#hold([changed, ...this.all], this.#next);
  }

  /** A page, or null where a later request overtook this one. */
  async #fetch(after) {
    this.#asked += 1;
    const number = this.#asked;
    const page = await this.fetching({ search: this.search, after });
    return number === this.#asked ? page : null;
  }

  #hold(conversations, next) {
    const byId = new Map(conversations.toReversed().map((one) => [one.id, one])); // the first of two is the newer state
    this.all = [...byId.values()].sort(inOrder);
    this.#next = next;
  }
}

function inOrder(one, other) {
  return Number(other.pinned) - Number(one.pinned) || other.created - one.created || (other.id > one.id ? 1 : -1);
}

/** The loaded conversations that come after a first page, if nothing is missing in between. */
function loadedBehind({ conversations, next }, loaded) {
  const last = conversations.at(-1);
  if (next === null || !loaded.some((one) => one.id === last.id)) return [];
  const listed = new Set(conversations.map((one) => one.id));
  return loaded.filter((one) => !listed.has(one.id) && inOrder(last, one) < 0);
}
