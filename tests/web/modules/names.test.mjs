import assert from "node:assert/strict";
import test from "node:test";

import { quoteName, spaceName, unquoteName } from "../../../imdb_lakehouse/web/static/js/names.js";

test("names are quoted where SQL would not read them as one, and only there", () => {
  assert.equal(quoteName("movies_delta"), "movies_delta");
  for (const name of ["my films", "a.b", "Größe", "静か", "order", "2024", "a`b", ""]) {
    assert.equal(quoteName(name), `\`${name.replaceAll("`", "``")}\``);
    assert.equal(unquoteName(quoteName(name)), name);
  }
});

test("a name that is put into a statement touches no word", () => {
  assert.equal(spaceName("SELECT", 6, 6, "a"), " a");
  assert.equal(spaceName("SELECT FROM", 7, 7, "a"), "a ");
  assert.equal(spaceName("SELECT x.", 9, 9, "a"), "a");
  assert.equal(spaceName("SELECT old FROM", 7, 10, "a"), "a");
  assert.equal(spaceName("", 0, 0, "a"), "a");
});
