// Follows an operation by its events, or by polling where they do not arrive; retries while the server is unreachable.

import { Away, Problem } from "./api.js";
import { changed } from "./events.js";

const LONGEST_PAUSE = 30;
const SLOWEST_POLL = 5;

/** Seconds to wait after a number of failures in a row. */
export function backoff(failures) {
  return Math.min(LONGEST_PAUSE, 2 ** Math.min(failures - 1, 10));
}

/** Seconds between polls: the server's interval, and longer for long operations. */
export function pace(retryAfter, waited) {
  return Math.max(retryAfter ?? 1, Math.min(SLOWEST_POLL, waited / 20));
}

export function hasEnded(operation) {
  return operation.state !== "pending" && operation.state !== "running";
}

/**
 * Retry `act` until the server can be reached. Calls `away(error, pause)` for each failure, `away(null)` at the end.
 * Throws permanent errors, and the error of `wait` when it is aborted.
 */
export async function persist(act, { away, wait, passes = (error) => error.passing }) {
  for (let failures = 0; ; ) {
    try {
      const found = await act();
      if (failures > 0) away(null);
      return found;
    } catch (error) {
      if (!passes(error)) throw error;
      failures += 1;
      const pause = Math.max(error.retryAfter ?? 0, backoff(failures));
      away(error, pause);
      await wait(pause);
    }
  }
}

/** Follow an operation to its end. `seen` receives each state. */
export async function follow(first, { stream, ask, seen, away, wait }) {
  let { body: operation, retryAfter } = first;
  let [waited, streams] = [0, true];
  seen(operation);
  while (!hasEnded(operation)) {
    if (streams) [operation, streams] = await streamed(operation, { stream, seen });
    if (hasEnded(operation)) break;
    const pause = pace(retryAfter, waited);
    await wait(pause);
    waited += pause;
    ({ body: operation, retryAfter } = await persist(() => ask(operation.id), { away, wait }));
    seen(operation);
  }
  return operation;
}

/** The last state that events told, and whether there were any: a proxy may keep them back. */
async function streamed(operation, { stream, seen }) {
  let any = false;
  try {
    for await (const { event, data } of stream(operation.id)) {
      any = true;
      operation = event === "change" ? changed(operation, data) : data;
      seen(operation);
      if (hasEnded(operation)) break;
    }
  } catch (error) {
    if (!(error instanceof Away || error instanceof Problem)) throw error;
  }
  return [operation, any];
}
