# Databricks notebook source
# MAGIC %md
# MAGIC # Enrich
# MAGIC Applies an AI function to many titles, as `imdb-etl enrich` does. With 0 `dollars` it says what that would cost at most, and
# MAGIC calls nothing. The provider is configured by the environment variables of the cluster (`OPENAI_API_KEY`, …).

# COMMAND ----------

# MAGIC %run ./config

# COMMAND ----------

from etl.enrich import EnrichOrder, enrich_lake, estimate_cost, find_function
from etl.progress import ProgressReporter

dbutils.widgets.text("function", "ai_movie_summary")
dbutils.widgets.text("rows", "100")
dbutils.widgets.text("dollars", "0")

order = EnrichOrder(
    find_function(dbutils.widgets.get("function")),
    int(dbutils.widgets.get("rows")),
    float(dbutils.widgets.get("dollars")),
)

# COMMAND ----------

print(estimate_cost(order, lake, "connect", settings, spark))

# COMMAND ----------

if order.most_dollars > 0:
    enrich_lake(order, lake, "connect", settings, ProgressReporter(), spark)
