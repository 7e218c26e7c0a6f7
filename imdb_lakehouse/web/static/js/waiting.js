// Pauses that can be shortened or aborted.

export class BrokenOff extends Error {}

/** One pause at a time. `hurry` ends it early, `stop` aborts it and all later ones. */
export class Waiter {
  #end = null;
  #aborter = new AbortController();

  wait = (seconds) =>
    new Promise((resolve, reject) => {
      if (this.stopped) {
        reject(new BrokenOff());
        return;
      }
      const timer = setTimeout(resolve, seconds * 1000);
      this.#end = (broken) => {
        clearTimeout(timer);
        if (broken) reject(new BrokenOff());
        else resolve();
      };
    });

  hurry = () => this.#end?.(false);

  stop = () => {
    this.#aborter.abort();
    this.#end?.(true);
  };

  get stopped() {
    return this.signal.aborted;
  }

  /** Is aborted by `stop`. */
  get signal() {
    return this.#aborter.signal;
  }
}
