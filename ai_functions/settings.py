"""Settings of AI functions: what they may spend, and the model's provider. Money is in US dollars."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator

from lakehouse.addresses import check_address
from lakehouse.settings import Address, SharedSettings, service_setting


class AiSettings(SharedSettings):
    """The settings of programs that apply AI functions, or call a model provider."""

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
        None, gt=0, description="Age at which a cached answer is written again. Default: never."
    )
    ai_webhook: SecretStr | None = Field(
        None, description="URL that is told (JSON by POST) when 50, 80 and 100 % of a budget are spent."
    )

    # the provider, under the names that it gave
    openai_api_key: SecretStr | None = service_setting(
        "OPENAI_API_KEY", "OpenAI key, for AI functions and `imdb-chat`."
    )
    openai_base_url: Address | None = service_setting(
        "OPENAI_BASE_URL",
        "A server that speaks like OpenAI's, such as `http://localhost:11434/v1` (Ollama).",
        shown=False,
    )
    azure_openai_endpoint: Address | None = service_setting(
        "AZURE_OPENAI_ENDPOINT", "Azure OpenAI resource: `https://….azure.com`.", shown=False
    )
    azure_openai_key: SecretStr | None = service_setting(
        "AZURE_OPENAI_KEY", "Azure OpenAI key. Without one, the Azure identity of this process signs in."
    )
    azure_openai_deployment: str | None = service_setting(
        "AZURE_OPENAI_DEPLOYMENT", "Azure OpenAI deployment. Default: `IMDB_AI_MODEL`."
    )
    openai_api_version: str | None = service_setting("OPENAI_API_VERSION", "Azure OpenAI's API version.")

    @field_validator("ai_webhook")
    @classmethod
    def _secret_address(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else SecretStr(check_address(value.get_secret_value()))
