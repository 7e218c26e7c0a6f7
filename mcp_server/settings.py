"""Settings of the MCP server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SecretStr

from ai_functions.settings import AiSettings
from lakehouse.machine import memory_mb
from lakehouse.places import check_places
from lakehouse.settings import AbsolutePath, Runtime, read_settings, service_setting

_LEAST_CEILING_MB = 2048
_CEILING_MB = 4096
"""The ceiling of an engine where the system does not say how much memory there is, in MiB."""


class Settings(AiSettings):
    """The settings of `imdb-mcp`. Sizes are in bytes and times in seconds unless a name says more."""

    # the engine
    engine_memory_mb: int | None = Field(
        None,
        ge=512,
        description="Memory ceiling of the embedded engine's process, and heap of a local Spark session, in MiB. A "
        "query above it ends. Default: half of what the machine or the container has, at least 2048; with `auto`, "
        "Spark's heap is half of that.",
    )
    engine_temp_mb: int = Field(
        16_384,
        ge=64,
        description="Temporary files that the embedded engine or a local Spark session may have at once, in MiB. A "
        "query above it ends.",
    )

    # a catalogue that the server asks: --lake uc://…, onelake://… or glue://…
    catalog_token: SecretStr | None = Field(
        None, description="Token for the catalogue that `--lake uc://…` or `onelake://…` names."
    )
    catalog_places: Annotated[str, AfterValidator(check_places)] | None = Field(
        None,
        description="Folders and storage URLs, with commas between them, whose tables are read with this program's own "
        "rights and credentials where a catalogue lists them. Tables elsewhere are read with the credentials that "
        "the catalogue gives, or not at all. Default: none.",
    )

    # limits of one query
    query_timeout_seconds: float = Field(
        300.0, gt=0, le=86_400, description="Time that one query may run, waiting for its turn included."
    )
    wait_seconds: float = Field(
        45.0,
        gt=0,
        le=3_600,
        description="Time that a call waits for its query; then it is answered with a handle to ask again with. Set it "
        "below your client's own limit.",
    )
    handle_minutes: float = Field(
        60.0, gt=0, le=1_440, description="Time that the result of such a query is kept after its end."
    )
    export_dir: AbsolutePath | None = Field(
        None,
        description="Folder that `export_result` writes files to, over stdio; over HTTP it gives URLs. Default: none; "
        "then that tool is not offered over stdio.",
    )
    export_rows: int = Field(
        10_000,
        ge=1,
        le=100_000,
        description="Rows of one query that are kept for paging and export where its LIMIT or `row_limit` asks for so "
        "many; else at most `IMDB_MAX_ROWS`.",
    )
    kept_mb: float = Field(
        32.0,
        ge=1,
        le=4_096,
        description="Memory for all rows that are kept for paging and export, in MiB. Of one query an eighth.",
    )
    kept_minutes: float = Field(30.0, gt=0, le=1_440, description="Time that these rows are kept after their answer.")
    max_concurrent_queries: int = Field(
        8,
        ge=1,
        le=64,
        description="Queries that run at once; others wait. Under a small memory ceiling embedded runs fewer.",
    )
    max_queries_per_caller: int = Field(
        4, ge=1, le=64, description="Queries of one caller that run at once; others of the same caller wait."
    )
    max_sql_bytes: int = Field(32_768, ge=100, description="Size of one statement, in bytes.")
    max_scan_mb: float | None = Field(
        None,
        gt=0,
        description="Size of the files that one query may need, in MiB, by the statistics of its tables. Default: any.",
    )

    # the audit log
    audit_file: AbsolutePath | None = Field(
        None, description="The audit log. Default: `audit.jsonl` in the state folder."
    )
    audit_max_mb: float = Field(
        64.0, gt=0, description="Size at which the audit log is renamed to `audit.jsonl.1`, in MiB."
    )
    audit_files: int = Field(
        8,
        ge=0,
        le=1_000,
        description="Files of the audit log that are kept, the newest included; 0 renames and removes none.",
    )

    # Databricks, under the names that it gave
    databricks_host: str | None = service_setting(
        "DATABRICKS_HOST", "Databricks workspace: `https://….databricks.com`."
    )
    databricks_http_path: str | None = service_setting(
        "DATABRICKS_HTTP_PATH", "SQL warehouse that statements run on: `/sql/1.0/warehouses/…`."
    )
    databricks_auth_type: str | None = service_setting(
        "DATABRICKS_AUTH_TYPE",
        "Which sign-in counts where several are set: `pat`, `oauth-m2m`, `azure-client-secret` or `azure-msi`.",
    )
    databricks_token: SecretStr | None = service_setting("DATABRICKS_TOKEN", "Sign-in `pat`: a personal access token.")
    databricks_client_id: str | None = service_setting(
        "DATABRICKS_CLIENT_ID", "Sign-in `oauth-m2m`: the application ID of a Databricks service principal."
    )
    databricks_client_secret: SecretStr | None = service_setting(
        "DATABRICKS_CLIENT_SECRET", "Sign-in `oauth-m2m`: its OAuth secret."
    )
    arm_tenant_id: str | None = service_setting("ARM_TENANT_ID", "Sign-in `azure-client-secret`: the Entra ID tenant.")
    arm_client_id: str | None = service_setting(
        "ARM_CLIENT_ID",
        "Sign-in `azure-client-secret`: the application ID of an Entra ID service principal; `azure-msi`: of a "
        "user-assigned identity.",
    )
    arm_client_secret: SecretStr | None = service_setting(
        "ARM_CLIENT_SECRET", "Sign-in `azure-client-secret`: its secret."
    )
    arm_use_msi: bool | None = service_setting(
        "ARM_USE_MSI", "`true` for sign-in `azure-msi`: the managed identity of the Azure machine that this runs on."
    )

    @property
    def runtimes(self) -> tuple[Runtime, ...]:
        """Where statements run, in order of preference: the next is for what the one before it lacks."""
        match self.engine:
            case "auto":
                return ("embedded", "spark")
            case "spark" if self.spark_remote is not None:
                return ("connect",)
            case "embedded" | "spark" | "databricks" as runtime:
                return (runtime,)

    @property
    def engine_ceiling_mb(self) -> int:
        """The memory in MiB that the process of the embedded engine may have."""
        if self.engine_memory_mb is not None:
            return self.engine_memory_mb
        there = memory_mb()
        return _CEILING_MB if there is None else max(there // 2, _LEAST_CEILING_MB)

    @property
    def spark_heap_mb(self) -> int:
        """The heap of a local Spark session in MiB: beside the embedded engine it has half of that one's ceiling."""
        if self.engine_memory_mb is not None or self.engine != "auto":
            return self.engine_ceiling_mb
        return self.engine_ceiling_mb // 2

    @property
    def audit_path(self) -> Path:
        return self.audit_file or self.state / "audit.jsonl"


def load_settings(**flags: Any) -> Settings:
    """Read the settings of this process, as `read_settings` does."""
    return read_settings(Settings, **flags)
