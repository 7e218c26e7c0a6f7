// Long labels cut to a width, so that no two of them look alike.

import { visible } from "./visible.js";

/** Labels of at most `most` letters. What would look like another one loses its middle instead of its end. */
export function shortenAll(labels, most) {
  const whole = labels.map((label) => [...visible(label ?? "")]);
  const cut = whole.map((letters) => join(letters, most, most - 1));
  const seen = new Map();
  for (const text of cut) seen.set(text, (seen.get(text) ?? 0) + 1);
  return cut.map((text, index) => (seen.get(text) > 1 ? join(whole[index], most, Math.floor(most / 2)) : text));
}

function join(letters, most, head) {
  if (letters.length <= most) return letters.join("");
  const tail = most - 1 - head;
  return `${letters.slice(0, head).join("")}…${tail > 0 ? letters.slice(-tail).join("") : ""}`;
}
