"""All settings, described once. The only module that reads the environment.

A setting `max_rows` is `IMDB_MAX_ROWS` in the environment and `max_rows` in a TOML file named by
`IMDB_CONFIG`. The environment wins over the file, a program's flag over both. Settings that belong to
a service keep the name that the service gave them (`DATABRICKS_HOST`, `OPENAI_API_KEY`, …).
README's table is generated from this class: `python -m lakehouse.settings`.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from lakehouse.addresses import check_address
from lakehouse.errors import UsageError
from lakehouse.nearest import nearest

PREFIX = "IMDB_"
CONFIG_VARIABLE = "IMDB_CONFIG"

EngineKind = Literal["embedded", "spark", "databricks", "auto"]
"""What the setting `engine` may say."""

LoadEngine = Literal["embedded", "spark"]
"""What can load a lake."""

Runtime = Literal["embedded", "spark", "connect", "databricks"]
"""Where statements really run: `spark` is a session of this machine, `connect` somebody's Spark Connect server."""


_ADDRESSES = ("openai_base_url", "azure_openai_endpoint", "cosmos_endpoint", "download_url")


def _service(name: str, description: str) -> Any:
    """A setting that keeps a service's own variable name."""
    return Field(default=None, validation_alias=name, description=description)


class Settings(BaseSettings):
    """Every setting of every program. Sizes are in bytes and times in seconds unless a name says more."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True)

    # the lake and its engine
    lake: str | None = Field(None, description="The lake, where `--lake` is not given.")
    engine: EngineKind = Field(
        "embedded",
        description="`embedded` (no Java), `spark` (a local Spark session, or the server that `SPARK_REMOTE` names), "
        "`databricks` (a SQL warehouse), or `auto`: embedded, and a local Spark session for what that lacks.",
    )
    schema_name: str = Field("imdb", pattern=r"^[A-Za-z_]\w*$", description="Schema that the tables are served in.")
    state_dir: Path | None = Field(
        None, description="Folder for what is not the lake: audit, locks, logs. Default: the user's state folder."
    )
    engine_memory_mb: int = Field(
        4096, ge=512, description="Memory ceiling of the embedded engine's process, in MiB. A query above it ends."
    )
    engine_temp_mb: int = Field(
        16_384,
        ge=64,
        description="Temporary files that the embedded engine or a local Spark session may have at once, in MiB. A "
        "query above it ends.",
    )
    engine_isolation: Literal["auto", "required", "off"] = Field(
        "auto",
        description="Fence the engine in (Linux): it writes nothing but temporary files; the embedded one reads "
        "nothing but the lake and has a network of its own and no credentials of the lake's store. `required` "
        "refuses to start where that cannot be done, `auto` does for a lake in object storage.",
    )

    # limits of one query
    max_rows: int = Field(500, ge=1, le=100_000, description="Rows that one query may answer with.")
    max_result_bytes: int = Field(60_000, ge=1_000, description="Size of one answer's rows, as text.")
    max_cell_chars: int = Field(2_000, ge=50, description="Length of one cell, in characters.")
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

    # the server
    audit_file: Path | None = Field(None, description="The audit log. Default: `audit.jsonl` in the state folder.")
    audit_max_mb: float = Field(
        64.0, gt=0, description="Size at which the audit log is renamed to `audit.jsonl.1`, in MiB."
    )
    audit_files: int = Field(
        8,
        ge=0,
        le=1_000,
        description="Files of the audit log that are kept, the newest included; 0 renames and removes none.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("WARNING", description="Log level on stderr.")

    # AI functions; money in US dollars
    ai_model: str | None = Field(
        None, description="Model, or Azure deployment, of all AI functions. Default: what each function's file names."
    )
    ai_input_price: float | None = Field(
        None, ge=0, le=1e6, description="Price of `IMDB_AI_MODEL`, in US dollars per million input tokens."
    )
    ai_output_price: float | None = Field(
        None, ge=0, le=1e6, description="Price of `IMDB_AI_MODEL`, in US dollars per million output tokens."
    )
    ai_max_rows: int = Field(50, ge=1, le=100, description="Rows, times AI functions, of one query.")
    ai_query_budget: float = Field(
        0.25, ge=0, le=1e9, description="What one query may spend on AI functions, in US dollars."
    )
    ai_caller_hour_budget: float = Field(0.5, ge=0, le=1e9, description="What one caller may spend within an hour.")
    ai_caller_day_budget: float = Field(2.0, ge=0, le=1e9, description="What one caller may spend within a day (UTC).")
    ai_day_budget: float = Field(10.0, ge=0, le=1e9, description="What all callers may spend within a day (UTC).")
    ai_month_budget: float = Field(100.0, ge=0, le=1e9, description="What all callers may spend within a month (UTC).")
    ai_queries_per_hour: int = Field(10, ge=0, description="AI queries of one caller within an hour.")
    ai_concurrency: int = Field(8, ge=1, le=64, description="Model calls of one query that are under way at once.")
    ai_call_seconds: float = Field(30.0, gt=0, le=600, description="Time that one model call may take.")
    ai_cache_days: float | None = Field(
        None, gt=0, description="Age at which a cached answer is written anew. Default: never."
    )
    ai_webhook: SecretStr | None = Field(
        None, description="URL that is told (JSON by POST) when 50, 80 and 100 % of a budget are spent."
    )

    # who asks
    caller_key: SecretStr | None = Field(
        None,
        min_length=32,
        description="Secret of `imdb-mcp serve` and the program in front of it: callers are those whom that program "
        "vouches for with it, and no others are answered. `imdb-chat serve` makes one for the server that it starts.",
    )

    # imdb-chat; what one question may take, money in US dollars
    chat_server: str | None = Field(
        None, description="URL of an MCP server (`http://…/mcp`) for `imdb-chat`. Default: it starts one of its own."
    )
    chat_model: str | None = Field(
        None, description="Model, or Azure deployment, that plans for `imdb-chat`. Default: what its prompt file names."
    )
    chat_input_price: float | None = Field(
        None, ge=0, description="Price of `IMDB_CHAT_MODEL`, in US dollars per million input tokens."
    )
    chat_output_price: float | None = Field(
        None, ge=0, description="Price of `IMDB_CHAT_MODEL`, in US dollars per million output tokens."
    )
    chat_max_rounds: int = Field(12, ge=1, le=100, description="Calls of the model for one question.")
    chat_seconds: float = Field(180.0, gt=0, le=3_600, description="Time that one question may take.")
    chat_max_tokens: int = Field(200_000, ge=1_000, description="Tokens of one question, read and written.")
    chat_context_tokens: int = Field(
        60_000, ge=1_000, description="Tokens that one call of the model may read; beyond it old results are dropped."
    )
    chat_answer_tokens: int = Field(2_000, ge=100, description="Tokens that one call of the model may write.")
    chat_budget: float = Field(0.10, ge=0, description="What one question may spend on the model of `imdb-chat`.")

    # imdb-chat serve
    chat_questions_per_hour: int = Field(
        60, ge=0, description="Questions of one visitor of the page within an hour; SQL is not counted."
    )
    chat_requests_per_minute: int = Field(
        300, ge=1, description="Requests of one visitor, and of one address, to `imdb-chat serve` within a minute."
    )
    chat_visitors_per_hour: int = Field(30, ge=1, description="New visitors from one address within an hour.")
    chat_running_per_visitor: int = Field(2, ge=1, description="Questions of one visitor that are answered at once.")
    chat_running: int = Field(16, ge=1, description="Questions of all visitors that are answered at once.")
    chat_origins: str | None = Field(
        None,
        description="Origins of pages that lie elsewhere and may ask, separated by commas: `https://….azurestaticapps.net`.",
    )
    chat_hosts: str | None = Field(
        None, description="Names, separated by commas, under which a reverse proxy makes `imdb-chat serve` reachable."
    )
    chat_proxy: str | None = Field(
        None, description="Address of that reverse proxy: what it says of a visitor's address (X-Forwarded-For) counts."
    )

    # loading
    max_reject_percent: float = Field(
        1.0, ge=0, le=100, description="A load fails where a file has more malformed lines than this share."
    )
    download_url: str = Field(
        "https://datasets.imdbws.com", description="Where `imdb-etl download` finds IMDb's published files."
    )
    load_memory_mb: int = Field(
        768, ge=256, description="Memory for sorting and joining during an embedded load, in MiB; more goes to disk."
    )

    # what imdb-chat remembers
    chat_keep_days: float = Field(
        30.0,
        gt=0,
        le=3_650,
        description="Days after its beginning on which a conversation of `imdb-chat` is forgotten.",
    )

    # services, under the names that they gave
    databricks_host: str | None = _service("DATABRICKS_HOST", "Databricks workspace: `https://….databricks.com`.")
    databricks_http_path: str | None = _service(
        "DATABRICKS_HTTP_PATH", "SQL warehouse that statements run on: `/sql/1.0/warehouses/…`."
    )
    databricks_auth_type: str | None = _service(
        "DATABRICKS_AUTH_TYPE",
        "Which sign-in counts where several are set: `pat`, `oauth-m2m`, `azure-client-secret` or `azure-msi`.",
    )
    databricks_token: SecretStr | None = _service("DATABRICKS_TOKEN", "Sign-in `pat`: a personal access token.")
    databricks_client_id: str | None = _service(
        "DATABRICKS_CLIENT_ID", "Sign-in `oauth-m2m`: the application ID of a Databricks service principal."
    )
    databricks_client_secret: SecretStr | None = _service(
        "DATABRICKS_CLIENT_SECRET", "Sign-in `oauth-m2m`: its OAuth secret."
    )
    arm_tenant_id: str | None = _service("ARM_TENANT_ID", "Sign-in `azure-client-secret`: the Entra ID tenant.")
    arm_client_id: str | None = _service(
        "ARM_CLIENT_ID",
        "Sign-in `azure-client-secret`: the application ID of an Entra ID service principal; `azure-msi`: of a "
        "user-assigned identity.",
    )
    arm_client_secret: SecretStr | None = _service("ARM_CLIENT_SECRET", "Sign-in `azure-client-secret`: its secret.")
    arm_use_msi: bool | None = _service(
        "ARM_USE_MSI", "`true` for sign-in `azure-msi`: the managed identity of the Azure machine that this runs on."
    )
    spark_remote: SecretStr | None = _service(
        "SPARK_REMOTE", "URL of a Spark Connect server (`sc://host:port`), for `IMDB_ENGINE=spark`."
    )
    openai_api_key: SecretStr | None = _service("OPENAI_API_KEY", "OpenAI key, for AI functions and `imdb-chat`.")
    openai_base_url: str | None = _service(
        "OPENAI_BASE_URL", "A server that speaks like OpenAI's, such as `http://localhost:11434/v1` (Ollama)."
    )
    azure_openai_endpoint: str | None = _service(
        "AZURE_OPENAI_ENDPOINT", "Azure OpenAI resource: `https://….azure.com`."
    )
    azure_openai_key: SecretStr | None = _service(
        "AZURE_OPENAI_KEY", "Azure OpenAI key. Without one, the Azure identity of this process signs in."
    )
    azure_openai_deployment: str | None = _service(
        "AZURE_OPENAI_DEPLOYMENT", "Azure OpenAI deployment. Default: `IMDB_AI_MODEL`."
    )
    openai_api_version: str | None = _service("OPENAI_API_VERSION", "Azure OpenAI's API version.")
    cosmos_endpoint: str | None = _service(
        "COSMOS_ENDPOINT",
        "Azure Cosmos DB account that keeps the conversations of `imdb-chat`: `https://….documents.azure.com`. "
        "Default: a file in the state folder.",
    )
    cosmos_key: SecretStr | None = _service(
        "COSMOS_KEY", "Azure Cosmos DB key. Without one, the Azure identity of this process signs in."
    )
    cosmos_database: str = Field(
        "imdb-chat",
        validation_alias="COSMOS_DATABASE",
        description="Azure Cosmos DB database. Made where it is missing.",
    )

    @field_validator(*_ADDRESSES)
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        return None if value is None else check_address(value)

    @field_validator("ai_webhook")
    @classmethod
    def _secret_address(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else SecretStr(check_address(value.get_secret_value()))

    @field_validator("state_dir", "audit_file")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else Path(os.path.abspath(value.expanduser()))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  (no .env file is read)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        config = os.environ.get(CONFIG_VARIABLE)
        if not config:
            return init_settings, env_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, Path(config))

    @cached_property
    def state(self) -> Path:
        """The state folder, made where it is missing, readable by its owner alone."""
        folder = self.state_dir or _default_state_dir()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    @property
    def links(self) -> Path:
        """Where lakes with unusual paths are linked from (`Lake.reachable`)."""
        return self.state / "lakes"

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
    def load_engine(self) -> LoadEngine:
        """What loads a lake. Raises UsageError where the engine only answers."""
        match self.engine:
            case "auto" | "embedded":
                return "embedded"
            case "spark" if self.spark_remote is None:
                return "spark"
        raise UsageError(
            "A lake is loaded on this machine, by the embedded engine or a Spark session of its own: use --engine "
            "embedded or --engine spark, without SPARK_REMOTE."
        )

    @property
    def audit_path(self) -> Path:
        return self.audit_file or self.state / "audit.jsonl"


def load_settings(**flags: Any) -> Settings:
    """The settings of this process; a flag that is None counts as not given.

    Raises UsageError for a value that does not fit, an unknown name in the file, or an unknown
    `IMDB_` variable, which would otherwise be a misspelt setting that silently does nothing.
    """
    _reject_unknown_variables()
    config = os.environ.get(CONFIG_VARIABLE)
    if config and not Path(config).is_file():
        raise UsageError(f"{CONFIG_VARIABLE} names {config}, which is not a file. Correct it, or unset it.")
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        raise UsageError("\n".join(_explain(detail) for detail in error.errors())) from error
    except ValueError as error:  # a TOML file that is not TOML
        raise UsageError(f"{config} is not a valid TOML file: {error}") from error


def variable_name(field: str) -> str:
    """The environment variable of a setting."""
    alias = Settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else PREFIX + field.upper()


def child_environment(*, storage: bool = True) -> dict[str, str]:
    """The environment for a child process: this one's without any setting of ours, secrets among them.

    Without `storage`, nothing is in it that clients of object storage are set up with, nor a proxy.
    """
    known = {variable_name(field) for field in Settings.model_fields}
    found = {name: value for name, value in os.environ.items() if name not in known and not name.startswith(PREFIX)}
    if storage:
        return found
    return {name: value for name, value in found.items() if not _is_of_storage(name) and not _is_proxy(name)}


def storage_environment() -> dict[str, str]:
    """The variables that clients of object storage are set up with, by name in upper case; empty ones are left out."""
    return {name.upper(): value for name, value in os.environ.items() if value and _is_of_storage(name)}


def _is_of_storage(name: str) -> bool:
    return name.upper().startswith(("AWS_", "AZURE_", "AZURITE_", "GOOGLE_", "SSL_", "IDENTITY_", "MSI_"))


def _is_proxy(name: str) -> bool:
    return name.lower().endswith("_proxy")


def proxy_to(host: str) -> str | None:
    """The HTTP proxy that this machine's programs reach a host through (HTTPS_PROXY, NO_PROXY), None for none."""
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    return None if proxy_bypass(host) else proxies.get("https") or proxies.get("all") or None


def settings_table() -> str:
    """README's table of settings, as Markdown."""
    lines = ["| variable | default | what it does |", "|---|---|---|"]
    for field, info in Settings.model_fields.items():
        default = "" if info.default is None else f"`{info.default}`"
        lines.append(f"| `{variable_name(field)}` | {default} | {info.description} |")
    return "\n".join(lines)


def _default_state_dir() -> Path:
    from platformdirs import user_state_path  # imported late: 40 ms that a handshake need not wait for

    return user_state_path("imdb-lakehouse", appauthor=False)


def _reject_unknown_variables() -> None:
    known = {variable_name(field) for field in Settings.model_fields} | {CONFIG_VARIABLE}
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name.upper() not in known:
            near = nearest(name, known, most=1)
            hint = f" Did you mean {near[0]}?" if near else f" README lists the {PREFIX} settings."
            raise UsageError(f"{name} is not a setting.{hint}")


def _explain(detail: Any) -> str:
    field = str(detail["loc"][0]) if detail["loc"] else "?"
    if detail["type"] == "extra_forbidden":
        near = nearest(field, Settings.model_fields, most=1)
        return f"{field} is not a setting." + (f" Did you mean {near[0]}?" if near else "")
    name = variable_name(field) if field in Settings.model_fields else field
    shown = "" if _is_secret(field) else f" (given: {detail['input']!r})"
    return f"{name}: {detail['msg'].removeprefix('Value error, ')}{shown}."


def _is_secret(field: str) -> bool:
    """Whether a value is shown to nobody. An address may hold a password, and an unknown name may be a misspelt key."""
    info = Settings.model_fields.get(field)
    return info is None or "SecretStr" in str(info.annotation) or field in _ADDRESSES


if __name__ == "__main__":
    print(settings_table())
