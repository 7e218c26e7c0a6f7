"""The Thrift service of a SQL warehouse, as far as the connector uses it for statements."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from databricks.sql.thrift_api.TCLIService import ttypes as t

from tests.warehouse.spark import SparkBehind, spark_sentence

_OK = t.TStatus(statusCode=t.TStatusCode.SUCCESS_STATUS)
_TYPES = {
    "bool": t.TTypeId.BOOLEAN_TYPE, "int8": t.TTypeId.TINYINT_TYPE, "int16": t.TTypeId.SMALLINT_TYPE,
    "int32": t.TTypeId.INT_TYPE, "int64": t.TTypeId.BIGINT_TYPE, "float": t.TTypeId.FLOAT_TYPE,
    "double": t.TTypeId.DOUBLE_TYPE, "string": t.TTypeId.STRING_TYPE, "binary": t.TTypeId.BINARY_TYPE,
    "date32[day]": t.TTypeId.DATE_TYPE, "null": t.TTypeId.NULL_TYPE,
}  # fmt: skip


@dataclass
class Operation:
    """A statement under way, and its answer."""

    guid: bytes
    session: bytes
    statement: str
    state: int = t.TOperationState.PENDING_STATE
    table: pa.Table | None = None
    error: str = ""
    fetched: int = 0
    stop_wanted: bool = False
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def handle(self) -> t.TOperationHandle:
        return t.TOperationHandle(
            operationId=t.THandleIdentifier(guid=self.guid, secret=self.guid),
            operationType=t.TOperationType.EXECUTE_STATEMENT,
            hasResultSet=True,
        )


class Service:
    """Handles the calls. All that a test wants to look at is in its attributes."""

    def __init__(self, spark_url: str) -> None:
        self._spark_url = spark_url
        self._lock = threading.Lock()
        self.sessions: dict[bytes, SparkBehind] = {}
        self.operations: dict[bytes, Operation] = {}
        self.statements: list[str] = []
        self.configurations: list[dict[str, str]] = []
        self.opened = 0
        self.deaf_to_cancels = 0
        """So many cancels do nothing, as those that come before the statement has begun."""

    @property
    def running(self) -> list[Operation]:
        """Operations that still run in Spark."""
        return [operation for operation in list(self.operations.values()) if not operation.ended.is_set()]

    def forget_all(self) -> Callable[[], None]:
        """What a restart forgets. What is given ends the forgotten in Spark."""
        with self._lock:
            sessions, self.sessions = self.sessions, {}
            operations, self.operations = self.operations, {}

        def end() -> None:
            for operation in operations.values():
                self._stop(operation, sessions[operation.session])
            for operation in operations.values():
                operation.ended.wait(30)
            for session in sessions.values():
                session.close()

        return end

    def OpenSession(self, req: Any) -> Any:  # noqa: N802
        space = req.initialNamespace
        configuration = dict(req.configuration or {})
        self.configurations.append(dict(configuration))
        session = SparkBehind(self._spark_url, configuration, space and space.catalogName, space and space.schemaName)
        guid = uuid.uuid4().bytes
        with self._lock:
            self.sessions[guid] = session
            self.opened += 1
        return t.TOpenSessionResp(
            status=_OK,
            serverProtocolVersion=t.TProtocolVersion.SPARK_CLI_SERVICE_PROTOCOL_V7,
            sessionHandle=t.TSessionHandle(sessionId=t.THandleIdentifier(guid=guid, secret=guid)),
            canUseMultipleCatalogs=True,
            initialNamespace=space,
        )

    def CloseSession(self, req: Any) -> Any:  # noqa: N802
        guid = req.sessionHandle.sessionId.guid
        with self._lock:
            session = self.sessions.pop(guid, None)
            mine = [operation for operation in self.operations.values() if operation.session == guid]
            for operation in mine:
                del self.operations[operation.guid]
        if session is None:
            return t.TCloseSessionResp(status=_unknown("SessionHandle", guid))
        for operation in mine:
            self._stop(operation, session)
            operation.ended.wait(30)
        session.close()
        return t.TCloseSessionResp(status=_OK)

    def ExecuteStatement(self, req: Any) -> Any:  # noqa: N802
        guid = req.sessionHandle.sessionId.guid
        session = self.sessions.get(guid)
        if session is None:
            return t.TExecuteStatementResp(status=_unknown("SessionHandle", guid))
        operation = Operation(uuid.uuid4().bytes, guid, req.statement)
        with self._lock:
            self.operations[operation.guid] = operation
            self.statements.append(req.statement)
        threading.Thread(target=self._run, args=[operation, session, req.resultRowLimit], daemon=True).start()
        return t.TExecuteStatementResp(status=_OK, operationHandle=operation.handle)

    def GetOperationStatus(self, req: Any) -> Any:  # noqa: N802
        operation = self._operation(req)
        if operation is None:
            return t.TGetOperationStatusResp(status=_unknown("OperationHandle", req.operationHandle.operationId.guid))
        return t.TGetOperationStatusResp(
            status=_OK,
            operationState=operation.state,
            displayMessage=operation.error or None,
            errorMessage=f"org.apache.hive.service.cli.HiveSQLException: Error running query: {operation.error}",
        )

    def CancelOperation(self, req: Any) -> Any:  # noqa: N802
        operation = self._operation(req)
        if operation is None:
            return t.TCancelOperationResp(status=_unknown("OperationHandle", req.operationHandle.operationId.guid))
        if self.deaf_to_cancels > 0:
            self.deaf_to_cancels -= 1
        else:
            self._stop(operation, self.sessions[operation.session])
        return t.TCancelOperationResp(status=_OK)

    def CloseOperation(self, req: Any) -> Any:  # noqa: N802
        with self._lock:
            operation = self.operations.pop(req.operationHandle.operationId.guid, None)
        if operation is None:
            return t.TCloseOperationResp(status=_unknown("OperationHandle", req.operationHandle.operationId.guid))
        return t.TCloseOperationResp(status=_OK)

    def GetResultSetMetadata(self, req: Any) -> Any:  # noqa: N802
        operation = self._operation(req)
        assert operation is not None
        return _metadata(operation)

    def FetchResults(self, req: Any) -> Any:  # noqa: N802
        operation = self._operation(req)
        if operation is None or operation.table is None:
            return t.TFetchResultsResp(status=_unknown("OperationHandle", req.operationHandle.operationId.guid))
        start = operation.fetched
        part = operation.table.slice(start, req.maxRows)
        while part.nbytes > req.maxBytes and part.num_rows > 1:
            part = part.slice(0, part.num_rows // 2)
        operation.fetched += part.num_rows
        batches = [
            t.TSparkArrowBatch(batch=batch.serialize().to_pybytes(), rowCount=batch.num_rows)
            for batch in part.combine_chunks().to_batches()
        ]
        return t.TFetchResultsResp(
            status=_OK,
            hasMoreRows=operation.fetched < operation.table.num_rows,
            results=t.TRowSet(startRowOffset=start, rows=[], arrowBatches=batches),
            resultSetMetadata=_metadata(operation),
        )

    def _operation(self, req: Any) -> Operation | None:
        return self.operations.get(req.operationHandle.operationId.guid)

    def _run(self, operation: Operation, session: SparkBehind, most_rows: int | None) -> None:
        operation.state = t.TOperationState.RUNNING_STATE
        timer = threading.Timer(session.timeout or 10**6, self._stop, [operation, session])
        timer.daemon = True
        timer.start()
        try:
            operation.table = session.run(operation.statement, most_rows, operation.guid.hex())
            operation.state = t.TOperationState.FINISHED_STATE
        except Exception as error:  # noqa: BLE001  (whatever Spark says is the statement's answer)
            if operation.stop_wanted:
                operation.state = t.TOperationState.CANCELED_STATE
            else:
                operation.error = spark_sentence(error)
                operation.state = t.TOperationState.ERROR_STATE
        finally:
            timer.cancel()
            operation.ended.set()

    def _stop(self, operation: Operation, session: SparkBehind) -> None:
        if operation.stop_wanted or operation.ended.is_set():
            return
        operation.stop_wanted = True
        tag = operation.guid.hex()
        threading.Thread(target=session.interrupt, args=[tag, operation.ended], daemon=True).start()


def _unknown(what: str, guid: bytes) -> t.TStatus:
    return t.TStatus(
        statusCode=t.TStatusCode.INVALID_HANDLE_STATUS, errorMessage=f"Invalid {what}: {what} [{guid.hex()}]"
    )


def _metadata(operation: Operation) -> t.TGetResultSetMetadataResp:
    assert operation.table is not None
    schema = operation.table.schema
    return t.TGetResultSetMetadataResp(
        status=_OK,
        schema=t.TTableSchema(columns=[_column(field, position) for position, field in enumerate(schema)]),
        resultFormat=t.TSparkRowSetType.ARROW_BASED_SET,
        lz4Compressed=False,
        arrowSchema=schema.serialize().to_pybytes(),
    )


def _column(field: pa.Field, position: int) -> t.TColumnDesc:
    qualifiers = None
    if pa.types.is_decimal(field.type):
        kind = t.TTypeId.DECIMAL_TYPE
        numbers = {"precision": field.type.precision, "scale": field.type.scale}
        values = {name: t.TTypeQualifierValue(i32Value=value) for name, value in numbers.items()}
        qualifiers = t.TTypeQualifiers(qualifiers=values)
    elif pa.types.is_timestamp(field.type):
        kind = t.TTypeId.TIMESTAMP_TYPE
    elif pa.types.is_map(field.type):
        kind = t.TTypeId.MAP_TYPE
    elif pa.types.is_list(field.type):
        kind = t.TTypeId.ARRAY_TYPE
    elif pa.types.is_struct(field.type):
        kind = t.TTypeId.STRUCT_TYPE
    else:
        kind = _TYPES[str(field.type)]
    entry = t.TTypeEntry(primitiveEntry=t.TPrimitiveTypeEntry(type=kind, typeQualifiers=qualifiers))
    return t.TColumnDesc(columnName=field.name, typeDesc=t.TTypeDesc(types=[entry]), position=position + 1)
