"""Which model plans, and at what price."""

from __future__ import annotations

from typing import Any

import pytest

from ai_functions.types import AiUnavailable
from imdb_lakehouse.bridge.model import ChatRequest, open_model
from imdb_lakehouse.bridge.settings import load_settings

ASKED = ChatRequest([{"role": "user", "content": "How many titles?"}], ())


def test_the_model_of_the_prompt_file_has_its_price_there() -> None:
    model = open_model(load_settings(OPENAI_API_KEY="sk-1", chat_answer_tokens=1_000))
    usage, nanos = model.compute_maximum(ASKED)
    model.close()
    assert model.name == "gpt-4.1-mini"
    assert usage.output_tokens == 1_000
    assert nanos == usage.input_tokens * 400 + 1_000 * 1_600


def test_a_model_of_ones_own_may_cost_nothing() -> None:
    settings = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "chat_model": "own"}
    model = open_model(load_settings(chat_input_price=0, chat_output_price=0, **settings))
    model.close()
    assert model.compute_maximum(ASKED)[1] == 0


@pytest.mark.parametrize(
    "given",
    [
        {"OPENAI_API_KEY": "sk-1", "chat_model": "gpt-unheard-of"},
        {"OPENAI_API_KEY": "sk-1", "chat_input_price": 1.0},
        {"AZURE_OPENAI_ENDPOINT": "https://x.azure.com", "AZURE_OPENAI_KEY": "k", "AZURE_OPENAI_DEPLOYMENT": "mine"},
        {"AZURE_OPENAI_ENDPOINT": "https://x.azure.com", "AZURE_OPENAI_KEY": "k"},
    ],
)
def test_a_model_without_a_price_cannot_be_called(given: dict[str, Any]) -> None:
    with pytest.raises(AiUnavailable, match=r"its price is not set\. Set IMDB_CHAT_INPUT_PRICE"):
        open_model(load_settings(**given))
