"""What Sail lacks of Spark's SQL: a statement in other words that gives the same answer, or EngineLacks."""
