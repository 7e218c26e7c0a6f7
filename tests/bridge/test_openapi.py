"""The OpenAPI document is true: whatever is sent that it allows or forbids, the answer is one that it names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx2

from tests.bridge.rest import site
from tests.bridge.scripts import said
from tests.openai_server import OpenAiServer

# Cancelling an operation is its DELETE, and what it came to can still be read.
MEANT = "use_after_free"

# 412 is what If-Match is for: a request that fits the document may still come too late. The others are the defaults.
STATUSES = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "401", "403", "404", "409", "412", "429", "5xx"]
"""


def test_whatever_is_sent_is_answered_as_the_document_says(lake: Path, tmp_path: Path, provider: OpenAiServer) -> None:
    provider.usual = said("Yes.")
    (tmp_path / "schemathesis.toml").write_text(STATUSES)
    limits = {
        "IMDB_CHAT_VISITORS_PER_HOUR": "1000000", "IMDB_CHAT_REQUESTS_PER_MINUTE": "1000000",
        "IMDB_CHAT_RUNNING": "1000", "IMDB_CHAT_RUNNING_PER_VISITOR": "1000", "IMDB_CHAT_QUESTIONS_PER_HOUR": "100000",
    }  # fmt: skip
    with site(lake, tmp_path / "state", provider, IMDB_CHAT_SHARE_DAYS="7", **limits) as found:
        visitor = found.visitor()
        run = subprocess.run(
            [
                sys.executable, "-m", "schemathesis.cli", "run", f"{found.url}/api/openapi.json",
                "--header", f"Authorization: Bearer {visitor.token}", "--exclude-checks", MEANT,
                "--seed", "1", "--max-examples", "8", "--phases", "coverage,fuzzing,stateful", "--no-color",
            ],
            cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
    assert run.returncode == 0, run.stdout[run.stdout.find("= FAILURES =") :] + run.stderr[-1_000:]


def test_every_address_says_which_errors_it_answers_with(lake: Path, tmp_path: Path) -> None:
    with site(lake, tmp_path) as found:
        document = httpx2.get(f"{found.url}/api/openapi.json").json()
        wrong = httpx2.put(f"{found.url}/api/conversations")
        nothing = httpx2.get(f"{found.url}/api/nothing")
        page = httpx2.post(f"{found.url}/")
    operations = {
        (method, path): one["responses"] for path, ways in document["paths"].items() for method, one in ways.items()
    }
    assert len(operations) == 21
    for responses in operations.values():
        errors = [one for status, one in responses.items() if status >= "400"]
        assert errors
        assert all([*one["content"]] == ["application/problem+json"] for one in errors)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, POST")
    assert (page.status_code, page.headers["allow"]) == (405, "GET, HEAD")
    assert nothing.status_code == 404
    assert "openapi.json" in nothing.json()["detail"]
