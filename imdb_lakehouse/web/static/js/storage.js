// Values stored in the browser, or in memory if that is not allowed.

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
      // denied or full: kept in memory until the page is closed
    }
  },
};
