import assert from "node:assert/strict";
import test from "node:test";

import { Api, Away } from "../../../imdb_lakehouse/web/static/js/api.js";

const answer = (status, body, headers = {}) => new Response(body === null ? null : JSON.stringify(body), { status, headers });

/** An API whose server answers with `serve(method, path, token)`, and what was asked of it. */
function api(serve, token = null) {
  const kept = new Map(token ? [["imdb-chat-token", token]] : []);
  const storage = { get: (name) => kept.get(name) ?? null, set: (name, value) => kept.set(name, value) };
  const asked = [];
  const fetching = async (url, { method, headers }) => {
    asked.push(`${method} ${url}`);
    return serve(method, url, headers.Authorization);
  };
  return { api: new Api("https://chat.example.org/", storage, fetching), asked, kept };
}

/** A server that knows the token t2 alone. */
const strict = (method, url, token) => {
  if (url.endsWith("/visitors")) return answer(201, { token: "t2" });
  return token === "Bearer t2" ? answer(200, { conversations: [] }) : answer(401, { detail: "unknown" });
};

test("somebody whom the server does not know any more becomes somebody new, once", async () => {
  const { api: mine, asked, kept } = api(strict, "t1");
  assert.deepEqual(await Promise.all([mine.conversations(), mine.conversations()]), [{ conversations: [] }, { conversations: [] }]);
  assert.equal(asked.filter((one) => one.includes("/visitors")).length, 1);
  assert.equal(kept.get("imdb-chat-token"), "t2");
});

test("a server that knows nobody is not asked for ever", async () => {
  const nobody = (method, url) => (url.endsWith("/visitors") ? answer(201, { token: "t9" }) : answer(401, { detail: "unknown" }));
  const { api: mine, asked } = api(nobody);
  await assert.rejects(mine.conversations(), { status: 401, message: "unknown" });
  assert.equal(asked.length, 4);
});

test("an error says what the server says, and when to come back", async () => {
  const { api: mine } = api(() => answer(429, { detail: "Too many." }, { "Retry-After": "7" }));
  await assert.rejects(mine.about(), { status: 429, message: "Too many.", retryAfter: 7, passing: true });
});

test("an error in HTML has a sentence of the page's own", async () => {
  const { api: mine } = api(() => new Response("<html>Bad gateway</html>", { status: 502 }));
  await assert.rejects(mine.about(), { status: 502, message: /^The server answered with status 502/, passing: true });
});

test("a host of files in place of the API is told, with what to do", async () => {
  const { api: mine } = api(() => new Response("<!doctype html>", { status: 200 }));
  await assert.rejects(mine.about(), { message: /is not imdb-chat.*config\.js/ });
});

test("no answer is a server that is away", async () => {
  const { api: mine } = api(() => Promise.reject(new TypeError("Failed to fetch")));
  await assert.rejects(mine.about(), Away);
});

test("identifiers cannot lead elsewhere", async () => {
  const { api: mine, asked } = api(() => answer(200, {}), "t2");
  await mine.conversation("../visitors?x#y");
  assert.deepEqual(asked, ["GET https://chat.example.org/api/conversations/..%2Fvisitors%3Fx%23y"]);
});
