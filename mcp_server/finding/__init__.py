"""Finding what a lake holds by what people call it: entities and values, tables and columns, verified queries.

words          words of names and questions, slips included
names          tables, columns and verified queries, by their words
gathering      reads entities and values of a lake that was published without an index of them
indexes        the index of a lake's entities and values: published, kept or built
filters        the condition of a statement that keeps what was found
searching      all of it in one order
empty_answers  why a statement found nothing
"""
