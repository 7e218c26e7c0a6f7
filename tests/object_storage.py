"""Object storage in S3's protocol, in a process of its own.

    python -m tests.object_storage

Prints its URL, and ends when its standard input does.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

BUCKET = "lakes"
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
        server.wait(20)
        server.stdout.close()


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
