"""What the measuring programs share: their options, and the machine's load beside every figure."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager


def parse_lake_options(doc: str | None, runs: int) -> argparse.Namespace:
    """Parse `--lake DIR` and `--runs N`, of which `runs` is the default."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lake", required=True)
    parser.add_argument("--runs", type=int, default=runs)
    return parser.parse_args()


@contextmanager
def printing_load() -> Iterator[None]:
    """Print the load average of the last minute before and after a measurement."""
    print(f"load average before {os.getloadavg()[0]:.2f}")
    yield
    print(f"load average after {os.getloadavg()[0]:.2f}")
