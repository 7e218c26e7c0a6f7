// Applies the chosen theme before the first paint. The rest is in js/theme.js.
try {
  const chosen = localStorage.getItem("imdb-chat-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // no stored choice: the system's theme
}
