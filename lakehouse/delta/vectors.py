"""Deletion vectors: which rows of a data file a table no longer has (Delta protocol, "Deletion Vector Format").

A vector is a file `deletion_vector_UUID.bin` beside the data files, with one bitmap of row numbers in Roaring's
portable format. Only vectors of this form are read and written here; engines read all.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Rows = npt.NDArray[np.int64]

_B85 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
_Z85 = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_ENCODED_ID: Final = 20
_MAGIC: Final = 1681511377
_WITHOUT_RUNS, _WITH_RUNS = 12346, 12347
_FEW_CHUNKS: Final = 4
_ARRAY_MOST: Final = 4096
"""Chunks of 65,536 rows with more deleted rows than this are bit sets."""
_BIT_SET_BYTES: Final = 8192


class UnknownVectorError(ValueError):
    """The vector has a form that only engines read."""


def make_vector(rows: Rows) -> tuple[str, bytes, dict[str, Any]]:
    """Encode sorted row numbers. Returns the name and the bytes of the file, and the descriptor for the log."""
    bitmap = _encode_bitmap(rows)
    identity = uuid4()
    content = b"\x01" + struct.pack(">I", len(bitmap)) + bitmap + struct.pack(">I", zlib.crc32(bitmap))
    encoded = base64.b85encode(identity.bytes).translate(bytes.maketrans(_B85, _Z85)).decode()
    vector = {
        "storageType": "u",
        "pathOrInlineDv": encoded,
        "offset": 1,
        "sizeInBytes": len(bitmap),
        "cardinality": len(rows),
    }
    return _name_file(identity), content, vector


def vector_file(vector: Mapping[str, Any] | None) -> str | None:
    """The path of a vector's file below the table's folder, or None where there is no vector.

    Raises UnknownVectorError for a vector that is not a file of the table's folder.
    """
    if not vector:
        return None
    place = str(vector.get("pathOrInlineDv", ""))
    if vector.get("storageType") != "u" or len(place) < _ENCODED_ID:
        raise UnknownVectorError("a deletion vector outside of the table's folder")
    encoded = place[-_ENCODED_ID:].encode().translate(bytes.maketrans(_Z85, _B85))
    name = _name_file(UUID(bytes=base64.b85decode(encoded)))
    prefix = place[:-_ENCODED_ID]
    return f"{prefix}/{name}" if prefix else name


def read_vector(content: bytes, vector: Mapping[str, Any]) -> Rows:
    """Decode the sorted row numbers of a vector from the bytes of its file. Raises UnknownVectorError."""
    start = int(vector.get("offset") or 0) + 4
    bitmap = content[start : start + int(vector["sizeInBytes"])]
    rows = _decode_bitmap(bitmap)
    if len(rows) != vector["cardinality"]:
        raise UnknownVectorError("a deletion vector with another number of rows than its log says")
    return rows


def _name_file(identity: UUID) -> str:
    return f"deletion_vector_{identity}.bin"


def _encode_bitmap(rows: Rows) -> bytes:
    """Encode rows below 2³² as an array of one Roaring bitmap."""
    import numpy as np

    keys, starts = np.unique(rows >> 16, return_index=True)
    ends = [*starts[1:].tolist(), len(rows)]
    chunks = [
        _encode_chunk((rows[start:end] & 0xFFFF).astype("<u2"))
        for start, end in zip(starts.tolist(), ends, strict=True)
    ]
    heads = b"".join(
        struct.pack("<HH", key, end - start - 1)
        for key, start, end in zip(keys.tolist(), starts.tolist(), ends, strict=True)
    )
    first = 8 + len(heads) + 4 * len(chunks)
    offsets = np.cumsum([first, *(len(chunk) for chunk in chunks)])[:-1].astype("<u4").tobytes()
    header = struct.pack("<IQI", _MAGIC, 1, 0) + struct.pack("<II", _WITHOUT_RUNS, len(chunks))
    return header + heads + offsets + b"".join(chunks)


def _encode_chunk(low: npt.NDArray[Any]) -> bytes:
    import numpy as np

    if len(low) <= _ARRAY_MOST:
        return low.tobytes()
    bits = np.zeros(1 << 16, np.uint8)
    bits[low] = 1
    return np.packbits(bits, bitorder="little").tobytes()


def _decode_bitmap(data: bytes) -> Rows:
    import numpy as np

    magic, count = struct.unpack_from("<IQ", data)
    if magic != _MAGIC:
        raise UnknownVectorError("a deletion vector of an unknown format")
    parts: list[Any] = [np.empty(0, np.int64)]
    place = 12
    for _ in range(count):
        (high,) = struct.unpack_from("<I", data, place)
        place = _decode_chunks(data, place + 4, high << 32, parts)
    rows: Rows = np.concatenate(parts)
    return rows


def _decode_chunks(data: bytes, start: int, base: int, parts: list[Any]) -> int:
    """Append the rows of one 32-bit bitmap to `parts`. Returns the place behind it."""
    import numpy as np

    cookie: int
    count: int
    (cookie,) = struct.unpack_from("<I", data, start)
    place: int = start + 4
    runs = b""
    if cookie & 0xFFFF == _WITH_RUNS:
        count = (cookie >> 16) + 1
        runs = data[place : place + (count + 7) // 8]
        place += len(runs)
    elif cookie == _WITHOUT_RUNS:
        (count,) = struct.unpack_from("<I", data, place)
        place += 4
    else:
        raise UnknownVectorError("a deletion vector with an unknown bitmap")
    heads = [struct.unpack_from("<HH", data, place + 4 * number) for number in range(count)]
    place += 4 * count
    if not runs or count >= _FEW_CHUNKS:
        place += 4 * count  # offsets: the chunks follow each other
    for number, (key, last) in enumerate(heads):
        if runs and runs[number // 8] >> number % 8 & 1:
            (pairs,) = struct.unpack_from("<H", data, place)
            found = np.frombuffer(data, "<u2", 2 * pairs, place + 2).reshape(-1, 2).astype(np.int64)
            low = np.concatenate([np.arange(first, first + more + 1) for first, more in found])
            place += 2 + 4 * pairs
        elif last + 1 > _ARRAY_MOST:
            bits = np.frombuffer(data, np.uint8, _BIT_SET_BYTES, place)
            low = np.flatnonzero(np.unpackbits(bits, bitorder="little"))
            place += _BIT_SET_BYTES
        else:
            low = np.frombuffer(data, "<u2", last + 1, place)
            place += 2 * (last + 1)
        parts.append(low.astype(np.int64) + base + (key << 16))
    return place
