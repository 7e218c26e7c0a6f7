"""What Spark's analyser refuses, in Spark's words."""

from __future__ import annotations


class SparkRefuses(Exception):  # noqa: N818  (named for what it says)
    """Spark refuses the statement: `condition` is Spark's, such as DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE.

    `at` is the sender's token, None where there is none. `message` says what to change.
    """

    def __init__(self, condition: str, message: str, at: int | None = None) -> None:
        super().__init__(f"[{condition}] {message}")
        self.condition = condition
        self.message = message
        self.at = at
