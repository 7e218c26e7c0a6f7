import assert from "node:assert/strict";
import test from "node:test";

import { Away, Problem } from "../../../imdb_lakehouse/web/static/js/api.js";
import { eventsOf } from "../../../imdb_lakehouse/web/static/js/events.js";
import { backoff, follow, pace } from "../../../imdb_lakehouse/web/static/js/poll.js";
import { BrokenOff, Waiter } from "../../../imdb_lakehouse/web/static/js/waiting.js";

/** Follows through `answers` (states, or errors) and tells what was waited for, seen and said. */
async function followed(...answers) {
  const [pauses, states, told] = [[], [], []];
  const ask = async () => {
    const next = answers.shift();
    if (next instanceof Error) throw next;
    return { body: { id: "o", state: next }, retryAfter: 2 };
  };
  const hooks = {
    stream: async function* () {
      throw new Away();
    },
    ask,
    seen: (operation) => states.push(operation.state),
    away: (error) => told.push(error?.message ?? "back"),
    wait: async (pause) => void pauses.push(pause),
  };
  const last = await follow({ body: { id: "o", state: "pending" }, retryAfter: 1 }, hooks);
  return { last, pauses, states, told };
}

test("it asks again after as long as the server says, until the operation has ended", async () => {
  const { last, pauses, states } = await followed("running", "running", "done");
  assert.equal(last.state, "done");
  assert.deepEqual(pauses, [1, 2, 2]);
  assert.deepEqual(states, ["pending", "running", "running", "done"]);
});

test("a server that is away is waited for, longer each time, and it is said when it is back", async () => {
  const { pauses, told } = await followed(new Away(), new Away(), new Away(), "done");
  assert.deepEqual(pauses, [1, 1, 2, 4]);
  assert.deepEqual(told, [...Array(3).fill("The server cannot be reached."), "back"]);
});

test("too many requests are waited for as long as the answer says", async () => {
  const { pauses } = await followed(new Problem(429, "slower", 17), "done");
  assert.deepEqual(pauses, [1, 17]);
});

test("what will not pass ends it", async () => {
  await assert.rejects(followed(new Problem(404, "gone")), { status: 404, message: "gone" });
});

test("pauses have an end", () => {
  assert.deepEqual([1, 2, 5, 6, 50].map(backoff), [1, 2, 16, 30, 30]);
  assert.deepEqual([pace(1, 0), pace(null, 0), pace(1, 60), pace(1, 900), pace(9, 900)], [1, 1, 3, 5, 9]);
});

test("a pause can be cut short, and waiting broken off for good", async () => {
  const waiter = new Waiter();
  const pause = waiter.wait(3_600);
  waiter.hurry();
  await pause;
  const another = waiter.wait(3_600);
  waiter.stop();
  await assert.rejects(another, BrokenOff);
  await assert.rejects(waiter.wait(0), BrokenOff);
});

test("events are shown as they come, without a pause, and polled for where they end too early", async () => {
  const texts = [];
  const running = { id: "o", state: "running", stage: { doing: "planning", text: "", steps: [] } };
  const last = await follow(
    { body: running, retryAfter: 1 },
    {
      stream: async function* () {
        yield { event: "state", data: running };
        yield { event: "change", data: { doing: "writing", more: true, text: "The ", steps: { 0: "a step" } } };
        yield { event: "change", data: { doing: "writing", more: true, text: "answer", steps: {} } };
        yield { event: "change", data: { doing: "calling a tool", more: false, text: "", steps: { 1: "another" } } };
      },
      ask: async () => ({ body: { ...running, state: "done" }, retryAfter: null }),
      seen: ({ state, stage }) => texts.push([state, stage.doing, stage.text, stage.steps.length]),
      away: assert.fail,
      wait: async (pause) => void texts.push(pause),
    },
  );
  assert.equal(last.state, "done");
  assert.deepEqual(texts, [
    ["running", "planning", "", 0],
    ["running", "planning", "", 0],
    ["running", "writing", "The ", 1],
    ["running", "writing", "The answer", 1],
    ["running", "calling a tool", "", 2],
    1,
    ["done", "planning", "", 0],
  ]);
});

test("events are read across the borders of chunks, and comments are none", async () => {
  const bytes = new TextEncoder().encode(': ping\n\nevent: change\ndata: {"text": "Kurosawa ✓"}\n\nevent: state\ndata: 1\n\n');
  const body = new ReadableStream({
    start(controller) {
      for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
      controller.close();
    },
  });
  const found = [];
  for await (const event of eventsOf(body)) found.push(event);
  assert.deepEqual(found, [
    { event: "change", data: { text: "Kurosawa ✓" } },
    { event: "state", data: 1 },
  ]);
});
