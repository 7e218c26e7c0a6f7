"""Scores a model: asks it questions with gold SQL through the bridge, and compares the results.

    python -m imdb_lakehouse.evals QUESTIONS.jsonl --lake DIR --out results.jsonl

questions     reads the file of questions, or rejects it with the numbers of its bad lines
ordering      finds the outermost ORDER BY of a statement and the columns it orders by
compare       compares a result with the gold result; pure
gold          fetches the gold results, from the same server as the model's
results       file of results: one line per attempt; an interrupted run resumes
score         scores one turn of the bridge
run           runs the questions within the budget
report        table and summary
cli           the program
"""
