"""Callers that a program vouches for: a name with a signature that only holders of a key can make.

`imdb-chat serve` gives each visitor of its page such a token, and passes it on with every call to the MCP server that
it started with the same key. So the server's budgets, handles and audit are each visitor's own, and nobody can take
another's name. A token never expires: it opens nothing but what its bearer made.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

META = "imdb-lakehouse/caller"
"""Where in the `_meta` of a tool call the token stands."""

_TOKEN = re.compile(r"([0-9a-f]{24})\.([0-9a-f]{64})")


class Callers:
    """Makes and reads tokens. `key` is a secret of 32 characters or more."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def new(self) -> str:
        """The token of somebody who has not been here before."""
        name = secrets.token_hex(12)
        return f"{name}.{self._sign_name(name)}"

    def name(self, token: object) -> str | None:
        """Whose token that is, None where it was not made with this key."""
        found = _TOKEN.fullmatch(token) if isinstance(token, str) else None
        if found is None or not hmac.compare_digest(self._sign_name(found[1]), found[2]):
            return None
        return f"visitor-{found[1]}"

    def _sign_name(self, name: str) -> str:
        return hmac.new(self._key, name.encode(), hashlib.sha256).hexdigest()


def kept_key(folder: Path) -> str:
    """The key of this state folder, made where there is none yet; readable by its owner alone.

    Processes that make it at once agree on one: what is written whole is linked into place, and the first link counts.
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
