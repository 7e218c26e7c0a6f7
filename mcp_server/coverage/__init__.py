"""What the lake lacks, as part of answers: read once for each published state, told of a table, warned of on a result.

reading    the coverage that a load stored, and the lake's context
measures   which measures concern a statement
reach      which parts of a measure it reaches
gaps       which gaps a statement rests on
wording    sentences of shares: for warnings and for the schema
"""

from mcp_server.coverage.gaps import AnswerFacts, find_gaps
from mcp_server.coverage.reading import CoverageReader, KnownCoverage
from mcp_server.coverage.wording import describe_nulls, describe_table

__all__ = ["AnswerFacts", "CoverageReader", "KnownCoverage", "describe_nulls", "describe_table", "find_gaps"]
