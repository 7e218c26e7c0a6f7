"""Catalogues that the server itself asks which tables there are and where each lies (docs/catalogs.md).

A module for each kind: `unity` (Unity Catalog, Databricks, OneLake), `glue` (AWS). The engine's process sees neither
the catalogue nor its credentials: it gets the files of the listed tables from this process, as those of a lake in
object storage, and reads the tables' own Delta logs.
"""

from mcp_server.engines.catalogs.tables import open_tables

__all__ = ["open_tables"]
