import assert from "node:assert/strict";
import test from "node:test";

import { tableJson } from "../../../imdb_lakehouse/web/static/js/table_json.js";

const objects = (names, row) => JSON.parse(tableJson(names.map((name) => ({ name, type: "int" })), [row]));

test("no cell is lost to another column's name", () => {
  assert.deepEqual(objects(["a", "a", "a (2)"], [1, 2, 3]), [{ a: 1, "a (2)": 2, "a (2) (2)": 3 }]);
  assert.equal(tableJson([{ name: "__proto__", type: "int" }], [[1]]), '[\n {\n  "__proto__": 1\n }\n]');
});
