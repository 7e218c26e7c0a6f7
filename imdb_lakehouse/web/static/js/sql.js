// Splits Spark SQL into pieces for highlighting. The joined pieces equal the statement, for any input.

export const KEYWORDS = new Set(
  (
    "ALL AND ANTI ANY AS ASC BETWEEN BY CASE CAST CROSS CUBE CURRENT DESC DESCRIBE DISTINCT ELSE END ESCAPE EXCEPT " +
    "EXISTS EXPLAIN EXTRACT FALSE FETCH FILTER FIRST FOLLOWING FOR FROM FULL GROUP GROUPING HAVING ILIKE IN INNER " +
    "INTERSECT INTERVAL IS JOIN LAST LATERAL LEFT LIKE LIMIT MINUS NATURAL NOT NULL NULLS OFFSET ON OR ORDER OUTER " +
    "OVER PARTITION PIVOT PRECEDING QUALIFY RANGE REGEXP RIGHT RLIKE ROLLUP ROW ROWS SELECT SEMI SETS SHOW TABLES " +
    "TABLESAMPLE THEN TRUE UNBOUNDED UNION UNPIVOT USING VALUES VIEW WHEN WHERE WINDOW WITH"
  ).split(" "),
);

const PIECES = [
  ["comment", /--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)/y],
  ["string", /'(?:\\[\s\S]?|''|[^'\\])*(?:'|$)|"(?:\\[\s\S]?|""|[^"\\])*(?:"|$)/y],
  ["name", /`(?:``|[^`])*(?:`|$)/y],
  ["number", /(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\w*/y],
  ["word", /[\p{L}_][\p{L}\p{N}_]*/uy],
  ["space", /\s+/y],
  ["operator", /\|>|[<>=!]+|[^\s]/uy],
];

/** Splits a statement into pieces: {kind, text}. */
export function pieces(sql) {
  const found = [];
  for (let at = 0; at < sql.length; ) {
    const piece = next(sql, at);
    found.push(piece);
    at += piece.text.length;
  }
  return found;
}

function next(sql, at) {
  for (const [kind, pattern] of PIECES) {
    pattern.lastIndex = at;
    const match = pattern.exec(sql);
    if (match) return { kind: kind === "word" ? wordKind(sql, at, match[0]) : kind, text: match[0] };
  }
  return { kind: "operator", text: sql[at] };
}

function wordKind(sql, at, word) {
  if (KEYWORDS.has(word.toUpperCase())) return "keyword";
  return sql[at + word.length] === "(" ? "function" : "name";
}
