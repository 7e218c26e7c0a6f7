"""Counts the tokens of a prompt: exactly for models with a known vocabulary, else as an upper bound."""

from __future__ import annotations

import re
import warnings
from functools import cache
from typing import Any

from ai_functions.types import ModelRequest

_VOCABULARIES = (
    (re.compile(r"(?:gpt-(?:4o|4\.[1-9]|5)|o[134])\b.*"), "o200k_base"),
    (re.compile(r"gpt-(?:4|3\.5)(?:-.*)?"), "cl100k_base"),
)
"""The vocabulary of OpenAI's models by their names (tiktoken's `model.py`)."""

_FRAME_TOKENS = 16
"""What the chat format adds to two messages: 3 tokens each, a role each, 3 for the answer (OpenAI cookbook, "How to
count tokens"): 11, and some to spare."""

_UNKNOWN_FRAME_TOKENS = 64
"""The same for other models: the chat templates of open ones add a date or a preamble."""


def input_tokens(request: ModelRequest) -> int:
    """Count the input tokens of a request, never too few.

    A model of an unknown name (Azure deployments may be called anything) counts every byte of UTF-8 as a token: no
    tokenizer that falls back to bytes makes more of a text.
    """
    name = next((name for pattern, name in _VOCABULARIES if pattern.fullmatch(request.model)), None)
    if name is None:
        return _UNKNOWN_FRAME_TOKENS + len(f"{request.system}{request.user}".encode())
    encoding = _load_encoding(name)
    return _FRAME_TOKENS + sum(len(encoding.encode_ordinary(text)) for text in (request.system, request.user))


def count_tokens(text: str) -> int | None:
    """Count the tokens of a text in the vocabulary of OpenAI's models; None without the requirements of `ai`."""
    try:
        return len(_load_encoding(_VOCABULARIES[0][1]).encode_ordinary(text))
    except ImportError:
        return None


@cache
def _load_encoding(name: str) -> Any:
    with warnings.catch_warnings():
        # bpe-openai 0.1 opens its vocabulary with a function that Python 3.11 deprecates.
        warnings.simplefilter("ignore", DeprecationWarning)
        import bpe_openai  # type: ignore[import-untyped]

        return bpe_openai.get_encoding(name)
