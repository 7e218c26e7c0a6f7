// Converts a table to JSON.

/** Converts rows to one object each; columns of one name get numbers, which make no name that another column has. */
export function tableJson(columns, rows) {
  const names = nameColumns(columns);
  return JSON.stringify(rows.map((row) => Object.fromEntries(row.map((cell, at) => [names[at], cell]))), null, 1);
}

function nameColumns(columns) {
  const taken = new Set();
  for (const { name } of columns) {
    let chosen = name;
    for (let again = 2; taken.has(chosen); again += 1) chosen = `${name} (${again})`;
    taken.add(chosen);
  }
  return [...taken];
}
