// Text from outside, as it can be shown beside other text.

const REORDERING = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g; // turn text around that they do not belong to

/** Text with a mark in place of each character that would reorder what stands around it. */
export function visible(text) {
  return text.replace(REORDERING, "\ufffd");
}
