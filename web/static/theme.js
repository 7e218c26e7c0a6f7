// Before anything is painted: the chosen colours. The rest is in js/theme.js.
try {
  const chosen = localStorage.getItem("imdb-chat-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // the browser keeps nothing: as the system has it
}
