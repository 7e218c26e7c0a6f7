"""Who is asking. On stdio and on loopback that is the user of the operating system that runs the server, unless the
program in front of it vouches for others (lakehouse.callers).
"""

from __future__ import annotations

from lakehouse.system import user_name
from mcp_server.models import Principal


def os_user() -> Principal:
    """The user that the operating system runs this process as."""
    return Principal(user_name())
