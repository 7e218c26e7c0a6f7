// Converts a table to JSON.

/** Converts rows to one object each; columns of one name get numbers. */
export function tableJson(columns, rows) {
  const names = columns.map(({ name }, at) => {
    const before = columns.slice(0, at).filter((column) => column.name === name).length;
    return before === 0 ? name : `${name} (${before + 1})`;
  });
  return JSON.stringify(rows.map((row) => Object.fromEntries(row.map((cell, at) => [names[at], cell]))), null, 1);
}
