"""AWS Glue's Data Catalog: its databases are schemas. Signed by boto3 with the credentials of the environment.

Glue has tables of many formats, and Delta's in three shapes: as Spark registers them (the place is among the parameters
of the SerDe, and `Location` is a placeholder), as crawlers do, and with manifests for engines that read no Delta.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from lakehouse.errors import UsageError
from lakehouse.escaping import quote_briefly
from mcp_server.engines.catalogs.address import CatalogAddress
from mcp_server.engines.catalogs.listing import (
    MOST_LISTED,
    Access,
    CatalogError,
    CatalogTable,
    explain_format,
    tidy_comment,
)

_PLACEHOLDER: Final = "-__PLACEHOLDER__"
_MANIFEST: Final = "/_symlink_format_manifest"
_FORMATS: Final = ("spark.sql.sources.provider", "table_type", "classification")
_MOST_DATABASES: Final = 1_000
_SECONDS: Final = 15


class GlueCatalog:
    """Implements `TableCatalog` over Glue. Raises UsageError where boto3 is not installed."""

    def __init__(self, address: CatalogAddress, shown: str) -> None:
        try:
            from boto3.session import Session
            from botocore.config import Config
        except ImportError as error:
            raise UsageError(
                f"--lake {shown} needs boto3, which signs what Glue is asked: install the extra `glue`."
            ) from error
        self._address = address
        self._shown = shown
        times = Config(connect_timeout=_SECONDS, read_timeout=_SECONDS, retries={"total_max_attempts": 3})
        self._client: Any = Session().client("glue", region_name=address.region, config=times)

    def list_tables(self) -> Iterator[CatalogTable]:
        """List the tables of the database, or of all databases."""
        left = MOST_LISTED + 1
        databases = [self._address.schema] if self._address.schema else self._list_databases()
        for database in databases:
            for table in self._read_pages("get_tables", "TableList", DatabaseName=database):
                yield _to_catalog_table(database, table)
                left -= 1
                if left <= 0:
                    return

    def vend_access(self, table: CatalogTable) -> Access:  # noqa: ARG002  (others have some)
        """Raise CatalogError: Glue itself gives no credentials for files."""
        raise CatalogError(
            "Glue gives no credentials for files: IMDB_CATALOG_PLACES has to name the bucket or folder that it lies in"
        )

    def _list_databases(self) -> list[str]:
        names = [str(each.get("Name")) for each in self._read_pages("get_databases", "DatabaseList")]
        if len(names) > _MOST_DATABASES:
            raise CatalogError(
                f"{self._shown} has more than {_MOST_DATABASES:,} databases. Name one: --lake {self._shown}/database."
            )
        return sorted(names)

    def _read_pages(self, operation: str, what: str, **about: str) -> Iterator[Mapping[str, Any]]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            for page in self._client.get_paginator(operation).paginate(**about):
                yield from page.get(what, ())
        except ClientError as error:
            raise self._explain_refusal(error.response.get("Error", {})) from error
        except BotoCoreError as error:
            raise CatalogError(
                f"Glue ({self._shown}) cannot be asked: {type(error).__name__}. Check AWS_ACCESS_KEY_ID, "
                "AWS_SECRET_ACCESS_KEY or AWS_PROFILE, and that the region can be reached."
            ) from error

    def _explain_refusal(self, said: Mapping[str, Any]) -> CatalogError:
        code, message = str(said.get("Code")), quote_briefly(str(said.get("Message", "")))
        if code == "EntityNotFoundException":
            return CatalogError(f"Glue ({self._shown}) has no such database: {message}. Check the name in --lake.")
        if "Expired" in code:
            return CatalogError(f"The AWS credentials for {self._shown} have expired ({code}). Set new ones.")
        return CatalogError(
            f"Glue ({self._shown}) refuses to list its tables ({code}: {message}). Its user needs glue:GetDatabases "
            "and glue:GetTables."
        )


def _to_catalog_table(database: str, table: Mapping[str, Any]) -> CatalogTable:
    storage = table.get("StorageDescriptor") or {}
    parameters = table.get("Parameters") or {}
    formats = [str(parameters[name]) for name in _FORMATS if parameters.get(name)]
    is_delta = any(each.lower() == "delta" for each in formats)
    location = str((storage.get("SerdeInfo") or {}).get("Parameters", {}).get("path") or storage.get("Location") or "")
    problem = "" if is_delta else explain_format(next((each for each in formats if each != "EXTERNAL_TABLE"), None))
    if table.get("TableType") == "VIRTUAL_VIEW":
        problem = "it is a view of the catalogue, and only tables are read"
    elif not problem and (not location or location.endswith(_PLACEHOLDER)):
        problem = "the catalogue does not say where it lies"
    return CatalogTable(
        schema=database,
        name=str(table.get("Name", "")),
        location=location.removesuffix("/").removesuffix(_MANIFEST),
        problem=problem,
        comment=tidy_comment(table.get("Description")),
        column_comments={
            str(column.get("Name")): tidy_comment(column.get("Comment")) for column in storage.get("Columns") or ()
        },
    )
