"""Addresses of catalogues: `uc://host/catalog/schema`, `onelake://workspace/item/schema`, `glue://region/database`."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from lakehouse.errors import UsageError
from lakehouse.storage import Lake

_FORMS: Final = {
    "uc": "uc://host:port/catalog, or uc://host:port/catalog/schema for one schema of it",
    "onelake": "onelake://workspace/item, or onelake://workspace/item/schema",
    "glue": "glue://region, or glue://region/database",
}
_ONELAKE: Final = "https://onelake.table.fabric.microsoft.com/delta"
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+){1,3}-[0-9]{1,2}")


@dataclass(frozen=True)
class CatalogAddress:
    """Where a catalogue is: `url` of its API without a slash at the end; for Glue `region` in its place.

    `schema` is empty where all schemas are meant. `audience` is what a token has to be for, empty for any.
    """

    kind: str
    url: str
    catalog: str
    schema: str
    region: str = ""
    audience: str = ""

    @classmethod
    def of(cls, lake: Lake) -> CatalogAddress:
        """Parse the address of a lake. Raises UsageError."""
        kind, _, rest = lake.address.partition("://")
        form = UsageError(f"--lake {lake} is no address of a catalogue. Write it as {_FORMS[kind]}.")
        try:
            parts = urlsplit(f"{kind}://{rest}")
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise form from error
        names = [unquote(name) for name in parts.path.strip("/").split("/") if name]
        if parts.username or parts.password:
            raise UsageError(
                f"--lake {kind}://…: a catalogue's token does not belong in its address. Set IMDB_CATALOG_TOKEN."
            )
        if not host or parts.query or parts.fragment or any(not name.isprintable() for name in names):
            raise form
        if kind == "glue":
            if len(names) > 1 or port or not _REGION.fullmatch(host):
                raise form
            return cls(kind, "", "", "".join(names), region=host)
        if not 1 <= len(names) <= 2:
            raise form
        catalog, schema = names[0], "".join(names[1:])
        if kind == "onelake":
            workspace = quote(unquote(rest.partition("/")[0]), safe="")  # `hostname` is in lower case
            url = f"{_ONELAKE}/{workspace}/{quote(catalog, safe='')}/api/2.1/unity-catalog"
            return cls(kind, url, catalog, schema, audience="https://storage.azure.com")
        scheme = "http" if _is_loopback(host) else "https"
        return cls(kind, f"{scheme}://{parts.netloc}/api/2.1/unity-catalog", catalog, schema)


def _is_loopback(host: str) -> bool:
    """Whether a host is this machine: only there is a token sent without encryption."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
