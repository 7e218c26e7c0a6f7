"""A SQL warehouse of Databricks, through its connector in the server's own process."""
