// Parses the subset of Markdown that answers use. Everything else stays plain text.
//
// A block is {kind: "paragraph", parts}, {kind: "list", ordered, items: [parts]} or {kind: "code", text};
// a part is {kind: "text" | "bold" | "code", text}.

const BULLET = /^\s*[-*•]\s+(.*)$/s;
const NUMBER = /^\s*\d{1,3}[.)]\s+(.*)$/s;
const FENCE = /^\s*```/;
const HEADING = /^#{1,6}\s+(.*)$/s;
const PART = /`([^`\n]+)`|\*\*(?=\S)([^*\n]+?)\*\*/g;

/** Parses a text to blocks. */
export function blocks(text) {
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  const found = [];
  for (let at = 0; at < lines.length; ) {
    const [block, taken] = blockAt(lines, at);
    if (block) found.push(block);
    at += taken;
  }
  return found;
}

function blockAt(lines, at) {
  const line = lines[at];
  if (!line.trim()) return [null, 1];
  if (FENCE.test(line)) return code(lines, at);
  const heading = HEADING.exec(line);
  if (heading) return [{ kind: "paragraph", parts: [{ kind: "bold", text: heading[1] }] }, 1];
  if (BULLET.test(line)) return list(lines, at, BULLET, false);
  if (NUMBER.test(line)) return list(lines, at, NUMBER, true);
  const said = run(lines, at, (one) => one.trim() && !opens(one));
  return [{ kind: "paragraph", parts: parts(said.join("\n")) }, said.length];
}

function code(lines, at) {
  const inside = run(lines, at + 1, (line) => !FENCE.test(line));
  return [{ kind: "code", text: inside.join("\n") }, inside.length + 2];
}

/** Parses the items of a list, which may be separated by blank lines. */
function list(lines, at, pattern, ordered) {
  const items = [];
  let end = at;
  for (let next = at; next < lines.length && (pattern.test(lines[next]) || !lines[next].trim()); next += 1) {
    if (!lines[next].trim()) continue;
    items.push(parts(pattern.exec(lines[next])[1]));
    end = next + 1;
  }
  return [{ kind: "list", ordered, items }, end - at];
}

function run(lines, from, fits) {
  let end = from;
  while (end < lines.length && fits(lines[end])) end += 1;
  return lines.slice(from, end);
}

function opens(line) {
  return [FENCE, HEADING, BULLET, NUMBER].some((pattern) => pattern.test(line));
}

/** Parses a line to parts: text, bold, code. */
export function parts(text) {
  const found = [];
  let at = 0;
  for (const match of text.matchAll(PART)) {
    if (match.index > at) found.push({ kind: "text", text: text.slice(at, match.index) });
    found.push(match[1] !== undefined ? { kind: "code", text: match[1] } : { kind: "bold", text: match[2] });
    at = match.index + match[0].length;
  }
  if (at < text.length) found.push({ kind: "text", text: text.slice(at) });
  return found;
}
