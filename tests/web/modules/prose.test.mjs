import assert from "node:assert/strict";
import test from "node:test";

import { blocks } from "../../../imdb_lakehouse/web/static/js/prose.js";
import { visible } from "../../../imdb_lakehouse/web/static/js/visible.js";

const ALLOWED = new Set(
  "p h3 blockquote strong em del code pre br hr ol ul li div table thead tbody tr th td a".split(" "),
);

/** The tree as text: tags with their children, attributes left out. */
function shown(nodes) {
  return nodes.map((one) => (typeof one === "string" ? one : `<${one.tag}>${shown(one.children)}</${one.tag}>`)).join("");
}

function every(nodes, act) {
  for (const one of nodes) {
    if (typeof one === "string") continue;
    act(one);
    every(one.children, act);
  }
}

test("paragraphs, emphasis and code are elements", () => {
  assert.equal(
    shown(blocks("One **two** *three* `four`\nfive\n\nSix")),
    "<p>One <strong>two</strong> <em>three</em> <code>four</code><br></br>five</p><p>Six</p>",
  );
});

test("a numbered list goes on counting over the details of its items", () => {
  const said = "1. Alien\n   - 1979\n\n2. Brazil\n\nBoth are films.\n\n3. Cube";
  const found = blocks(said);
  assert.match(shown(found), /<ol><li>.*Alien.*<ul><li>1979<\/li><\/ul><\/li><li>.*Brazil/);
  assert.deepEqual(found.filter((one) => one.tag === "ol").map((one) => one.attributes.start), [1, 3]);
});

test("a table is a table", () => {
  assert.equal(
    shown(blocks("| a | b |\n|---|---|\n| 1 | **2** |")),
    "<div><table><thead><tr><th>a</th><th>b</th></tr></thead>" +
      "<tbody><tr><td>1</td><td><strong>2</strong></td></tr></tbody></table></div>",
  );
});

test("a link leads only to the web, and says where", () => {
  const [paragraph] = blocks("[here](https://evil.example/x) and <https://imdb.com>");
  assert.equal(shown([paragraph]), "<p><a>here</a> (evil.example) and <a>https://imdb.com</a></p>");
  assert.deepEqual(paragraph.children[0].attributes, {
    href: "https://evil.example/x", rel: "noopener noreferrer nofollow", target: "_blank",
  });
  assert.equal(shown(blocks("[here](javascript:alert(1))")), "<p>here (javascript:alert(1))</p>");
  assert.equal(shown(blocks("![a picture](http://x/y.png)")), "<p>a picture</p>");
});

test("whatever is written, there are only elements and attributes of the list", () => {
  const said = '<img src=x onerror=alert(1)>\n\n<b>no</b> <script>x</script>\n\n- [x] done\n\n> quoted\n\n---\n\n# Head\n\n~~gone~~';
  const found = blocks(said);
  every(found, (one) => {
    assert.ok(ALLOWED.has(one.tag), one.tag);
    const names = ["dir", "start", "tabIndex", "className", "role", "aria-label", "href", "rel", "target"];
    assert.ok(Object.keys(one.attributes).every((name) => names.includes(name)));
  });
  assert.match(shown(found), /<img src=x onerror=alert\(1\)>/);
});

test("what a model thinks before it answers is not shown, also while it comes", () => {
  assert.equal(shown(blocks("<think>Hm, 12?\n\n1. no</think>\nThere are 12.")), "<p>There are 12.</p>");
  assert.equal(shown(blocks("<think>Hm, 12?")), "");
});

test("every line has its own direction, and nothing turns others around", () => {
  assert.equal(blocks("שלום")[0].attributes.dir, "auto");
  assert.equal(shown(blocks("a\u202eb")), "<p>a\ufffdb</p>");
  assert.equal(visible("\u2066x\u2069"), "\ufffdx\ufffd");
});

test("any text ends, and soon", () => {
  const began = process.cpuUsage();
  for (const part of ["**", "`", "- ", "```\n", "#".repeat(9), "**a", "\n\n", "> ", "[", "](", "<", "_a_", "|-|\n", "1. "]) {
    blocks(part.repeat(3_000));
    blocks(part.repeat(100_000));
  }
  blocks(`- ${" ".repeat(40_000)}a`);
  assert.ok(process.cpuUsage(began).user < 5_000_000);
});

test("what is nested beyond reason stays text", () => {
  assert.match(shown(blocks(`${"> ".repeat(20_000)}deep`)), /deep/);
});
