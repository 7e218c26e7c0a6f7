// Pauses that may be cut short, or broken off.

export class BrokenOff extends Error {}

/** One who waits at a time. `hurry` ends a pause early, `stop` ends all of them for good. */
export class Waiter {
  #end = null;
  #stopped = false;

  wait = (seconds) =>
    new Promise((resolve, reject) => {
      if (this.#stopped) {
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
    this.#stopped = true;
    this.#end?.(true);
  };

  get stopped() {
    return this.#stopped;
  }
}
