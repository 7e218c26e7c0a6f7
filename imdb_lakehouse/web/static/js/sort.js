// Sorts rows by a column.

import { isNumeric } from "./format.js";

const WORDS = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
const DECIMAL = /^(-?\d+)(?:\.(\d+))?$/;

/** Returns the order when a column's heading is chosen: ascending, or descending where it ascends already. */
export function nextOrder(order, index) {
  return { index, descending: order?.index === index && !order.descending };
}

/** Describes an order for people who do not see the arrow in the heading. */
export function describeOrder(table, { index, descending }) {
  return `Sorted by ${table.columns[index].name}, ${descending ? "descending" : "ascending"}.`;
}

/** Sorts rows by a column; stable, nulls last in both directions. */
export function sortRows(table, index, descending) {
  const compare = isNumeric(table.columns[index]) ? compareNumbers : compareTexts;
  return [...table.rows].sort((one, other) => {
    const [a, b] = [one[index], other[index]];
    if (a === null || b === null) return Number(a === null) - Number(b === null);
    return descending ? compare(b, a) : compare(a, b);
  });
}

function compareNumbers(a, b) {
  const [one, other] = typeof a === "string" && typeof b === "string" ? toWholes(a, b) : [Number(a), Number(b)];
  if (Number.isNaN(one) || Number.isNaN(other)) return Number(Number.isNaN(one)) - Number(Number.isNaN(other));
  return one < other ? -1 : Number(one > other);
}

/** Two numbers sent as texts, which have more digits than a double can hold, as whole ones of the same unit. */
function toWholes(a, b) {
  const [one, other] = [DECIMAL.exec(a), DECIMAL.exec(b)];
  if (one === null || other === null) return [Number(a), Number(b)];
  const places = Math.max((one[2] ?? "").length, (other[2] ?? "").length);
  return [one, other].map((parts) => BigInt(parts[1] + (parts[2] ?? "").padEnd(places, "0")));
}

function compareTexts(a, b) {
  return WORDS.compare(typeof a === "string" ? a : JSON.stringify(a), typeof b === "string" ? b : JSON.stringify(b));
}
