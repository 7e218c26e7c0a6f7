"""Signed caller tokens: a name with a signature that only holders of the key can make.

`imdb-chat serve` gives each visitor of its page such a token, and passes it on with every call to the MCP server that
it started with the same key. So budgets, handles and audit are per visitor, and no visitor can use another's name. A
token never expires: it gives access to nothing but what its bearer made.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

META = "imdb-lakehouse/caller"
"""The key of the token in the `_meta` of a tool call."""

_TOKEN = re.compile(r"([0-9a-f]{24})\.([0-9a-f]{64})")


class Callers:
    """Makes and reads tokens. `key` is a secret of 32 characters or more."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def new(self) -> str:
        """Make a token for a new visitor."""
        name = secrets.token_hex(12)
        return f"{name}.{self._sign_name(name)}"

    def name(self, token: object) -> str | None:
        """The caller's name in a token, or None where it was not made with this key."""
        found = _TOKEN.fullmatch(token) if isinstance(token, str) else None
        if found is None or not hmac.compare_digest(self._sign_name(found[1]), found[2]):
            return None
        return f"visitor-{found[1]}"

    def _sign_name(self, name: str) -> str:
        return hmac.new(self._key, name.encode(), hashlib.sha256).hexdigest()


def kept_key(folder: Path) -> str:
    """Read the key of a state folder, and create it where there is none; readable by its owner alone.

    Processes that create it at the same time agree on one: a whole file is linked into place, and the first link wins.
    """
    path = folder / "callers.key"
    while not path.exists():
        draft = folder / f".callers.{secrets.token_hex(8)}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # another process was faster
        finally:
            draft.unlink()
    return path.read_text(encoding="ascii")
