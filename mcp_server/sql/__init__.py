"""Reads Spark SQL: text → tokens → tree → names → relations. Each module uses only those below it.

These modules hold no policy and know no engine. The guard rules on what they read, a dialect rewrites it, and advice
looks at it. A statement that cannot be read in exactly one way is refused here. Most modules import sqlglot.
"""
