// Formats values, times and costs.

const WHOLE = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const NUMERIC = /^(tinyint|smallint|int|integer|bigint|long|short|byte|float|double|real|decimal\b.*)$/i;
const COUNTED_FROM_NOTHING = /(^|_)(year|decade|id)$|Year$|Decade$|Id$/i;
const MOST_DECIMALS = 6;
const LEAST_GROUPED = 10_000; // years in columns of other names have no comma either

export function isNumeric(column) {
  return NUMERIC.test(column.type);
}

/** True if the numbers of a column are labels, such as years, not quantities. */
export function isLabel(column) {
  return COUNTED_FROM_NOTHING.test(column.name);
}

/** Returns the formatter of a column; cells of a numeric column get the same decimals, so that they align. */
export function formatterOf(column, cells) {
  if (!isNumeric(column)) return text;
  if (isLabel(column)) return text;
  const decimals = Math.max(0, ...cells.map(decimalsOf));
  const numbers = new Intl.NumberFormat("en-US", {
    minimumFractionDigits: decimals,
    maximumFractionDigits: decimals,
    useGrouping: cells.some((cell) => Math.abs(Number(cell)) >= LEAST_GROUPED),
  });
  return (cell) => number(cell, numbers);
}

/** Formats a cell. */
export function text(cell) {
  if (cell === null || cell === undefined) return "null";
  if (Array.isArray(cell) && cell.every((one) => typeof one !== "object")) return cell.join(", ");
  return typeof cell === "object" ? JSON.stringify(cell) : String(cell);
}

function number(cell, numbers) {
  if (cell === null || typeof cell === "boolean") return text(cell);
  if (typeof cell === "string" && !/^-?\d+(\.\d+)?$/.test(cell)) return cell;
  if (typeof cell === "number" && cell !== 0 && Math.abs(cell) < 10 ** -MOST_DECIMALS) return String(cell);
  return numbers.format(cell); // a number sent as text keeps every digit
}

function decimalsOf(cell) {
  const match = /^-?\d+\.(\d+)$/.exec(String(cell));
  return match ? Math.min(match[1].length, MOST_DECIMALS) : 0;
}

export function whole(count) {
  return WHOLE.format(count);
}

export function formatCount(count, one, many = `${one}s`) {
  return `${whole(count)} ${count === 1 ? one : many}`;
}

export function seconds(value) {
  if (value < 60 && Number.isInteger(value)) return `${value} s`;
  if (value < 10) return `${value.toFixed(value < 1 ? 2 : 1)} s`;
  const rounded = Math.round(value);
  return rounded < 60 ? `${rounded} s` : `${Math.floor(rounded / 60)} min ${rounded % 60} s`;
}

export function dollars(value) {
  if (value === 0) return "$0";
  if (value < 0.000001) return "less than $0.000001";
  const digits = value < 0.01 ? 1 - Math.floor(Math.log10(value)) : value < 1 ? 3 : 2;
  return `$${value.toFixed(digits)}`;
}

/** Formats a date with its time. */
export function moment(at) {
  return new Date(at * 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

/** Formats a date for a list. */
export function day(at, now = Date.now() / 1000) {
  const [then, today] = [new Date(at * 1000), new Date(now * 1000)];
  if (then.toDateString() === today.toDateString()) {
    return then.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  }
  return then.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
}
