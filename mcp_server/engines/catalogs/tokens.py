"""Reads what a token of Entra ID says of itself, to say at once what is wrong with it. OneLake checks its signature."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from lakehouse.errors import UsageError
from lakehouse.escaping import quote_briefly

_TOKEN = re.compile(r"[!-~]+")


class _Claims(BaseModel):
    model_config = ConfigDict(extra="ignore")

    aud: str
    exp: int


def check_token(token: SecretStr | None) -> None:
    """Raise UsageError, without its text, where a token has a character that no header of HTTP may have."""
    if token is not None and _TOKEN.fullmatch(token.get_secret_value()) is None:
        raise UsageError(
            "IMDB_CATALOG_TOKEN has a character that no token has, such as a blank or the end of a line. Set it again."
        )


def read_expiry(token: SecretStr | None, audience: str) -> datetime:
    """Return when a token ends. Raises UsageError, without its text, where it is none or is for something else."""
    wanted = f"OneLake wants a token of Entra ID for {audience}/ in IMDB_CATALOG_TOKEN"
    if token is None:
        raise UsageError(f"{wanted}, and it is not set.")
    try:
        payload = token.get_secret_value().split(".")[1]
        claims = _Claims.model_validate(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))
        expires_at = datetime.fromtimestamp(claims.exp, UTC)
    except (IndexError, ValueError, ValidationError, OverflowError, OSError) as error:
        raise UsageError(f"{wanted}, and the one there cannot be read.") from error
    if claims.aud.rstrip("/") != audience:
        raise UsageError(f"{wanted}, and the one there is for {quote_briefly(claims.aud)}.")
    return expires_at
