"""Which model answers how well: questions with known SQL, put to a model through the bridge, scored by their results.

    python -m evals QUESTIONS.jsonl --lake DIR --out results.jsonl

questions     the file of questions: read whole, or refused with the numbers of its bad lines
ordering      whether a statement orders its result, and by which of its columns
compare       whether a result is the gold statement's; pure
gold          the gold statements' results, from the same server as the model's
results       the file of results: a line an attempt, taken up again where a run ended
score         what one turn of the bridge comes to
run           question after question, within the budget
report        the table and the summary
cli           the program
"""
