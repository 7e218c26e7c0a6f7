"""Unity Catalog: the open-source server, Databricks, and OneLake, which speaks a part of the same API.

Tables come in pages of fifty, the most in the specification of the API.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from mcp_server.engines.catalogs.address import CatalogAddress
from mcp_server.engines.catalogs.asking import Asker
from mcp_server.engines.catalogs.listing import (
    MOST_LISTED,
    Access,
    CatalogError,
    CatalogTable,
    explain_format,
    tidy_comment,
)
from mcp_server.engines.catalogs.tokens import check_token, read_expiry

_PAGE: Final = "50"
_MOST_SCHEMAS: Final = 1_000
_TOKEN_CHARS: Final = 4_096
_LIST_SECONDS: Final = 120.0
"""How long a whole list may take, however many pages it has."""
_OWN_SCHEMAS: Final = frozenset({"information_schema"})
_VIEWS: Final = frozenset({"VIEW", "MATERIALIZED_VIEW", "METRIC_VIEW"})
_ONELAKE_TABLE = re.compile(r"abfss://[^/@]+@[\w-]*onelake\.dfs\.fabric\.microsoft\.com/[^?#]+")
_ONELAKE_FILES = re.compile(r"https://(onelake\.(?:dfs|blob)\.fabric\.microsoft\.com)/([^/?#]+)/([^?#]+)")


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _SchemaRecord(_Record):
    name: str


class _SchemaPage(_Record):
    schemas: list[_SchemaRecord] | None = None
    next_page_token: str | None = None


class _ColumnRecord(_Record):
    name: str
    comment: str | None = None


class _TableRecord(_Record):
    name: str
    table_type: str | None = None
    data_source_format: str | None = None
    storage_location: str | None = None
    comment: str | None = None
    table_id: str | None = None
    columns: list[_ColumnRecord] | None = None


class _TablePage(_Record):
    tables: list[_TableRecord] | None = None
    next_page_token: str | None = None


class _AwsKeys(_Record):
    access_key_id: str
    secret_access_key: str
    session_token: str | None = None


class _SasToken(_Record):
    sas_token: str


class _OauthToken(_Record):
    oauth_token: str


class _Credentials(_Record):
    aws_temp_credentials: _AwsKeys | None = None
    azure_user_delegation_sas: _SasToken | None = None
    gcp_oauth_token: _OauthToken | None = None
    expiration_time: int | None = None


_Page = TypeVar("_Page", _SchemaPage, _TablePage)


class UnityCatalog:
    """Implements `TableCatalog` over Unity Catalog's REST API. Raises UsageError for a token that OneLake refuses."""

    def __init__(self, address: CatalogAddress, shown: str, token: SecretStr | None) -> None:
        self._address = address
        self._shown = shown
        self._token = token
        check_token(token)
        self._asker = Asker(address.url, shown, token)
        if address.audience:
            read_expiry(token, address.audience)

    def list_tables(self) -> Iterator[CatalogTable]:
        """List the tables of the schema, or of all schemas."""
        left, deadline = MOST_LISTED + 1, time.monotonic() + _LIST_SECONDS
        for schema in self._list_schemas(deadline):
            about = {"catalog_name": self._address.catalog, "schema_name": schema}
            for page in self._read_pages("tables", about, _TablePage, deadline):
                for table in (page.tables or ())[:left]:
                    yield _to_catalog_table(schema, table)
                left -= len(page.tables or ())
                if left <= 0:
                    return

    def vend_access(self, table: CatalogTable) -> Access:
        """Ask for credentials that may read the files of a table and do nothing else.

        OneLake gives none: there the token that lists tables reads their files as well, and goes nowhere else.
        """
        if self._token is not None and self._address.audience:
            if _ONELAKE_TABLE.fullmatch(table.location) is None:
                raise CatalogError("it lies outside of OneLake, where its token may not go")
            return Access({"token": self._token.get_secret_value()}, self._read_expiry(self._token))
        found = self._parse(
            self._asker.post("temporary-table-credentials", {"table_id": table.id, "operation": "READ"}), _Credentials
        )
        keys: dict[str, str]
        if (aws := found.aws_temp_credentials) is not None:
            keys = {"access_key_id": aws.access_key_id, "secret_access_key": aws.secret_access_key}
            keys |= {"token": aws.session_token} if aws.session_token else {}
        elif (sas := found.azure_user_delegation_sas) is not None:
            keys = {"sas_token": sas.sas_token}
        elif (oauth := found.gcp_oauth_token) is not None:
            keys = {"token": oauth.oauth_token}
        else:
            raise CatalogError(f"The catalogue at {self._shown} gives no credentials for this storage.")
        return Access(keys, _to_moment(found.expiration_time))

    def _read_expiry(self, token: SecretStr) -> datetime:
        expires_at = read_expiry(token, self._address.audience)
        if expires_at <= datetime.now(UTC):
            raise CatalogError("The token in IMDB_CATALOG_TOKEN has expired: set another one and start again.")
        return expires_at

    def _list_schemas(self, deadline: float) -> list[str]:
        if self._address.schema:
            return [self._address.schema]
        pages = self._read_pages("schemas", {"catalog_name": self._address.catalog}, _SchemaPage, deadline)
        names = [schema.name for page in pages for schema in page.schemas or ()]
        if len(names) > _MOST_SCHEMAS:
            raise CatalogError(
                f"{self._shown} has more than {_MOST_SCHEMAS:,} schemas. Name one: --lake {self._shown}/schema."
            )
        return sorted(name for name in names if name.lower() not in _OWN_SCHEMAS)

    def _read_pages(self, what: str, about: dict[str, str], kind: type[_Page], deadline: float) -> Iterator[_Page]:
        parameters = about | {"max_results": _PAGE}
        seen: set[str] = set()
        while True:
            if time.monotonic() > deadline:
                raise CatalogError(f"The catalogue at {self._shown} took more than {_LIST_SECONDS:g} s for its list.")
            page = self._parse(self._asker.get(what, parameters), kind)
            yield page
            token = page.next_page_token
            if not token:
                return
            if token in seen or len(token) > _TOKEN_CHARS or len(seen) > MOST_LISTED:
                raise CatalogError(f"The catalogue at {self._shown} lists its {what} without an end.")
            seen.add(token)
            parameters["page_token"] = token

    def _parse(self, answer: Any, kind: type[_Kind]) -> _Kind:
        try:
            return kind.model_validate(answer)
        except ValidationError as error:
            raise CatalogError(
                f"The catalogue at {self._shown} answered otherwise than Unity Catalog does. Check its address."
            ) from error


_Kind = TypeVar("_Kind", bound=_Record)


def _to_catalog_table(schema: str, table: _TableRecord) -> CatalogTable:
    problem = explain_format(table.data_source_format)
    if (table.table_type or "").upper() in _VIEWS:
        problem = "it is a view of the catalogue, and only tables are read"
    elif not table.storage_location and not problem:
        problem = "the catalogue does not say where it lies"
    return CatalogTable(
        schema=schema,
        name=table.name,
        location=to_storage_url(table.storage_location or ""),
        problem=problem,
        id=table.table_id or "",
        comment=tidy_comment(table.comment),
        column_comments={column.name: tidy_comment(column.comment) for column in table.columns or ()},
    )


def to_storage_url(location: str) -> str:
    """Write OneLake's `https` addresses of files as clients of Azure's storage do; leave others as they are.

    >>> to_storage_url("https://onelake.dfs.fabric.microsoft.com/ws/item/Tables/dbo/t")
    'abfss://ws@onelake.dfs.fabric.microsoft.com/item/Tables/dbo/t'
    """
    found = _ONELAKE_FILES.fullmatch(location)
    return location if found is None else f"abfss://{found[2]}@{found[1].replace('.blob.', '.dfs.')}/{found[3]}"


def _to_moment(milliseconds: int | None) -> datetime | None:
    """Convert the end of credentials; a time that no calendar has counts as now, so that they are asked for again."""
    if not milliseconds:
        return None
    try:
        return max(datetime.fromtimestamp(milliseconds / 1000, UTC), datetime.fromtimestamp(0, UTC))
    except (OverflowError, OSError, ValueError):
        return datetime.now(UTC)
