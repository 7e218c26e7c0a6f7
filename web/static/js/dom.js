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

export function byId(id) {
  return document.getElementById(id);
}
