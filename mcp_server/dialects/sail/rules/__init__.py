"""Rules that write a typed tree in words that Sail has, with Spark's answers. Each says which difference it mends."""
