from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_PHASE_UNSPECIFIED: _ClassVar[JobPhase]
    JOB_PHASE_CUT: _ClassVar[JobPhase]
    JOB_PHASE_COUNT: _ClassVar[JobPhase]
    JOB_PHASE_EXPORT: _ClassVar[JobPhase]
    JOB_PHASE_COMPUTE: _ClassVar[JobPhase]
    JOB_PHASE_MERGE: _ClassVar[JobPhase]
    JOB_PHASE_PUBLISH: _ClassVar[JobPhase]
    JOB_PHASE_DONE: _ClassVar[JobPhase]
    JOB_PHASE_FAILED: _ClassVar[JobPhase]
    JOB_PHASE_TRAIN: _ClassVar[JobPhase]
JOB_PHASE_UNSPECIFIED: JobPhase
JOB_PHASE_CUT: JobPhase
JOB_PHASE_COUNT: JobPhase
JOB_PHASE_EXPORT: JobPhase
JOB_PHASE_COMPUTE: JobPhase
JOB_PHASE_MERGE: JobPhase
JOB_PHASE_PUBLISH: JobPhase
JOB_PHASE_DONE: JobPhase
JOB_PHASE_FAILED: JobPhase
JOB_PHASE_TRAIN: JobPhase

class BuildSpec(_message.Message):
    __slots__ = ("measure", "k", "shrinkage", "min_support", "behavior_weights", "half_life_ms", "weight_cap", "block_items", "alpha", "models")
    class BehaviorWeightsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    SHRINKAGE_FIELD_NUMBER: _ClassVar[int]
    MIN_SUPPORT_FIELD_NUMBER: _ClassVar[int]
    BEHAVIOR_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    HALF_LIFE_MS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_CAP_FIELD_NUMBER: _ClassVar[int]
    BLOCK_ITEMS_FIELD_NUMBER: _ClassVar[int]
    ALPHA_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    measure: str
    k: int
    shrinkage: float
    min_support: int
    behavior_weights: _containers.ScalarMap[str, float]
    half_life_ms: int
    weight_cap: float
    block_items: int
    alpha: float
    models: _containers.RepeatedCompositeFieldContainer[ModelSpec]
    def __init__(self, measure: _Optional[str] = ..., k: _Optional[int] = ..., shrinkage: _Optional[float] = ..., min_support: _Optional[int] = ..., behavior_weights: _Optional[_Mapping[str, float]] = ..., half_life_ms: _Optional[int] = ..., weight_cap: _Optional[float] = ..., block_items: _Optional[int] = ..., alpha: _Optional[float] = ..., models: _Optional[_Iterable[_Union[ModelSpec, _Mapping]]] = ...) -> None: ...

class ModelSpec(_message.Message):
    __slots__ = ("kind", "name", "parameters")
    class ParametersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    kind: str
    name: str
    parameters: _containers.ScalarMap[str, str]
    def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ..., parameters: _Optional[_Mapping[str, str]] = ...) -> None: ...

class TrainedModel(_message.Message):
    __slots__ = ("spec", "size_bytes", "seconds", "steps", "notes")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    spec: ModelSpec
    size_bytes: int
    seconds: float
    steps: int
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, spec: _Optional[_Union[ModelSpec, _Mapping]] = ..., size_bytes: _Optional[int] = ..., seconds: _Optional[float] = ..., steps: _Optional[int] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class NodeUsage(_message.Message):
    __slots__ = ("node", "cpu_seconds", "bytes_in", "bytes_out", "tasks", "pair_updates", "idle_seconds", "spilled_bytes", "train_steps", "train_bytes_in", "train_bytes_out")
    NODE_FIELD_NUMBER: _ClassVar[int]
    CPU_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BYTES_IN_FIELD_NUMBER: _ClassVar[int]
    BYTES_OUT_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    PAIR_UPDATES_FIELD_NUMBER: _ClassVar[int]
    IDLE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SPILLED_BYTES_FIELD_NUMBER: _ClassVar[int]
    TRAIN_STEPS_FIELD_NUMBER: _ClassVar[int]
    TRAIN_BYTES_IN_FIELD_NUMBER: _ClassVar[int]
    TRAIN_BYTES_OUT_FIELD_NUMBER: _ClassVar[int]
    node: str
    cpu_seconds: float
    bytes_in: int
    bytes_out: int
    tasks: int
    pair_updates: int
    idle_seconds: float
    spilled_bytes: int
    train_steps: int
    train_bytes_in: int
    train_bytes_out: int
    def __init__(self, node: _Optional[str] = ..., cpu_seconds: _Optional[float] = ..., bytes_in: _Optional[int] = ..., bytes_out: _Optional[int] = ..., tasks: _Optional[int] = ..., pair_updates: _Optional[int] = ..., idle_seconds: _Optional[float] = ..., spilled_bytes: _Optional[int] = ..., train_steps: _Optional[int] = ..., train_bytes_in: _Optional[int] = ..., train_bytes_out: _Optional[int] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("id", "spec", "phase", "error", "tasks_total", "tasks_done", "created_unix_ms", "ended_unix_ms", "model_version", "training", "training_part", "models", "earlier_ids")
    ID_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    TASKS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    TASKS_DONE_FIELD_NUMBER: _ClassVar[int]
    CREATED_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    ENDED_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    TRAINING_FIELD_NUMBER: _ClassVar[int]
    TRAINING_PART_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    EARLIER_IDS_FIELD_NUMBER: _ClassVar[int]
    id: int
    spec: BuildSpec
    phase: JobPhase
    error: str
    tasks_total: int
    tasks_done: int
    created_unix_ms: int
    ended_unix_ms: int
    model_version: int
    training: str
    training_part: float
    models: _containers.RepeatedCompositeFieldContainer[TrainedModel]
    earlier_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, id: _Optional[int] = ..., spec: _Optional[_Union[BuildSpec, _Mapping]] = ..., phase: _Optional[_Union[JobPhase, str]] = ..., error: _Optional[str] = ..., tasks_total: _Optional[int] = ..., tasks_done: _Optional[int] = ..., created_unix_ms: _Optional[int] = ..., ended_unix_ms: _Optional[int] = ..., model_version: _Optional[int] = ..., training: _Optional[str] = ..., training_part: _Optional[float] = ..., models: _Optional[_Iterable[_Union[TrainedModel, _Mapping]]] = ..., earlier_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class ModelVersion(_message.Message):
    __slots__ = ("version", "spec", "users", "items", "interactions", "created_unix_ms", "active", "usage", "models", "followed")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    INTERACTIONS_FIELD_NUMBER: _ClassVar[int]
    CREATED_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    FOLLOWED_FIELD_NUMBER: _ClassVar[int]
    version: int
    spec: BuildSpec
    users: int
    items: int
    interactions: int
    created_unix_ms: int
    active: bool
    usage: _containers.RepeatedCompositeFieldContainer[NodeUsage]
    models: _containers.RepeatedCompositeFieldContainer[TrainedModel]
    followed: int
    def __init__(self, version: _Optional[int] = ..., spec: _Optional[_Union[BuildSpec, _Mapping]] = ..., users: _Optional[int] = ..., items: _Optional[int] = ..., interactions: _Optional[int] = ..., created_unix_ms: _Optional[int] = ..., active: bool = ..., usage: _Optional[_Iterable[_Union[NodeUsage, _Mapping]]] = ..., models: _Optional[_Iterable[_Union[TrainedModel, _Mapping]]] = ..., followed: _Optional[int] = ...) -> None: ...

class BuildRequest(_message.Message):
    __slots__ = ("spec",)
    SPEC_FIELD_NUMBER: _ClassVar[int]
    spec: BuildSpec
    def __init__(self, spec: _Optional[_Union[BuildSpec, _Mapping]] = ...) -> None: ...

class BuildResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class WatchJobRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: int
    def __init__(self, id: _Optional[int] = ...) -> None: ...

class WatchJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class CancelRequest(_message.Message):
    __slots__ = ("id", "by")
    ID_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    id: int
    by: str
    def __init__(self, id: _Optional[int] = ..., by: _Optional[str] = ...) -> None: ...

class CancelResponse(_message.Message):
    __slots__ = ("job", "canceled")
    JOB_FIELD_NUMBER: _ClassVar[int]
    CANCELED_FIELD_NUMBER: _ClassVar[int]
    job: Job
    canceled: bool
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ..., canceled: bool = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("versions", "jobs")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[ModelVersion]
    jobs: _containers.RepeatedCompositeFieldContainer[Job]
    def __init__(self, versions: _Optional[_Iterable[_Union[ModelVersion, _Mapping]]] = ..., jobs: _Optional[_Iterable[_Union[Job, _Mapping]]] = ...) -> None: ...

class ActivateRequest(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: int
    def __init__(self, version: _Optional[int] = ...) -> None: ...

class ActivateResponse(_message.Message):
    __slots__ = ("previous",)
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    previous: int
    def __init__(self, previous: _Optional[int] = ...) -> None: ...
