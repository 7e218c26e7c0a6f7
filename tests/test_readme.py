"""README does not lie: its commands run, its table of settings is the code's, its answer is the real one."""

from __future__ import annotations

import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx2
import pytest

from lakehouse.settings import settings_table
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"<!-- (\w+) command -->\n```sh\n(.*?)\n```", README, re.DOTALL)
COMMANDS = dict(BLOCKS)
LONGEST_SECONDS = 900


def test_the_table_of_settings_is_generated_from_the_code() -> None:
    assert settings_table() in README


def test_every_page_that_is_linked_exists() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links {target}"


def test_every_command_in_the_readme_is_run_by_a_test_or_by_ci() -> None:
    fenced = re.findall(r"```sh\n(.*?)\n```", README, re.DOTALL)
    assert sorted(fenced) == sorted(command for _, command in BLOCKS)
    assert set(COMMANDS) == {"demo", "test", "use", "ai", "chat", "download", "serve", "bench"}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a stranger has: the committed and the changed files, and nothing that was built from them."""
    target = tmp_path_factory.mktemp("stranger") / "clone"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def run(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command as a stranger: no settings, no Java, no environment of this project."""
    path = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if not _has_java(Path(part)))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("IMDB_", "JAVA_", "VIRTUAL_"))}
    # The interpreter of this test run by the name that README uses.
    interpreter = folder / ".interpreter"
    interpreter.mkdir(exist_ok=True)
    with_python = interpreter / "python3"
    if not with_python.exists():
        with_python.symlink_to(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")
    # Compiling all that is installed, most of which is never imported, would be two fifths of pip's work. pip's option
    # is one that says no: off is what turns compiling off.
    kept |= {"PIP_NO_COMPILE": "off"}
    kept |= {"PATH": f"{interpreter}{os.pathsep}{path}", "IMDB_STATE_DIR": str(folder / "state")} | environment
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder, env=kept, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False,
    )  # fmt: skip


def _has_java(folder: Path) -> bool:
    # Tools of the system live beside Java in one folder there; leaving it out would leave out bash.
    return (folder / "java").exists() and not (folder / "bash").exists()


@pytest.fixture(scope="module")
def demo(clone: Path) -> subprocess.CompletedProcess[str]:
    """README's first command line, in an environment that has the embedded engine alone."""
    return run(COMMANDS["demo"], clone)


def test_the_first_command_line_sets_up_and_answers(demo: subprocess.CompletedProcess[str], clone: Path) -> None:
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "DROP starts no query" in demo.stdout
    installed = run(".venv/bin/python -m pip list --format=freeze", clone).stdout
    assert "pyspark-client==" in installed
    assert "\npyspark==" not in installed


def test_the_readme_shows_the_answer_that_the_demo_gives(demo: subprocess.CompletedProcess[str]) -> None:
    shown = re.search(r"<!-- answer -->\n```text\n(.*?)\n```", README, re.DOTALL)
    assert shown is not None
    answer = [line.strip() for line in shown[1].splitlines() if line.strip()]
    given = [line.strip() for line in demo.stdout.splitlines()]
    positions = [given.index(line) for line in answer]
    assert positions == sorted(positions)


@pytest.mark.usefixtures("demo")
def test_the_programs_do_what_the_readme_says(clone: Path) -> None:
    done = run(COMMANDS["use"], clone)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Allowed" in done.stdout


@pytest.mark.usefixtures("demo")
def test_the_cost_of_an_ai_function_is_told_without_a_call(clone: Path) -> None:
    done = run(COMMANDS["ai"].replace("--lake lake", "--lake demo-lake/lake"), clone)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"500 calls would cost at most \$0\.\d+ .*Nothing was called\.", done.stdout)


@pytest.mark.usefixtures("demo")
def test_the_download_fetches_and_loads(clone: Path, published: str) -> None:
    done = run(COMMANDS["download"], clone, IMDB_DOWNLOAD_URL=published)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "movie_cast" in done.stdout


@pytest.mark.usefixtures("demo")
def test_the_server_starts_over_http(clone: Path) -> None:
    with serving(clone, COMMANDS["serve"]) as line:
        assert "Serving on http://127.0.0.1:" in line


@pytest.mark.usefixtures("demo")
def test_one_command_starts_server_bridge_and_page_and_says_what_a_key_would_add(clone: Path) -> None:
    install, _, serve = COMMANDS["chat"].partition("\n")
    done = run(install, clone)
    assert done.returncode == 0, done.stdout + done.stderr
    with serving(clone, f"{serve.replace('--lake lake', '--lake demo-lake/lake')} --port 0") as line:
        url = line.split()[-1]
        assert httpx2.get(f"{url}api").json()["name"] == "imdb-chat"
        page = httpx2.get(url)
    assert page.headers["content-type"].startswith("text/html")
    assert "script-src 'self'" in page.headers["content-security-policy"]


@contextmanager
def serving(clone: Path, command: str) -> Iterator[str]:
    """Runs a command of README that serves; gives the line that says where."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    process = subprocess.Popen(
        ["bash", "-c", f"exec {command}"], cwd=clone, stderr=subprocess.PIPE, text=True,
        env=environment | {"IMDB_STATE_DIR": str(clone / "state")},
    )  # fmt: skip
    assert process.stderr is not None
    try:
        yield next(line for line in process.stderr if "Serving on" in line)
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stderr.close()


@pytest.mark.usefixtures("demo")
def test_the_bench_prints_its_ratios(clone: Path) -> None:
    command = (
        COMMANDS["bench"]
        .replace(".venv-test/bin/python", sys.executable)
        .replace("--lake lake", "--lake demo-lake/lake")
    )
    done = run(command, clone)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "spawn → first SQL answer" in done.stdout


@pytest.fixture
def published(clone: Path) -> Iterator[str]:
    """A stand-in for the address where IMDb publishes its files, with the demonstration's invented ones."""
    handler = partial(_QuietHandler, directory=str(clone / "demo-lake" / "source"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        return
