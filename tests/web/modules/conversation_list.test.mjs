import assert from "node:assert/strict";
import test from "node:test";

import { ConversationList } from "../../../imdb_lakehouse/web/static/js/conversation_list.js";
import { conversationAt, sharedAt } from "../../../imdb_lakehouse/web/static/js/route.js";

/** Conversations of a server, by their times; `pinned` are the times of pinned ones. Pages have three. */
function server(times, pinned = []) {
  const kept = { times, pinned };
  const fetching = async ({ search, after }) => {
    const all = kept.times.map((created) => ({ id: `c${created}`, created, pinned: kept.pinned.includes(created) }));
    all.sort((one, other) => other.pinned - one.pinned || other.created - one.created);
    const found = all.filter((one) => one.id.includes(search));
    const from = after === null ? 0 : found.findIndex((one) => one.id === after) + 1;
    const conversations = found.slice(from, from + 3);
    return { conversations, next: from + 3 < found.length ? conversations.at(-1).id : null };
  };
  return { kept, list: new ConversationList(fetching) };
}

const ids = (list) => list.all.map((one) => one.id).join(" ");

test("pages are loaded one behind the other, to the end", async () => {
  const { list } = server([1, 2, 3, 4, 5, 6, 7], [2]);
  await list.refresh();
  assert.equal(ids(list), "c2 c7 c6");
  await list.more();
  await list.more();
  assert.equal(ids(list), "c2 c7 c6 c5 c4 c3 c1");
  assert.equal(list.hasMore, false);
});

test("what is loaded stays when the first page is asked for again, and what is gone from it goes", async () => {
  const { list, kept } = server([1, 2, 3, 4, 5, 6, 7]);
  await list.refresh();
  await list.more();
  kept.times = [1, 2, 3, 4, 5, 7, 8];
  await list.refresh();
  assert.equal(ids(list), "c8 c7 c5 c4 c3 c2");
  assert.equal(list.hasMore, true);
  await list.more();
  assert.equal(ids(list), "c8 c7 c5 c4 c3 c2 c1");
});

test("where so many are new that some between are not loaded, the list begins again", async () => {
  const { list, kept } = server([1, 2, 3, 4, 5, 6]);
  await list.refresh();
  await list.more();
  kept.times = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
  await list.refresh();
  assert.equal(ids(list), "c10 c9 c8");
  await list.more();
  assert.equal(ids(list), "c10 c9 c8 c7 c6 c5");
});

test("one that is no longer pinned goes to its place, also where that is not loaded yet", async () => {
  const { list, kept } = server([1, 2, 3, 4, 5, 6], [1]);
  await list.refresh();
  kept.pinned = [];
  list.replace({ id: "c1", created: 1, pinned: false });
  await list.refresh();
  assert.equal(ids(list), "c6 c5 c4");
  await list.more();
  assert.equal(ids(list), "c6 c5 c4 c3 c2 c1");
});

test("an answer that a later request overtook is dropped", async () => {
  const held = [];
  const list = new ConversationList(({ search }) => new Promise((done) => held.push(() => done({ conversations: [{ id: search, created: 1, pinned: false }], next: null }))));
  const both = [list.find("slow"), list.find("quick")];
  held[1]();
  held[0]();
  await Promise.all(both);
  assert.equal(ids(list), "quick");
});

test("the address of a conversation and that of a copy are told apart", () => {
  assert.deepEqual(["#c/abc", "#s/abc", "#", "#s/", "#s/%E0%A4%A"].map((hash) => [conversationAt(hash), sharedAt(hash)]), [
    ["abc", null],
    [null, "abc"],
    [null, null],
    [null, null],
    [null, null],
  ]);
});
