// Keys of a tree (ARIA pattern): one item at a time can be reached by Tab, the arrows go on from there.

import { isComposing } from "./dom.js";

const PATIENCE_MS = 600; // letters that follow within this are one search

/** Lists the items of a tree that are shown. */
function shownItems(tree) {
  return [...tree.querySelectorAll('[role="treeitem"]')].filter((item) => item.closest('[role="group"][hidden]') === null);
}

/** Make one item reachable by Tab; by default the one that was, or the first. */
export function makeReachable(tree, item = tree.querySelector('[tabindex="0"]') ?? tree.querySelector('[role="treeitem"]')) {
  for (const other of tree.querySelectorAll('[tabindex="0"]')) if (other !== item) other.tabIndex = -1;
  if (item) item.tabIndex = 0;
}

/** Make a tree follow keys. `toggle(item, isOpen)` opens and closes; `act(item)` is called by Enter. */
export function installTreeKeys(tree, { toggle, act }) {
  let sought = "";
  let soughtAt = 0;

  function go(item) {
    if (!item) return;
    makeReachable(tree, item);
    item.focus();
  }

  function seek(letter, current, time) {
    sought = time - soughtAt < PATIENCE_MS ? sought + letter : letter;
    soughtAt = time;
    const items = shownItems(tree);
    const at = items.indexOf(current) + (sought.length === 1 ? 1 : 0);
    const inOrder = [...items.slice(at), ...items.slice(0, at)];
    go(inOrder.find((item) => item.dataset.name?.toLowerCase().startsWith(sought.toLowerCase())));
  }

  tree.addEventListener("focusin", (event) => {
    if (event.target.role === "treeitem") makeReachable(tree, event.target);
  });
  tree.addEventListener("keydown", (event) => {
    const item = event.target;
    if (item.role !== "treeitem" || isComposing(event) || event.ctrlKey || event.metaKey || event.altKey) return;
    const items = shownItems(tree);
    const at = items.indexOf(item);
    const { ariaExpanded } = item;
    if (event.key === "ArrowDown") go(items[at + 1]);
    else if (event.key === "ArrowUp") go(items[at - 1]);
    else if (event.key === "Home") go(items[0]);
    else if (event.key === "End") go(items.at(-1));
    else if (event.key === "ArrowRight" && ariaExpanded === "false") toggle(item, true);
    else if (event.key === "ArrowRight" && ariaExpanded === "true") go(item.querySelector('[role="treeitem"]'));
    else if (event.key === "ArrowLeft" && ariaExpanded === "true") toggle(item, false);
    else if (event.key === "ArrowLeft") go(item.parentElement.closest('[role="treeitem"]'));
    else if (event.key === "Enter") act(item);
    else if (event.key === " " && ariaExpanded) toggle(item, ariaExpanded === "false");
    else if (event.key.length === 1 && event.key !== " ") seek(event.key, item, event.timeStamp);
    else return;
    event.preventDefault();
  });
}
