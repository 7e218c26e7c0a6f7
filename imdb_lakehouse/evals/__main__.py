from imdb_lakehouse.evals.cli import main

main()
