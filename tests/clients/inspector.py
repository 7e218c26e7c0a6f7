"""Asks a server the questions of test_clients.py through the Inspector's command line, and prints the answers.

`inspector.py NODE FOLDER {"server": …, "questions": …}`, where FOLDER has the Inspector's `node_modules`. Each question
is a run of the Inspector with a connection of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

node, folder, asked = sys.argv[1:]
server, questions = json.loads(asked)["server"], json.loads(asked)["questions"]
LAUNCHER = Path(folder) / "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
CALL = ("--method", "tools/call", "--tool-name", "execute_spark_sql", "--tool-args-json")


def list_target() -> list[str]:
    """The options that name the server."""
    if "url" in server:
        return ["--server-url", server["url"], "--transport", "http"]
    variables = [part for name, value in server["env"].items() for part in ("-e", f"{name}={value}")]
    return [*variables, "--", server["command"], *server["args"]]


def run_inspector(*options: str) -> dict[str, Any]:
    """What one run printed. It ends with 5 where a tool answers with an error, with 6 where a schema has faults."""
    command = [node, str(LAUNCHER), "--cli", "--quiet", "--format", "json", "--protocol-era", "auto", *options]
    done = subprocess.run([*command, *list_target()], capture_output=True, text=True, timeout=100, check=False)
    if done.returncode not in (0, 5):
        sys.exit(done.stderr)
    printed: dict[str, Any] = json.loads(done.stdout)["result"]
    return printed


def ask(question: str) -> dict[str, Any]:
    return run_inspector(*CALL, json.dumps(questions[question]))


tools = run_inspector("--method", "tools/list", "--strict")["tools"]
refusal, answer = ask("refused"), ask("answered")["structuredContent"]
print(
    json.dumps(
        {
            "tools": [tool["name"] for tool in tools],
            "answer": answer,
            "refusal": refusal["content"][0]["text"] if refusal["isError"] else None,
            "limited": ask("limited")["structuredContent"],
            "gave_up": None,  # it can only be killed
            "again": answer,
        }
    )
)
