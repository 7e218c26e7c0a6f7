// Tabs for mouse and arrow keys (ARIA pattern). One is always selected.

const STEPS = { ArrowLeft: -1, ArrowRight: 1 };

/** Make the buttons of a tab list select their panels. Calls `chosen` with the selected one. */
export function installTabs(list, chosen) {
  const tabs = [...list.querySelectorAll('[role="tab"]')];

  function choose(tab) {
    for (const one of tabs) {
      const isChosen = one === tab;
      one.setAttribute("aria-selected", String(isChosen));
      one.tabIndex = isChosen ? 0 : -1;
      document.getElementById(one.getAttribute("aria-controls")).hidden = !isChosen;
    }
    chosen(tab.dataset.kind);
  }

  list.addEventListener("click", (event) => {
    const tab = event.target.closest('[role="tab"]');
    if (tab) choose(tab);
  });
  list.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    const at = tabs.indexOf(document.activeElement);
    const next = tabs[(at + step + tabs.length) % tabs.length];
    choose(next);
    next.focus();
  });
  return (kind) => choose(tabs.find((tab) => tab.dataset.kind === kind));
}
