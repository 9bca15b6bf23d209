from google.api import annotations_pb2 as _annotations_pb2
from kith.v1 import catalog_pb2 as _catalog_pb2
from kith.v1 import event_pb2 as _event_pb2
from kith.v1 import model_pb2 as _model_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MemberState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MEMBER_STATE_UNSPECIFIED: _ClassVar[MemberState]
    MEMBER_STATE_ALIVE: _ClassVar[MemberState]
    MEMBER_STATE_DEAD: _ClassVar[MemberState]
    MEMBER_STATE_LEFT: _ClassVar[MemberState]

class MemberIntent(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MEMBER_INTENT_UNSPECIFIED: _ClassVar[MemberIntent]
    MEMBER_INTENT_DRAIN: _ClassVar[MemberIntent]
    MEMBER_INTENT_LEAVE: _ClassVar[MemberIntent]
MEMBER_STATE_UNSPECIFIED: MemberState
MEMBER_STATE_ALIVE: MemberState
MEMBER_STATE_DEAD: MemberState
MEMBER_STATE_LEFT: MemberState
MEMBER_INTENT_UNSPECIFIED: MemberIntent
MEMBER_INTENT_DRAIN: MemberIntent
MEMBER_INTENT_LEAVE: MemberIntent

class Move(_message.Message):
    __slots__ = ("partition", "add", "remove", "switched", "id")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    ADD_FIELD_NUMBER: _ClassVar[int]
    REMOVE_FIELD_NUMBER: _ClassVar[int]
    SWITCHED_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    partition: int
    add: str
    remove: str
    switched: bool
    id: int
    def __init__(self, partition: _Optional[int] = ..., add: _Optional[str] = ..., remove: _Optional[str] = ..., switched: bool = ..., id: _Optional[int] = ...) -> None: ...

class Member(_message.Message):
    __slots__ = ("id", "grpc_addr", "raft_addr", "zone", "version", "state", "voter", "coordinator", "replicas", "weight", "intent", "folder", "answered", "started_unix_ms", "disk_total_bytes", "disk_free_bytes", "data_bytes", "clock_offset_ms")
    ID_FIELD_NUMBER: _ClassVar[int]
    GRPC_ADDR_FIELD_NUMBER: _ClassVar[int]
    RAFT_ADDR_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    VOTER_FIELD_NUMBER: _ClassVar[int]
    COORDINATOR_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    INTENT_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    STARTED_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    DISK_TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DATA_BYTES_FIELD_NUMBER: _ClassVar[int]
    CLOCK_OFFSET_MS_FIELD_NUMBER: _ClassVar[int]
    id: str
    grpc_addr: str
    raft_addr: str
    zone: str
    version: str
    state: MemberState
    voter: bool
    coordinator: bool
    replicas: int
    weight: float
    intent: MemberIntent
    folder: str
    answered: bool
    started_unix_ms: int
    disk_total_bytes: int
    disk_free_bytes: int
    data_bytes: int
    clock_offset_ms: int
    def __init__(self, id: _Optional[str] = ..., grpc_addr: _Optional[str] = ..., raft_addr: _Optional[str] = ..., zone: _Optional[str] = ..., version: _Optional[str] = ..., state: _Optional[_Union[MemberState, str]] = ..., voter: bool = ..., coordinator: bool = ..., replicas: _Optional[int] = ..., weight: _Optional[float] = ..., intent: _Optional[_Union[MemberIntent, str]] = ..., folder: _Optional[str] = ..., answered: bool = ..., started_unix_ms: _Optional[int] = ..., disk_total_bytes: _Optional[int] = ..., disk_free_bytes: _Optional[int] = ..., data_bytes: _Optional[int] = ..., clock_offset_ms: _Optional[int] = ...) -> None: ...

class ReplicaStatus(_message.Message):
    __slots__ = ("node", "answered", "applied_index", "lag")
    NODE_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_FIELD_NUMBER: _ClassVar[int]
    APPLIED_INDEX_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    node: str
    answered: bool
    applied_index: int
    lag: int
    def __init__(self, node: _Optional[str] = ..., answered: bool = ..., applied_index: _Optional[int] = ..., lag: _Optional[int] = ...) -> None: ...

class PartitionStatus(_message.Message):
    __slots__ = ("partition", "replicas", "leader", "applied_index", "events", "users", "replica_status", "model_index", "products", "profiles", "erased")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    APPLIED_INDEX_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    REPLICA_STATUS_FIELD_NUMBER: _ClassVar[int]
    MODEL_INDEX_FIELD_NUMBER: _ClassVar[int]
    PRODUCTS_FIELD_NUMBER: _ClassVar[int]
    PROFILES_FIELD_NUMBER: _ClassVar[int]
    ERASED_FIELD_NUMBER: _ClassVar[int]
    partition: int
    replicas: _containers.RepeatedScalarFieldContainer[str]
    leader: str
    applied_index: int
    events: int
    users: int
    replica_status: _containers.RepeatedCompositeFieldContainer[ReplicaStatus]
    model_index: int
    products: int
    profiles: int
    erased: int
    def __init__(self, partition: _Optional[int] = ..., replicas: _Optional[_Iterable[str]] = ..., leader: _Optional[str] = ..., applied_index: _Optional[int] = ..., events: _Optional[int] = ..., users: _Optional[int] = ..., replica_status: _Optional[_Iterable[_Union[ReplicaStatus, _Mapping]]] = ..., model_index: _Optional[int] = ..., products: _Optional[int] = ..., profiles: _Optional[int] = ..., erased: _Optional[int] = ...) -> None: ...

class SetIntentRequest(_message.Message):
    __slots__ = ("member", "intent")
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    INTENT_FIELD_NUMBER: _ClassVar[int]
    member: str
    intent: MemberIntent
    def __init__(self, member: _Optional[str] = ..., intent: _Optional[_Union[MemberIntent, str]] = ...) -> None: ...

class SetIntentResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StatusResponse(_message.Message):
    __slots__ = ("cluster_id", "node", "coordinator", "epoch", "members", "partitions", "active_version", "jobs", "ready", "replication_factor", "moves", "moves_left", "active_created_unix_ms", "erasure_public_key")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    COORDINATOR_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_VERSION_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    REPLICATION_FACTOR_FIELD_NUMBER: _ClassVar[int]
    MOVES_FIELD_NUMBER: _ClassVar[int]
    MOVES_LEFT_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_CREATED_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    ERASURE_PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    node: str
    coordinator: str
    epoch: int
    members: _containers.RepeatedCompositeFieldContainer[Member]
    partitions: _containers.RepeatedCompositeFieldContainer[PartitionStatus]
    active_version: int
    jobs: _containers.RepeatedCompositeFieldContainer[_model_pb2.Job]
    ready: bool
    replication_factor: int
    moves: _containers.RepeatedCompositeFieldContainer[Move]
    moves_left: int
    active_created_unix_ms: int
    erasure_public_key: bytes
    def __init__(self, cluster_id: _Optional[str] = ..., node: _Optional[str] = ..., coordinator: _Optional[str] = ..., epoch: _Optional[int] = ..., members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ..., partitions: _Optional[_Iterable[_Union[PartitionStatus, _Mapping]]] = ..., active_version: _Optional[int] = ..., jobs: _Optional[_Iterable[_Union[_model_pb2.Job, _Mapping]]] = ..., ready: bool = ..., replication_factor: _Optional[int] = ..., moves: _Optional[_Iterable[_Union[Move, _Mapping]]] = ..., moves_left: _Optional[int] = ..., active_created_unix_ms: _Optional[int] = ..., erasure_public_key: _Optional[bytes] = ...) -> None: ...

class BackupRequest(_message.Message):
    __slots__ = ("resume", "with_records")
    RESUME_FIELD_NUMBER: _ClassVar[int]
    WITH_RECORDS_FIELD_NUMBER: _ClassVar[int]
    resume: BackupPosition
    with_records: bool
    def __init__(self, resume: _Optional[_Union[BackupPosition, _Mapping]] = ..., with_records: bool = ...) -> None: ...

class BackupPosition(_message.Message):
    __slots__ = ("manifest", "partition", "after_user", "after_id", "after_kind", "after_key")
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    AFTER_USER_FIELD_NUMBER: _ClassVar[int]
    AFTER_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_KIND_FIELD_NUMBER: _ClassVar[int]
    AFTER_KEY_FIELD_NUMBER: _ClassVar[int]
    manifest: BackupManifest
    partition: int
    after_user: str
    after_id: str
    after_kind: _catalog_pb2.RecordKind
    after_key: str
    def __init__(self, manifest: _Optional[_Union[BackupManifest, _Mapping]] = ..., partition: _Optional[int] = ..., after_user: _Optional[str] = ..., after_id: _Optional[str] = ..., after_kind: _Optional[_Union[_catalog_pb2.RecordKind, str]] = ..., after_key: _Optional[str] = ...) -> None: ...

class BackupResponse(_message.Message):
    __slots__ = ("manifest", "events", "records")
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    manifest: BackupManifest
    events: BackupEvents
    records: BackupRecords
    def __init__(self, manifest: _Optional[_Union[BackupManifest, _Mapping]] = ..., events: _Optional[_Union[BackupEvents, _Mapping]] = ..., records: _Optional[_Union[BackupRecords, _Mapping]] = ...) -> None: ...

class BackupRecords(_message.Message):
    __slots__ = ("partition", "kind", "records")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    partition: int
    kind: _catalog_pb2.RecordKind
    records: _containers.RepeatedCompositeFieldContainer[_catalog_pb2.Record]
    def __init__(self, partition: _Optional[int] = ..., kind: _Optional[_Union[_catalog_pb2.RecordKind, str]] = ..., records: _Optional[_Iterable[_Union[_catalog_pb2.Record, _Mapping]]] = ...) -> None: ...

class BackupEvents(_message.Message):
    __slots__ = ("partition", "events")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    partition: int
    events: _containers.RepeatedCompositeFieldContainer[_event_pb2.Event]
    def __init__(self, partition: _Optional[int] = ..., events: _Optional[_Iterable[_Union[_event_pb2.Event, _Mapping]]] = ...) -> None: ...

class PartitionCut(_message.Message):
    __slots__ = ("index", "events", "users")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    index: int
    events: int
    users: int
    def __init__(self, index: _Optional[int] = ..., events: _Optional[int] = ..., users: _Optional[int] = ...) -> None: ...

class BackupManifest(_message.Message):
    __slots__ = ("cluster_id", "created_unix_ms", "program", "partitions", "replication_factor", "versions", "active_version")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    PARTITIONS_FIELD_NUMBER: _ClassVar[int]
    REPLICATION_FACTOR_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_VERSION_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    created_unix_ms: int
    program: str
    partitions: _containers.RepeatedCompositeFieldContainer[PartitionCut]
    replication_factor: int
    versions: _containers.RepeatedCompositeFieldContainer[_model_pb2.ModelVersion]
    active_version: int
    def __init__(self, cluster_id: _Optional[str] = ..., created_unix_ms: _Optional[int] = ..., program: _Optional[str] = ..., partitions: _Optional[_Iterable[_Union[PartitionCut, _Mapping]]] = ..., replication_factor: _Optional[int] = ..., versions: _Optional[_Iterable[_Union[_model_pb2.ModelVersion, _Mapping]]] = ..., active_version: _Optional[int] = ...) -> None: ...
