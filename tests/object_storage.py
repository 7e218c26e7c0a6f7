"""Object storage in processes of their own: S3's protocol by moto, and others where they are on the PATH.

    python -m tests.object_storage

Starts moto, prints its URL, and ends when its standard input does. versitygw speaks S3's protocol and, unlike moto,
checks signatures: `go install github.com/versity/versitygw/cmd/versitygw@latest`. Azurite speaks that of Azure's blobs:
`npm install azurite`, with `node_modules/.bin` on the PATH.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any

from lakehouse.manifest import Manifest, TableEntry, publish_manifest
from lakehouse.storage import Lake
from mcp_server.engines.catalog import LakeCatalog
from tests.ports import free_port

BUCKET = "lakes"
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's own, as its documentation gives them."""
AZURITE = "azurite-blob"
SIGNED = "versitygw"
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}


@contextmanager
def object_storage() -> Iterator[dict[str, str]]:
    """The variables that clients are set up with, while it runs."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.object_storage"]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield KEYS | {"AWS_ENDPOINT_URL": server.stdout.readline().strip(), "AWS_ALLOW_HTTP": "true"}
    finally:
        server.stdin.close()
        server.wait(60)
        server.stdout.close()


@contextmanager
def signed_storage() -> Iterator[dict[str, str]]:
    """The same of a server that checks signatures. Needs `versitygw` on the PATH."""
    program, port = shutil.which(SIGNED), free_port()
    assert program is not None
    variables = KEYS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ALLOW_HTTP": "true"}
    with tempfile.TemporaryDirectory() as folder:
        options = ["--port", f"127.0.0.1:{port}", "--access", KEYS["AWS_ACCESS_KEY_ID"], "--secret",
                   KEYS["AWS_SECRET_ACCESS_KEY"], "--region", KEYS["AWS_REGION"], "--quiet", "posix",
                   folder]  # fmt: skip
        with _serving([program, *options]):
            (Path(folder) / BUCKET).mkdir()
            _wait_for(port)
            yield variables


@contextmanager
def _serving(command: list[str]) -> Iterator[None]:
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        server.terminate()
        server.wait(60)


def _wait_for(port: int) -> None:
    give_up = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 5).close()
        except OSError:
            assert time.monotonic() < give_up, "the storage does not answer"
            time.sleep(0.1)
        else:
            return


@contextmanager
def azure_storage() -> Iterator[dict[str, str]]:
    """The same of Azure's blobs, in a container that is named like the bucket. Needs `azurite-blob` on the PATH."""
    program, port = shutil.which(AZURITE), free_port()
    assert program is not None
    with tempfile.TemporaryDirectory() as folder:
        options = ["--blobPort", str(port), "--location", folder, "--silent", "--skipApiVersionCheck",
                   "--disableTelemetry"]  # fmt: skip
        with _serving([program, *options]):
            _wait_for(port)
            _create_container(port)
            yield {
                "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
                "AZURE_STORAGE_ACCOUNT_KEY": ACCOUNT_KEY,
                "AZURE_STORAGE_USE_EMULATOR": "true",
                "AZURE_ALLOW_HTTP": "true",
                "AZURITE_BLOB_STORAGE_URL": f"http://127.0.0.1:{port}",
            }


def _create_container(port: int) -> None:
    """Make the container ("Authorize with Shared Key", Azure Storage REST API)."""
    date, version = formatdate(usegmt=True), "2021-08-06"
    resource = f"/{ACCOUNT}/{ACCOUNT}/{BUCKET}\nrestype:container"
    text = "PUT\n" + "\n" * 11 + f"x-ms-date:{date}\nx-ms-version:{version}\n{resource}"
    signed = base64.b64encode(hmac.digest(base64.b64decode(ACCOUNT_KEY), text.encode(), hashlib.sha256)).decode()
    headers = {"x-ms-date": date, "x-ms-version": version, "Authorization": f"SharedKey {ACCOUNT}:{signed}",
               "Content-Length": "0"}  # fmt: skip
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("PUT", f"/{ACCOUNT}/{BUCKET}?restype=container", headers=headers)
        assert connection.getresponse().status == 201


def upload_lake(folder: Path, url: str) -> Lake:
    """Copy the tables of a folder below a URL, commit after commit, and publish their newest versions there."""
    lake = Lake.parse(url)
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            lake.replace_file(str(file.relative_to(folder)), file.read_bytes())
    tables = {
        table.name: TableEntry(path=table.name, version=table.version or 0, rows=0, bytes=0, files=0, kind="table",
                               columns=table.columns)
        for table in LakeCatalog(Lake.parse(str(folder))).tables()
    }  # fmt: skip
    publish_manifest(lake, Manifest(generation=1, created_at=datetime.now(UTC), engine="test", tables=tables))
    return lake


def main() -> None:
    import logging

    import boto3
    from moto.server import ThreadedMotoServer

    logging.disable()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client: Any = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name=KEYS["AWS_REGION"],
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
    )
    client.create_bucket(Bucket=BUCKET)
    print(f"http://{host}:{port}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
