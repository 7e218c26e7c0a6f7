"""The Spark engine over Spark Connect: a remote server at the URL in SPARK_REMOTE.

The child process holds only the client: it needs no Java, and it connects with the first query. The server
reads the lake, either as a directory or storage URL that it can access, or as a `catalog.schema` of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from urllib.parse import parse_qsl, urlsplit

from lakehouse.breaker import Breaker
from lakehouse.errors import EngineUnavailable, QueryFailed, UsageError
from lakehouse.storage import Lake, LakeKind
from mcp_server.engines.call import EngineCall
from mcp_server.engines.catalog import LakeCatalog
from mcp_server.engines.hiding import hide_addresses
from mcp_server.engines.local import EngineSpec, LocalEngine
from mcp_server.engines.local.verdicts import DeniedError, UnreachableError
from mcp_server.engines.remote.catalog import RemoteCatalog, RunOwn
from mcp_server.engines.remote.listing import LISTING_ROWS, listing_caps
from mcp_server.engines.wire import Frame
from mcp_server.models import Caps, CheckedQuery, ResultSet, TableInfo
from mcp_server.settings import Settings

_PORT = 15002
"""Spark Connect's own, where the URL names none."""
_FORM = "Write it as sc://host:15002, or with parameters as sc://host:443/;use_ssl=true;token=…"


class ConnectEngine(LocalEngine):
    """Needs the extra `spark` or `embedded`. Raises UsageError where SPARK_REMOTE is no URL of such a server.

    A lake in a directory or storage is registered in the server's catalogue, provided that the catalogue is in memory;
    for a lake that is a `catalog.schema` nothing is registered, and its tables are read once.
    """

    def __init__(self, lake: Lake, settings: Settings, *, breaker: Breaker | None = None) -> None:
        url = settings.spark_remote.get_secret_value() if settings.spark_remote is not None else ""
        address, token = read_url(url)
        self._server = f"The Spark Connect server at {address} (SPARK_REMOTE)"
        self._breaker = breaker or Breaker(self._server)
        is_given = lake.kind is LakeKind.CATALOG and not lake.is_asked
        self._given = _GivenTables(lake, self._run_own) if is_given else None
        super().__init__(
            EngineSpec(
                kind="connect",
                config={"remote": url},
                environment={},
                memory_mb=None,
                ceiling_mb=None,
                isolation="off",  # it has to reach the server
                start_seconds=60,
                stop_seconds=5,
                plain_paths=False,
                reads_lake_only=False,
                caches=(),
                catalog="server" if self._given is None else "given",
                queries=settings.max_concurrent_queries,
                parting_seconds=6,
                secret=token,
            ),
            self._given or LakeCatalog(lake, plain_names=True),
            settings,
            facts=self._given.known if self._given is not None else None,
        )
        if self._given is not None:
            self.schema = lake.address

    def execute(self, query: CheckedQuery, query_id: str, caps: Caps | None = None) -> ResultSet:
        """Run a checked query until it ends, reaches its deadline or is cancelled."""
        with self._given.known.forget_on_contradiction() if self._given is not None else nullcontext():
            return super().execute(query, query_id, caps)

    def _perform_call(self, call: EngineCall) -> Frame:
        try:
            with self._breaker.attempt(UnreachableError):
                return super()._perform_call(call)
        except UnreachableError as error:
            raise EngineUnavailable(
                f"{self._server} cannot be reached or has gone away: {_close_sentence(error)} Check that it runs and "
                "that its address is right, then ask again: the next query connects again."
            ) from error
        except DeniedError as error:
            raise EngineUnavailable(
                f"{self._server} does not let this server in: {_close_sentence(error)} Check the token and what its "
                "user may do."
            ) from error
        except QueryFailed as error:
            raise QueryFailed(
                hide_addresses(str(error)), code=error.code, condition=error.condition, sqlstate=error.sqlstate
            ) from error

    def _run_own(self, sql: str) -> ResultSet:
        """Run a statement of the server's own."""
        within = (listing_caps().payload_bytes, listing_caps().cell_chars)
        fields = {"sql": sql, "fetch": LISTING_ROWS, "caps": within, "extra": (0, 0), "tables": {}, "edition": 0}
        return self._fetch_rows(EngineCall.from_own(fields, self.settings.query_timeout_seconds))


class _GivenTables:
    """The tables of a schema of the server, whose locations are not needed."""

    edition = 0

    def __init__(self, lake: Lake, run: RunOwn) -> None:
        self.lake = lake
        self.known = RemoteCatalog(lake.address, run)

    def tables(self) -> tuple[TableInfo, ...]:
        return self.known.tables()

    def refresh(self) -> tuple[TableInfo, ...]:
        return self.known.refresh()

    def locations(self, names: Iterable[str] | None = None) -> dict[str, str]:  # noqa: ARG002
        return {}

    def registrations(self, names: Iterable[str] | None = None) -> dict[str, str]:
        return self.locations(names)


def _close_sentence(error: Exception) -> str:
    return f"{str(error).rstrip('.')}."


def read_url(url: str) -> tuple[str, str]:
    """Return the address and the token of a Spark Connect URL. Raises UsageError, which never shows the token."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORT
    except ValueError as error:
        raise UsageError(f"SPARK_REMOTE has a host or port that cannot be read. {_FORM}") from error
    path, _, parameters = parts.path.partition(";")
    if parts.scheme != "sc" or not parts.hostname or path not in {"", "/"} or parts.query or parts.fragment:
        raise UsageError(f"SPARK_REMOTE is no URL of a Spark Connect server. {_FORM}")
    if any("=" not in each for each in parameters.split(";") if each):
        raise UsageError(f"SPARK_REMOTE has a parameter that is no name=value. {_FORM}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{port}", dict(parse_qsl(parameters, separator=";")).get("token", "")
