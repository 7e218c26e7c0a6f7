import assert from "node:assert/strict";
import { test } from "node:test";

import { shortenAll } from "../../../imdb_lakehouse/web/static/js/shorten.js";

test("a label that fits stays whole, a longer one loses its end", () => {
  assert.deepEqual(shortenAll(["Heat", "The Shawshank Redemption"], 12), ["Heat", "The Shawsha…"]);
});

test("labels that would look alike keep their ends", () => {
  const rings = ["The Lord of the Rings: The Two Towers", "The Lord of the Rings: The Return of the King"];
  const cut = shortenAll(rings, 17);
  assert.equal(new Set(cut).size, 2);
  assert.deepEqual(cut, ["The Lord…o Towers", "The Lord…the King"]);
});

test("a letter that takes two units is not cut in half", () => {
  assert.deepEqual(shortenAll(["😀😀😀😀"], 3), ["😀😀…"]);
});
