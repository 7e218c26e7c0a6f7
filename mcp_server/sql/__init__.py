"""Spark SQL as it is read: text → tokens → tree → names → relations, each reader above the one it needs.

Nothing here decides what may run and nothing knows an engine: the guard rules on what these modules read, a dialect
writes it in other words, and advice is given about it. Importing most of them imports sqlglot.
"""
