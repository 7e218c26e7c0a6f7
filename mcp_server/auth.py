"""Who is asking. On stdio and on loopback that is the user of the operating system that runs the server, unless the
program in front of it vouches for others (lakehouse.callers).
"""

from __future__ import annotations

import os
import pwd

from mcp_server.models import Principal


def os_user() -> Principal:
    """The user that the operating system runs this process as.

    Asked of the system and not of `$USER`, which is whatever somebody wrote there.
    """
    uid = os.getuid()
    try:
        return Principal(pwd.getpwuid(uid).pw_name)
    except KeyError:  # a container may run as a number that has no name
        return Principal(f"uid-{uid}")
