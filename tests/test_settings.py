"""Settings: one environment and one file for all programs, of which each sees its part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import etl.settings
import imdb_lakehouse.bridge.settings
import mcp_server.settings
from lakehouse.errors import UsageError
from lakehouse.settings import SharedSettings, all_settings, child_environment, variable_name

PROGRAMS = {"bridge": imdb_lakehouse.bridge.settings, "etl": etl.settings, "mcp_server": mcp_server.settings}
LOADERS = [pytest.param(module.load_settings, id=name) for name, module in PROGRAMS.items()]

Load = Callable[..., SharedSettings]


@pytest.fixture(autouse=True)
def _no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMDB_CONFIG", raising=False)


def test_every_setting_is_declared_once() -> None:
    declared = [
        field
        for kind in all_settings().__mro__
        if issubclass(kind, SharedSettings)
        for field in vars(kind).get("__annotations__", {})
        if field in all_settings().model_fields
    ]
    assert sorted(declared) == sorted(all_settings().model_fields)


@pytest.mark.parametrize("load", LOADERS)
def test_every_program_reads_the_settings_of_all(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "all.toml").write_text('chat_seconds = 60\nload_memory_mb = 512\nmax_scan_mb = 5\nlog_level = "INFO"')
    monkeypatch.setenv("IMDB_CONFIG", str(tmp_path / "all.toml"))

    assert load(log_level="ERROR").log_level == "ERROR"
    assert load().log_level == "INFO"
    assert isinstance(load(), tuple(module.Settings for module in PROGRAMS.values()))


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("IMDB_MAX_ROW", "5", "IMDB_MAX_ROW is not a setting. Did you mean IMDB_MAX_ROWS?"),
        ("IMDB_QJZ_WXK_YYQZ", "5", "IMDB_QJZ_WXK_YYQZ is not a setting. README lists the IMDB_ settings."),
        ("IMDB_CHAT_SECONDS", "0", "IMDB_CHAT_SECONDS: Input should be greater than 0 (given: '0')."),
        ("IMDB_LOAD_MEMORY_MB", "1", "IMDB_LOAD_MEMORY_MB: Input should be greater than or equal to 256 (given: '1')."),
        ("OPENAI_BASE_URL", "a:b@c", "OPENAI_BASE_URL: it has to be an address such as https://example.org or"),
        ("COSMOS_ENDPOINT", "a:b@c", "COSMOS_ENDPOINT: it has to be an address such as https://example.org or"),
        ("IMDB_DOWNLOAD_URL", "a:b@c", "IMDB_DOWNLOAD_URL: it has to be an address such as https://example.org or"),
    ],
)
@pytest.mark.parametrize("load", LOADERS)
def test_every_program_refuses_what_does_not_fit(
    load: Load, variable: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(UsageError) as refusal:
        load()

    assert str(refusal.value).startswith(says)
    assert "a:b@c" not in str(refusal.value)


@pytest.mark.parametrize("load", LOADERS)
def test_a_name_in_the_file_that_no_program_knows_is_refused(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "all.toml").write_text("chat_second = 60")
    monkeypatch.setenv("IMDB_CONFIG", str(tmp_path / "all.toml"))

    with pytest.raises(UsageError, match=r"chat_second is not a setting\. Did you mean chat_seconds\?"):
        load()


def test_a_child_process_is_given_no_setting_of_any_program(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = [variable_name(field) for field in all_settings().model_fields]
    for name in variables:
        monkeypatch.setenv(name, "secret")

    given: dict[str, Any] = child_environment()

    assert not given.keys() & set(variables)
    assert "secret" not in given.values()
