# Databricks notebook source
# MAGIC %md
# MAGIC # Configuration
# MAGIC The other notebooks begin with `%run ./config`. The cluster needs the package `imdb-lakehouse-mcp` as a library; it comes
# MAGIC with Spark and Delta, so no extra of the package is needed but `ai` for the enrichment.
# MAGIC
# MAGIC | widget | |
# MAGIC |---|---|
# MAGIC | `source` | folder with IMDb's files, such as a volume: all machines of the cluster read it under this path |
# MAGIC | `lake` | where the Delta tables go: a folder of that kind, or a storage URL |
# MAGIC | `state` | folder of that kind for what is temporary, and for the ledger of AI functions |

# COMMAND ----------

from pathlib import Path

from etl.settings import load_settings
from lakehouse.storage import Lake

dbutils.widgets.text("source", "/Volumes/main/imdb/files")
dbutils.widgets.text("lake", "")
dbutils.widgets.text("state", "/Volumes/main/imdb/state")

# COMMAND ----------

source = Path(dbutils.widgets.get("source"))
settings = load_settings(lake=dbutils.widgets.get("lake"), state_dir=dbutils.widgets.get("state"))
lake = Lake.parse(settings.lake)
