// Light or dark: as the system has it, until somebody chooses.

import { storage } from "./storage.js";

const NAME = "imdb-chat-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

/** Make a button choose, and tell `changed` when colours do. */
export function installTheme(toggle, changed) {
  const show = () => {
    toggle.setAttribute("aria-pressed", String(isDark()));
  };
  toggle.addEventListener("click", () => {
    const chosen = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = chosen;
    storage.set(NAME, chosen);
    show();
    changed();
  });
  system.addEventListener("change", () => {
    show();
    changed();
  });
  show();
}

function isDark() {
  const { theme } = document.documentElement.dataset;
  return theme ? theme === "dark" : system.matches;
}
