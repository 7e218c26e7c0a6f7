# Databricks notebook source
# MAGIC %md
# MAGIC # Read
# MAGIC What the source files hold, as typed columns, and what differs from IMDb's files. Nothing is written.

# COMMAND ----------

# MAGIC %run ./config

# COMMAND ----------

from etl.header import find_sources
from etl.transform import read_lines, select_typed

for found in find_sources(source)[0]:
    lines = read_lines(spark, str(found.path), found.header, found.dataset)
    print(found.dataset.table, *found.list_notes())
    select_typed(lines, found.dataset).show(5)
