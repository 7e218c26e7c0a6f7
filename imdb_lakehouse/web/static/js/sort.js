// Sorts rows by a column.

import { isNumeric } from "./format.js";

const WORDS = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

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
  if (isWhole(a) && isWhole(b)) {
    const [one, other] = [BigInt(a), BigInt(b)];
    return one < other ? -1 : Number(one > other);
  }
  const [one, other] = [Number(a), Number(b)];
  if (Number.isNaN(one) || Number.isNaN(other)) return Number(Number.isNaN(one)) - Number(Number.isNaN(other));
  return one < other ? -1 : Number(one > other);
}

/** True for a whole number with more digits than a double can hold. */
function isWhole(cell) {
  return typeof cell === "string" && /^-?\d+$/.test(cell);
}

function compareTexts(a, b) {
  return WORDS.compare(typeof a === "string" ? a : JSON.stringify(a), typeof b === "string" ? b : JSON.stringify(b));
}
