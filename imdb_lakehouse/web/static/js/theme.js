// Light or dark theme: the system's, until the user chooses.

import { storage } from "./storage.js";

const NAME = "imdb-chat-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

/** Make a button toggle the theme. Calls `changed` when the colours change. */
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
