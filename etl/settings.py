"""Settings of the load."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ai_functions.settings import AiSettings
from lakehouse.errors import UsageError
from lakehouse.session.connect import REMOTE
from lakehouse.settings import Address, read_settings

LoadEngine = Literal["embedded", "spark", "connect"]
"""What can load a lake; `connect` is a Spark Connect server, whose machines read the same folders as this one."""


class Settings(AiSettings):
    """The settings of `imdb-etl`."""

    max_reject_percent: float = Field(
        1.0, ge=0, le=100, description="A load fails where a file has more malformed lines than this share."
    )
    download_url: Address = Field(
        "https://datasets.imdbws.com", repr=False, description="Where `imdb-etl download` finds IMDb's published files."
    )
    load_memory_mb: int = Field(
        768,
        ge=256,
        description="The engine's memory for joins and groups during an embedded load, in MiB; more goes to disk. "
        "Sorting takes some 200 MiB beside it for each of up to four processors.",
    )

    keep_generations: int = Field(
        3,
        ge=2,
        description="Generations of a lake that are kept, with the served one: for `rollback` and old versions.",
    )
    keep_minutes: float = Field(
        10.0,
        ge=0,
        description="Time for which a generation is kept after the next one was published. Set it above "
        "IMDB_QUERY_TIMEOUT_SECONDS: queries may still read it.",
    )

    @property
    def load_engine(self) -> LoadEngine:
        """What loads a lake. Raises UsageError where the engine only answers."""
        match self.engine:
            case "auto" | "embedded":
                return "embedded"
            case "spark":
                return "spark" if self.spark_remote is None else "connect"
        raise UsageError(
            "A warehouse loads no lake: use --engine embedded, or --engine spark with a Spark of this machine or with "
            "the server that SPARK_REMOTE names."
        )


def remote_config(settings: Settings) -> dict[str, str]:
    """Return what opens a session on the server that SPARK_REMOTE names."""
    return {} if settings.spark_remote is None else {REMOTE: settings.spark_remote.get_secret_value()}


def load_settings(**flags: Any) -> Settings:
    """Read the settings of this process, as `read_settings` does."""
    return read_settings(Settings, **flags)
