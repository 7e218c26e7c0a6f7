"""What a server that ends owes: the model calls that it has sent, and no others."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ai_functions.ledger_file import LEDGER_NAME
from tests.openai_server import HANGING, serving
from tests.server.processes import started, until
from tests.server.test_stdio import INITIALIZE, INITIALIZED, call, send

SQL = "SELECT primaryTitle, ai_movie_summary(primaryTitle) AS about FROM movies_with_ratings ORDER BY tconst LIMIT 12"


@pytest.mark.parametrize("end", ["eof", signal.SIGTERM])
def test_calls_that_were_never_sent_are_given_back_however_a_server_ends(lake: Path, tmp_path: Path, end: Any) -> None:
    with serving(HANGING) as models:
        more = {"OPENAI_BASE_URL": models.url, "IMDB_AI_CONCURRENCY": "3", "AZURE_OPENAI_ENDPOINT": ""}
        with started("serve", "--lake", str(lake), state=tmp_path, **more) as server:
            send(server, INITIALIZE, INITIALIZED, call(2, SQL))
            until(lambda: len(models.calls) == 3, what="three calls of the model")
            if end == "eof":
                assert server.stdin is not None
                server.stdin.close()
            else:
                server.send_signal(end)
            assert server.wait(20) == 0
        assert len(models.calls) == 3
    with closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as database:
        charged, reserved = database.execute("SELECT count(*), sum(nanos = reserved) FROM calls WHERE nanos").fetchone()
        assert (charged, reserved) == (3, 3)
        assert database.execute("SELECT count(*) FROM calls").fetchone() == (12,)
