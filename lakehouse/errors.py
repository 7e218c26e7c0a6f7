"""Every error that the product raises on purpose, as one tree.

    LakehouseError                  something that was foreseen; the text is for a person or a model
    ├── UsageError                  a wrong flag or setting                       exit code 2
    ├── SourceError                 an input file that cannot be loaded           exit code 1
    ├── LakeError                   no lake, half a lake, a lake in use           exit code 1
    ├── EngineUnavailable           the engine cannot start or has ended          exit code 1
    └── QueryError                  the caller can mend it: the text says how     exit code 1
        ├── Refused                 the guard said no                             exit code 3
        ├── EngineLacks             a harmless statement that this engine cannot run
        ├── QueryFailed             the engine could not run the statement
        ├── QueryTimedOut           the time limit was reached
        ├── QueryCancelled          the caller went away or asked to stop
        └── ResourceLimit           a memory, size or load limit was reached

A text says what failed, why, and what to do. It never holds a secret, a path outside the lake or a
stack trace. Whatever is not in this tree is a defect and is reported under a correlation id only.
"""

from __future__ import annotations

from typing import ClassVar


class LakehouseError(Exception):
    """A failure that was foreseen.

    `mendable` tells whether the caller of a tool can do something about it; only then does its text
    reach a model. `exit_code` is what a program ends with.
    """

    mendable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1


class UsageError(LakehouseError):
    """A flag, setting or argument that cannot be used."""

    exit_code = 2


class SourceError(LakehouseError):
    """An input file that is missing, damaged or not in IMDb's format."""


class LakeError(LakehouseError):
    """The lake is absent, half-made, damaged or being loaded by somebody else."""

    mendable = True


class EngineUnavailable(LakehouseError):
    """The engine could not be started, or ended and could not be replaced."""

    mendable = True


class QueryError(LakehouseError):
    """A query that did not give a result. `code` is stable and machine-readable.

    `lacking` is true where the engine rather than the statement may be at fault, so that another engine is worth a try.
    """

    mendable = True
    code: str = "query_failed"

    def __init__(self, message: str, *, code: str | None = None, lacking: bool = False) -> None:
        super().__init__(message)
        self.code = code or type(self).code
        self.lacking = lacking


class Refused(QueryError):
    """The guard refused the statement before any engine saw it."""

    code = "refused"
    exit_code = 3


class EngineLacks(QueryError):
    """The guard has nothing against the statement, and the engine at hand cannot run it as Spark does.

    Another engine can. The text names what is lacking and a form that works here.
    """

    code = "engine_lacks"

    def __init__(self, message: str) -> None:
        super().__init__(message, lacking=True)


class QueryFailed(QueryError):
    """The engine could not analyse or run the statement.

    `condition` and `sqlstate` are Spark's names of the error (`UNRESOLVED_COLUMN.WITH_SUGGESTION`,
    `42703`), None where the engine gave none.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        condition: str | None = None,
        sqlstate: str | None = None,
        lacking: bool = False,
    ) -> None:
        super().__init__(message, code=code, lacking=lacking)
        self.condition = condition
        self.sqlstate = sqlstate


class QueryTimedOut(QueryError):
    """The time limit was reached and the engine was told to stop."""

    code = "timed_out"


class QueryCancelled(QueryError):
    """The caller cancelled the query or went away."""

    code = "cancelled"


class ResourceLimit(QueryError):
    """A limit on memory, size or concurrent work was reached."""

    code = "resource_limit"
