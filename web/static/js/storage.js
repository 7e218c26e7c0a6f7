// What this browser remembers. Where it may not, the page does.

const forNow = new Map();

export const storage = {
  get(name) {
    try {
      return localStorage.getItem(name) ?? forNow.get(name) ?? null;
    } catch {
      return forNow.get(name) ?? null;
    }
  },

  set(name, value) {
    forNow.set(name, value);
    try {
      localStorage.setItem(name, value);
    } catch {
      // refused, or full: remembered until the page is closed
    }
  },
};
