"""Reads the settings of all programs, and defines the shared ones. Only this module and `environment` read variables.

A setting `max_rows` is `IMDB_MAX_ROWS` in the environment and `max_rows` in a TOML file named by
`IMDB_CONFIG`. The environment wins over the file, a program's flag over both. Settings that belong to
a service keep the name that the service gave them (`DATABRICKS_HOST`, `OPENAI_API_KEY`, …).

Each program has its own class `Settings` above the shared one: `mcp_server.settings`, `etl.settings`,
`imdb_lakehouse.bridge.settings`. One environment and one file configure all programs, so each of them reads and
validates the whole, and sees its own part: a misspelt variable is an error in every program, and a child process
inherits no setting.
README's table is generated from all of them: `python -m lakehouse.settings`.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, SecretStr, ValidationError, create_model
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from lakehouse.addresses import check_address
from lakehouse.environment import is_of_storage, is_proxy
from lakehouse.errors import UsageError
from lakehouse.nearest import nearest

PREFIX = "IMDB_"
CONFIG_VARIABLE = "IMDB_CONFIG"
PROGRAMS = ("imdb_lakehouse.bridge", "etl", "mcp_server")
"""Packages whose module `settings` has a class `Settings`. They stand above this one, so they are imported by name."""

_USUAL_ROWS = 100

EngineKind = Literal["embedded", "spark", "databricks", "auto"]
"""The values of the setting `engine`."""

Runtime = Literal["embedded", "spark", "connect", "databricks"]
"""Where statements run: `spark` is a session on this machine, `connect` a Spark Connect server."""

Address = Annotated[str, AfterValidator(check_address)]
"""An http or https address. It may hold a password, so fields of it have `repr=False`: errors do not show them."""

AbsolutePath = Annotated[Path, AfterValidator(lambda path: Path(os.path.abspath(path.expanduser())))]


def service_setting(name: str, description: str, *, shown: bool = True) -> Any:
    """A setting that keeps a service's own variable name. Where it is not `shown`, errors do not quote its value."""
    return Field(default=None, validation_alias=name, description=description, repr=shown)


class SharedSettings(BaseSettings):
    """The settings that several programs use. Sizes are in bytes and times in seconds unless a name says more."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        extra="forbid",
        frozen=True,
        env_ignore_empty=True,
        defer_build=True,  # only the class of all settings is instantiated
    )

    # the lake and its engine
    lake: str | None = Field(None, description="The lake, where `--lake` is not given.")
    engine: EngineKind = Field(
        "embedded",
        description="`embedded` (no Java), `spark` (a local Spark session, or the server that `SPARK_REMOTE` names), "
        "`databricks` (a SQL warehouse), or `auto`: embedded, and a local Spark session for what that lacks.",
    )
    spark_remote: SecretStr | None = service_setting(
        "SPARK_REMOTE", "URL of a Spark Connect server (`sc://host:port`), for `IMDB_ENGINE=spark`."
    )
    schema_name: str = Field("imdb", pattern=r"^[A-Za-z_]\w*$", description="Schema that the tables are served in.")
    state_dir: AbsolutePath | None = Field(
        None, description="Folder for what is not the lake: audit, locks, logs. Default: the user's state folder."
    )
    context_dir: AbsolutePath | None = Field(
        None,
        description="Folder of the lake's context: `context.md`, `queries.jsonl`, `lake.toml`. Default: `_context` in "
        "the lake.",
    )
    engine_isolation: Literal["auto", "required", "off"] = Field(
        "auto",
        description="Fence the engine in (Linux): it writes nothing but temporary files; the embedded one reads "
        "nothing but the lake and has a network of its own and no credentials of the lake's store. `required` "
        "refuses to start where that cannot be done, `auto` does for a lake in object storage.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("WARNING", description="Log level on stderr.")

    # the size of an answer: the server keeps it, an evaluation writes it down beside its scores
    max_rows: int = Field(500, ge=1, le=100_000, description="Rows that one query may answer with.")
    default_rows: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Rows that a query answers with where neither its LIMIT nor `row_limit` says how many. Default: "
        "100, or `IMDB_MAX_ROWS` where that is set.",
    )
    max_result_bytes: int = Field(60_000, ge=1_000, description="Size of one answer's rows, as text.")
    max_cell_chars: int = Field(2_000, ge=50, description="Length of one cell, in characters.")

    # who asks: the server and the program in front of it
    caller_key: SecretStr | None = Field(
        None,
        min_length=32,
        description="Secret of `imdb-mcp serve` and the program in front of it: callers are those whom that program "
        "vouches for with it, and no others are answered. `imdb-chat serve` makes one for the server that it starts.",
    )

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

    @property
    def usual_rows(self) -> int:
        """Rows of an answer where nobody says how many: who has set the cap has said how many are wanted."""
        if self.default_rows is not None:
            return self.default_rows
        return self.max_rows if "max_rows" in self.model_fields_set else min(_USUAL_ROWS, self.max_rows)

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


AnySettings = TypeVar("AnySettings", bound=SharedSettings)


def read_settings(kind: type[AnySettings], **flags: Any) -> AnySettings:
    """Read the settings of this process, as the program with the class `kind` sees them. A flag of None is not set.

    Raises UsageError for a value that does not fit, an unknown name in the file, or an unknown
    `IMDB_` variable, which would otherwise be a misspelt setting that silently does nothing.
    """
    _reject_unknown_variables()
    config = os.environ.get(CONFIG_VARIABLE)
    if config and not Path(config).is_file():
        raise UsageError(f"{CONFIG_VARIABLE} names {config}, which is not a file. Correct it, or unset it.")
    try:
        settings = all_settings()(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        raise UsageError("\n".join(_explain_error(detail) for detail in error.errors())) from error
    except ValueError as error:  # a TOML file that is not TOML
        raise UsageError(f"{config} is not a valid TOML file: {error}") from error
    if not isinstance(settings, kind):
        raise TypeError(f"{kind.__module__} is no settings of a package in PROGRAMS.")
    return settings


@cache
def all_settings() -> type[SharedSettings]:
    """The settings of all programs in one class, which is a subclass of each program's."""
    programs = [import_module(f"{package}.settings").Settings for package in PROGRAMS]
    return create_model("AllSettings", __base__=tuple(programs))


def variable_name(field: str) -> str:
    """The environment variable of a setting."""
    alias = all_settings().model_fields[field].validation_alias
    return alias if isinstance(alias, str) else PREFIX + field.upper()


def child_environment(*, storage: bool = True) -> dict[str, str]:
    """The environment for a child process: this one's without any setting of ours, secrets among them.

    Without `storage`, nothing is in it that clients of object storage are set up with, nor a proxy.
    """
    known = {variable_name(field) for field in all_settings().model_fields}
    found = {name: value for name, value in os.environ.items() if name not in known and not name.startswith(PREFIX)}
    if storage:
        return found
    return {name: value for name, value in found.items() if not is_of_storage(name) and not is_proxy(name)}


def shown_variables(settings: SharedSettings, *, without: Collection[str] = ()) -> tuple[dict[str, str], list[str]]:
    """Return the settings in this process's environment, by variable, and the names of those that are secret.

    Paths are absolute. `without` are fields that do not count.
    """
    shown, secret = {}, []
    there = {name.upper() for name, value in os.environ.items() if value}
    if config := os.environ.get(CONFIG_VARIABLE):
        shown[CONFIG_VARIABLE] = os.path.abspath(config)
    for field in type(settings).model_fields:
        name, value = variable_name(field), getattr(settings, field)
        if name in there and field not in without and value is not None:
            if _is_secret(field):
                secret.append(name)
            else:
                shown[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return shown, secret


def settings_table() -> str:
    """README's table of settings, as Markdown."""
    lines = ["| variable | default | what it does |", "|---|---|---|"]
    for field, info in all_settings().model_fields.items():
        default = "" if info.default is None else f"`{info.default}`"
        lines.append(f"| `{variable_name(field)}` | {default} | {info.description} |")
    return "\n".join(lines)


def _default_state_dir() -> Path:
    from platformdirs import user_state_path  # imported late: 40 ms that a handshake need not wait for

    return user_state_path("imdb-lakehouse", appauthor=False)


def _reject_unknown_variables() -> None:
    known = {variable_name(field) for field in all_settings().model_fields} | {CONFIG_VARIABLE}
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name.upper() not in known:
            near = nearest(name, known, most=1)
            hint = f" Did you mean {near[0]}?" if near else f" README lists the {PREFIX} settings."
            raise UsageError(f"{name} is not a setting.{hint}")


def _explain_error(detail: Any) -> str:
    field = str(detail["loc"][0]) if detail["loc"] else "?"
    if detail["type"] == "extra_forbidden":
        near = nearest(field, all_settings().model_fields, most=1)
        return f"{field} is not a setting." + (f" Did you mean {near[0]}?" if near else "")
    name = variable_name(field) if field in all_settings().model_fields else field
    shown = "" if _is_secret(field) else f" (given: {detail['input']!r})"
    return f"{name}: {detail['msg'].removeprefix('Value error, ')}{shown}."


def _is_secret(field: str) -> bool:
    """Whether a value is shown to nobody. An address may hold a password, and an unknown name may be a misspelt key."""
    info = all_settings().model_fields.get(field)
    return info is None or not info.repr or "SecretStr" in str(info.annotation)


if __name__ == "__main__":
    print(settings_table())
