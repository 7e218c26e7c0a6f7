import assert from "node:assert/strict";
import test from "node:test";

import { blocks } from "../../../web/static/js/prose.js";

const text = (said) => ({ kind: "text", text: said });

test("paragraphs, bold and code are found", () => {
  assert.deepEqual(blocks("One **two** `three`\nfour\n\nFive"), [
    { kind: "paragraph", parts: [text("One "), { kind: "bold", text: "two" }, text(" "), { kind: "code", text: "three" }, text("\nfour")] },
    { kind: "paragraph", parts: [text("Five")] },
  ]);
});

test("lists with bullets and with numbers are found, also right after a line", () => {
  assert.deepEqual(blocks("They are:\n- one\n* two\n1. first\n2) second"), [
    { kind: "paragraph", parts: [text("They are:")] },
    { kind: "list", ordered: false, items: [[text("one")], [text("two")]] },
    { kind: "list", ordered: true, items: [[text("first")], [text("second")]] },
  ]);
});

test("a list goes on over blank lines between its items, and ends where something else stands", () => {
  assert.deepEqual(blocks("1. Alien\n\n2. Brazil\n\nThat is all."), [
    { kind: "list", ordered: true, items: [[text("Alien")], [text("Brazil")]] },
    { kind: "paragraph", parts: [text("That is all.")] },
  ]);
});

test("a fence keeps what is in it, also where it is not closed yet", () => {
  assert.deepEqual(blocks("```sql\nSELECT **1**\n\n- x\n```"), [{ kind: "code", text: "SELECT **1**\n\n- x" }]);
  assert.deepEqual(blocks("```\nSELECT"), [{ kind: "code", text: "SELECT" }]);
});

test("links, pictures and HTML stay the text that they are", () => {
  const said = '[here](javascript:alert(1)) ![](http://x/y.png) <img src=x onerror=alert(1)> <b>no</b>';
  assert.deepEqual(blocks(said), [{ kind: "paragraph", parts: [text(said)] }]);
});

test("any text ends, and soon", () => {
  const began = performance.now();
  for (const part of ["**", "`", "- ", "```\n", "#".repeat(9), "**a", "\n\n"]) blocks(part.repeat(20_000));
  assert.ok(performance.now() - began < 5_000);
});

test("a long text takes time in proportion to its length", () => {
  const blanks = " ".repeat(40_000);
  const began = process.cpuUsage();
  for (const said of [`- ${blanks}a\u2028`, `1. ${blanks}a\u2028b`, `# ${blanks}a\u2028`, "a\n\n".repeat(20_000), "**a`".repeat(20_000)]) {
    blocks(said);
  }
  assert.ok(process.cpuUsage(began).user < 1_500_000, "quadratic time would be minutes");
});
