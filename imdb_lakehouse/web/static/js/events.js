// Server-sent events over fetch, because EventSource sends no Authorization header.

/** Yields `{event, data}` for each event of a response body; `data` is parsed JSON. `heard` is called for any bytes. */
export async function* eventsOf(body, heard = () => {}) {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const bytes of chunksOf(body)) {
    heard();
    rest += decoder.decode(bytes, { stream: true });
    const blocks = rest.split(/\r?\n\r?\n/);
    rest = blocks.pop();
    for (const block of blocks) {
      const found = eventOf(block);
      if (found !== null) yield found;
    }
  }
}

/** The operation after a change of its stage. */
export function changed(operation, { doing, more, text, steps }) {
  const { stage } = operation;
  const list = [...stage.steps];
  for (const [number, step] of Object.entries(steps)) list[Number(number)] = step;
  const words = more ? stage.text + text : text;
  return { ...operation, stage: { doing, text: words, steps: list } };
}

/** The event of a block of lines, null for a comment that only keeps the connection open. */
function eventOf(block) {
  let event = "message";
  const data = [];
  for (const line of block.split(/\r?\n/)) {
    const [, name, value] = /^(\w*): ?(.*)$/.exec(line) ?? [];
    if (name === "event") event = value;
    if (name === "data") data.push(value);
  }
  return data.length === 0 ? null : { event, data: JSON.parse(data.join("\n")) };
}

/** A reader's chunks; not every browser can iterate a stream. */
async function* chunksOf(body) {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => {}); // also where whoever follows has had enough
  }
}
