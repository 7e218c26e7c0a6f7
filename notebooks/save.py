# Databricks notebook source
# MAGIC %md
# MAGIC # Save
# MAGIC Loads the files into the lake and publishes it: the same load as `imdb-etl load`, with the session of this notebook.

# COMMAND ----------

# MAGIC %run ./config

# COMMAND ----------

from etl.cli import print_summary
from etl.pipeline import load_lake
from etl.progress import ProgressReporter

print_summary(load_lake(source, lake, "connect", settings, ProgressReporter(), spark), lake)
