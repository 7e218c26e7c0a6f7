"""Deletion vectors: which rows of a data file a table no longer has (Delta protocol, "Deletion Vector Format").

A vector is a file `deletion_vector_UUID.bin` beside the data files, with one bitmap of row numbers: a magic number and
Roaring's portable format of 64 bits. Only vectors of this form are read and written here; engines read all.
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
_MAGIC: Final = struct.pack("<I", 1681511377)


class UnknownVectorError(ValueError):
    """The vector has a form that only engines read."""


def make_vector(rows: Rows) -> tuple[str, bytes, dict[str, Any]]:
    """Encode sorted row numbers. Returns the name and the bytes of the file, and the descriptor for the log."""
    from pyroaring import BitMap64

    bitmap = _MAGIC + BitMap64(rows.tolist()).serialize()
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
    import numpy as np
    from pyroaring import BitMap64

    start = int(vector.get("offset") or 0) + 4
    bitmap = content[start : start + int(vector["sizeInBytes"])]
    if not bitmap.startswith(_MAGIC):
        raise UnknownVectorError("a deletion vector of an unknown format")
    try:
        rows: Rows = np.array(BitMap64.deserialize(bitmap[len(_MAGIC) :]).to_array(), np.int64)
    except ValueError as error:
        raise UnknownVectorError("a deletion vector with an unknown bitmap") from error
    if len(rows) != vector["cardinality"]:
        raise UnknownVectorError("a deletion vector with another number of rows than its log says")
    return rows


def _name_file(identity: UUID) -> str:
    return f"deletion_vector_{identity}.bin"
