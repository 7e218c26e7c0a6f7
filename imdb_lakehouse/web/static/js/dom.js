// Creates elements. Text always becomes text nodes; text of models and tables is never parsed as HTML.

/** Creates an element with properties, attributes (aria-…, data-… and others that are no property) and children. */
export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Creates a button that does not submit a form. */
export function button(text, act, properties = {}) {
  return make("button", { type: "button", className: "button", onclick: act, ...properties }, text);
}

/** Creates a text for screen readers only. */
export function hiddenText(text) {
  return make("span", { className: "unseen" }, text);
}

/** Makes `elements` the children of `parent`. Those that stay in order are not touched, so the focus stays in them. */
export function arrange(parent, elements) {
  const kept = new Set(elements);
  for (const child of [...parent.children]) if (!kept.has(child)) child.remove();
  elements.forEach((element, at) => {
    if (parent.children[at] !== element) parent.insertBefore(element, parent.children[at] ?? null);
  });
}

/** True for a key that an input method takes; some browsers tell it by the code 229 alone. */
export function isComposing(event) {
  return event.isComposing || event.keyCode === 229;
}

/** Replace a part of a field as if it were typed, so that it can be undone. Returns false where it has no room. */
export function typeInto(field, start, end, text) {
  if (field.value.length - (end - start) + text.length > field.maxLength) return false;
  field.focus();
  field.setSelectionRange(start, end);
  // The only way that keeps the field's own undo; browsers that no longer have it say false.
  if (document.execCommand("insertText", false, text)) return true;
  field.setRangeText(text, start, end, "end");
  field.dispatchEvent(new Event("input", { bubbles: true }));
  return true;
}

export function byId(id) {
  return document.getElementById(id);
}
