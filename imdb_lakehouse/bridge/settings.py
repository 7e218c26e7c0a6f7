"""Settings of imdb-chat."""

from __future__ import annotations

from typing import Any

from pydantic import Field, SecretStr

from ai_functions.settings import AiSettings
from lakehouse.settings import Address, read_settings, service_setting


class Settings(AiSettings):
    """The settings of `imdb-chat`. Times are in seconds unless a name says more."""

    # what one question may take, money in US dollars
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
    chat_waiting: int = Field(
        64, ge=0, description="Questions that wait while so many are answered; beyond them none is taken."
    )
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

    # what it remembers
    chat_keep_days: float = Field(
        30.0,
        gt=0,
        le=3_650,
        description="Days after its beginning on which a conversation of `imdb-chat` is forgotten.",
    )
    chat_share_days: float = Field(
        0.0,
        ge=0,
        le=365,
        description="Days for which a link to a copy of a conversation of `imdb-chat` can be opened by whoever has it. "
        "0: there are no links.",
    )
    cosmos_endpoint: Address | None = service_setting(
        "COSMOS_ENDPOINT",
        "Azure Cosmos DB account that keeps the conversations of `imdb-chat`: `https://….documents.azure.com`. "
        "Default: a file in the state folder.",
        shown=False,
    )
    cosmos_key: SecretStr | None = service_setting(
        "COSMOS_KEY", "Azure Cosmos DB key. Without one, the Azure identity of this process signs in."
    )
    cosmos_database: str = Field(
        "imdb-chat",
        validation_alias="COSMOS_DATABASE",
        description="Azure Cosmos DB database. Made where it is missing.",
    )


def load_settings(**flags: Any) -> Settings:
    """Read the settings of this process, as `read_settings` does."""
    return read_settings(Settings, **flags)
