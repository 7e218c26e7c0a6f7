"""Prints the functions of both engines, for tests/data/guard/engine_functions.txt. Needs Java; takes a minute."""

from __future__ import annotations

import json
import subprocess
import sys

GRAMMAR = ("listagg", "timestampadd", "timestampdiff", "try_cast")
"""Functions that Spark's grammar knows and SHOW FUNCTIONS does not list."""

_SPARK = """
import json
from pyspark.sql import SparkSession
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
print(json.dumps([row[0] for row in spark.sql("SHOW FUNCTIONS").collect()]))
spark.stop()
"""

_SAIL = """
import json
from pysail.spark import SparkConnectServer
server = SparkConnectServer("127.0.0.1", 0)
server.start(background=True)
address, port = server.listening_address
from pyspark.sql import SparkSession
spark = SparkSession.builder.remote(f"sc://{address}:{port}").getOrCreate()
print(json.dumps([row[0] for row in spark.sql("SHOW FUNCTIONS").collect()]))
"""


def _functions(script: str) -> set[str]:
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    return set(json.loads(output.splitlines()[-1]))


def main() -> None:
    print("# The functions of the engines, one a line: Spark 4.2.0's, of which Sail 0.7.2's are a part, and those of")
    print("# Spark's grammar. Made again with:", end=" ")
    print("python -m tests.guard.engine_functions > tests/data/guard/engine_functions.txt")
    print("\n".join(sorted({*_functions(_SPARK), *_functions(_SAIL), *GRAMMAR})))


if __name__ == "__main__":
    main()
