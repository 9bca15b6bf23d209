from google.api import annotations_pb2 as _annotations_pb2
from kith.v1 import features_pb2 as _features_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RecordKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RECORD_KIND_UNSPECIFIED: _ClassVar[RecordKind]
    RECORD_KIND_PRODUCT: _ClassVar[RecordKind]
    RECORD_KIND_USER: _ClassVar[RecordKind]
    RECORD_KIND_JOINED: _ClassVar[RecordKind]
RECORD_KIND_UNSPECIFIED: RecordKind
RECORD_KIND_PRODUCT: RecordKind
RECORD_KIND_USER: RecordKind
RECORD_KIND_JOINED: RecordKind

class TextList(_message.Message):
    __slots__ = ("texts",)
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    texts: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, texts: _Optional[_Iterable[str]] = ...) -> None: ...

class Attribute(_message.Message):
    __slots__ = ("name", "text", "number", "truth", "time_unix_ms", "texts")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TRUTH_FIELD_NUMBER: _ClassVar[int]
    TIME_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    text: str
    number: float
    truth: bool
    time_unix_ms: int
    texts: TextList
    def __init__(self, name: _Optional[str] = ..., text: _Optional[str] = ..., number: _Optional[float] = ..., truth: bool = ..., time_unix_ms: _Optional[int] = ..., texts: _Optional[_Union[TextList, _Mapping]] = ...) -> None: ...

class Record(_message.Message):
    __slots__ = ("key", "version", "deleted", "attributes", "places")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    PLACES_FIELD_NUMBER: _ClassVar[int]
    key: str
    version: int
    deleted: bool
    attributes: _containers.RepeatedCompositeFieldContainer[Attribute]
    places: bytes
    def __init__(self, key: _Optional[str] = ..., version: _Optional[int] = ..., deleted: bool = ..., attributes: _Optional[_Iterable[_Union[Attribute, _Mapping]]] = ..., places: _Optional[bytes] = ...) -> None: ...

class PutRecordsRequest(_message.Message):
    __slots__ = ("kind", "records")
    KIND_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    kind: RecordKind
    records: _containers.RepeatedCompositeFieldContainer[Record]
    def __init__(self, kind: _Optional[_Union[RecordKind, str]] = ..., records: _Optional[_Iterable[_Union[Record, _Mapping]]] = ...) -> None: ...

class PutRecordsResponse(_message.Message):
    __slots__ = ("changed", "unchanged", "erased", "rejected", "rejections")
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    ERASED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    REJECTIONS_FIELD_NUMBER: _ClassVar[int]
    changed: int
    unchanged: int
    erased: int
    rejected: int
    rejections: _containers.RepeatedCompositeFieldContainer[RejectedRecord]
    def __init__(self, changed: _Optional[int] = ..., unchanged: _Optional[int] = ..., erased: _Optional[int] = ..., rejected: _Optional[int] = ..., rejections: _Optional[_Iterable[_Union[RejectedRecord, _Mapping]]] = ...) -> None: ...

class RejectedRecord(_message.Message):
    __slots__ = ("index", "detail")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    index: int
    detail: str
    def __init__(self, index: _Optional[int] = ..., detail: _Optional[str] = ...) -> None: ...

class GetRecordsRequest(_message.Message):
    __slots__ = ("kind", "keys", "stale")
    KIND_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    kind: RecordKind
    keys: _containers.RepeatedScalarFieldContainer[str]
    stale: bool
    def __init__(self, kind: _Optional[_Union[RecordKind, str]] = ..., keys: _Optional[_Iterable[str]] = ..., stale: bool = ...) -> None: ...

class GetRecordsResponse(_message.Message):
    __slots__ = ("records",)
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[Record]
    def __init__(self, records: _Optional[_Iterable[_Union[Record, _Mapping]]] = ...) -> None: ...

class ListRecordsRequest(_message.Message):
    __slots__ = ("kind", "partition", "after_key", "n", "stale")
    KIND_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    AFTER_KEY_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    kind: RecordKind
    partition: int
    after_key: str
    n: int
    stale: bool
    def __init__(self, kind: _Optional[_Union[RecordKind, str]] = ..., partition: _Optional[int] = ..., after_key: _Optional[str] = ..., n: _Optional[int] = ..., stale: bool = ...) -> None: ...

class ListRecordsResponse(_message.Message):
    __slots__ = ("records", "after_key", "partitions")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    AFTER_KEY_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[Record]
    after_key: str
    partitions: int
    def __init__(self, records: _Optional[_Iterable[_Union[Record, _Mapping]]] = ..., after_key: _Optional[str] = ..., partitions: _Optional[int] = ...) -> None: ...

class DeleteRecordsRequest(_message.Message):
    __slots__ = ("kind", "keys", "version")
    KIND_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    kind: RecordKind
    keys: _containers.RepeatedScalarFieldContainer[str]
    version: int
    def __init__(self, kind: _Optional[_Union[RecordKind, str]] = ..., keys: _Optional[_Iterable[str]] = ..., version: _Optional[int] = ...) -> None: ...

class DeleteRecordsResponse(_message.Message):
    __slots__ = ("deleted", "unchanged")
    DELETED_FIELD_NUMBER: _ClassVar[int]
    UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    deleted: int
    unchanged: int
    def __init__(self, deleted: _Optional[int] = ..., unchanged: _Optional[int] = ...) -> None: ...

class GetRecordRequest(_message.Message):
    __slots__ = ("kind", "key", "stale")
    KIND_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    kind: RecordKind
    key: str
    stale: bool
    def __init__(self, kind: _Optional[_Union[RecordKind, str]] = ..., key: _Optional[str] = ..., stale: bool = ...) -> None: ...

class GetRecordResponse(_message.Message):
    __slots__ = ("record",)
    RECORD_FIELD_NUMBER: _ClassVar[int]
    record: Record
    def __init__(self, record: _Optional[_Union[Record, _Mapping]] = ...) -> None: ...

class PutRecordRequest(_message.Message):
    __slots__ = ("kind", "record")
    KIND_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    kind: RecordKind
    record: Record
    def __init__(self, kind: _Optional[_Union[RecordKind, str]] = ..., record: _Optional[_Union[Record, _Mapping]] = ...) -> None: ...

class PutRecordResponse(_message.Message):
    __slots__ = ("changed", "erased")
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    ERASED_FIELD_NUMBER: _ClassVar[int]
    changed: bool
    erased: bool
    def __init__(self, changed: bool = ..., erased: bool = ...) -> None: ...

class DeleteRecordRequest(_message.Message):
    __slots__ = ("kind", "key", "version")
    KIND_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    kind: RecordKind
    key: str
    version: int
    def __init__(self, kind: _Optional[_Union[RecordKind, str]] = ..., key: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class DeleteRecordResponse(_message.Message):
    __slots__ = ("deleted",)
    DELETED_FIELD_NUMBER: _ClassVar[int]
    deleted: bool
    def __init__(self, deleted: bool = ...) -> None: ...
