"""What engines lack of Spark's SQL, said in words that they have: a package for each such engine.

A dialect never decides what may run. It is told how to have its result read again, by all rules of the guard.
"""
