from google.api import annotations_pb2 as _annotations_pb2
from kith.v1 import recommend_pb2 as _recommend_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class NextBehaviorRequest(_message.Message):
    __slots__ = ("user", "events", "n", "goals", "model_name", "stale")
    USER_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    GOALS_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    user: str
    events: _containers.RepeatedCompositeFieldContainer[SessionEvent]
    n: int
    goals: _containers.RepeatedScalarFieldContainer[str]
    model_name: str
    stale: bool
    def __init__(self, user: _Optional[str] = ..., events: _Optional[_Iterable[_Union[SessionEvent, _Mapping]]] = ..., n: _Optional[int] = ..., goals: _Optional[_Iterable[str]] = ..., model_name: _Optional[str] = ..., stale: bool = ...) -> None: ...

class SessionEvent(_message.Message):
    __slots__ = ("item", "behavior", "time_unix_ms")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    BEHAVIOR_FIELD_NUMBER: _ClassVar[int]
    TIME_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    item: str
    behavior: str
    time_unix_ms: int
    def __init__(self, item: _Optional[str] = ..., behavior: _Optional[str] = ..., time_unix_ms: _Optional[int] = ...) -> None: ...

class NextBehaviorResponse(_message.Message):
    __slots__ = ("behaviors", "items", "goal_chance", "expected_steps", "model_name", "model_version", "stale")
    BEHAVIORS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    GOAL_CHANCE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_STEPS_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    behaviors: _containers.RepeatedCompositeFieldContainer[BehaviorChance]
    items: _containers.RepeatedCompositeFieldContainer[ItemChance]
    goal_chance: float
    expected_steps: float
    model_name: str
    model_version: int
    stale: bool
    def __init__(self, behaviors: _Optional[_Iterable[_Union[BehaviorChance, _Mapping]]] = ..., items: _Optional[_Iterable[_Union[ItemChance, _Mapping]]] = ..., goal_chance: _Optional[float] = ..., expected_steps: _Optional[float] = ..., model_name: _Optional[str] = ..., model_version: _Optional[int] = ..., stale: bool = ...) -> None: ...

class BehaviorChance(_message.Message):
    __slots__ = ("behavior", "probability")
    BEHAVIOR_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    behavior: str
    probability: float
    def __init__(self, behavior: _Optional[str] = ..., probability: _Optional[float] = ...) -> None: ...

class ItemChance(_message.Message):
    __slots__ = ("item", "probability")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    item: str
    probability: float
    def __init__(self, item: _Optional[str] = ..., probability: _Optional[float] = ...) -> None: ...

class AssociationRulesRequest(_message.Message):
    __slots__ = ("item", "right", "basket", "n", "sort", "min_support", "min_confidence", "min_lift", "model_name")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    BASKET_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    SORT_FIELD_NUMBER: _ClassVar[int]
    MIN_SUPPORT_FIELD_NUMBER: _ClassVar[int]
    MIN_CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    MIN_LIFT_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    item: str
    right: bool
    basket: _containers.RepeatedScalarFieldContainer[str]
    n: int
    sort: str
    min_support: float
    min_confidence: float
    min_lift: float
    model_name: str
    def __init__(self, item: _Optional[str] = ..., right: bool = ..., basket: _Optional[_Iterable[str]] = ..., n: _Optional[int] = ..., sort: _Optional[str] = ..., min_support: _Optional[float] = ..., min_confidence: _Optional[float] = ..., min_lift: _Optional[float] = ..., model_name: _Optional[str] = ...) -> None: ...

class AssociationRulesResponse(_message.Message):
    __slots__ = ("rules", "fitting", "transactions", "model_name", "model_version")
    RULES_FIELD_NUMBER: _ClassVar[int]
    FITTING_FIELD_NUMBER: _ClassVar[int]
    TRANSACTIONS_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    rules: _containers.RepeatedCompositeFieldContainer[AssociationRule]
    fitting: int
    transactions: int
    model_name: str
    model_version: int
    def __init__(self, rules: _Optional[_Iterable[_Union[AssociationRule, _Mapping]]] = ..., fitting: _Optional[int] = ..., transactions: _Optional[int] = ..., model_name: _Optional[str] = ..., model_version: _Optional[int] = ...) -> None: ...

class AssociationRule(_message.Message):
    __slots__ = ("left", "right", "count", "support", "confidence", "lift", "leverage", "conviction")
    LEFT_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    SUPPORT_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    LIFT_FIELD_NUMBER: _ClassVar[int]
    LEVERAGE_FIELD_NUMBER: _ClassVar[int]
    CONVICTION_FIELD_NUMBER: _ClassVar[int]
    left: _containers.RepeatedScalarFieldContainer[str]
    right: str
    count: int
    support: float
    confidence: float
    lift: float
    leverage: float
    conviction: float
    def __init__(self, left: _Optional[_Iterable[str]] = ..., right: _Optional[str] = ..., count: _Optional[int] = ..., support: _Optional[float] = ..., confidence: _Optional[float] = ..., lift: _Optional[float] = ..., leverage: _Optional[float] = ..., conviction: _Optional[float] = ...) -> None: ...

class ListClustersRequest(_message.Message):
    __slots__ = ("model_name", "n")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    n: int
    def __init__(self, model_name: _Optional[str] = ..., n: _Optional[int] = ...) -> None: ...

class ListClustersResponse(_message.Message):
    __slots__ = ("clusters", "model_name", "model_version")
    CLUSTERS_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    clusters: _containers.RepeatedCompositeFieldContainer[Cluster]
    model_name: str
    model_version: int
    def __init__(self, clusters: _Optional[_Iterable[_Union[Cluster, _Mapping]]] = ..., model_name: _Optional[str] = ..., model_version: _Optional[int] = ...) -> None: ...

class Cluster(_message.Message):
    __slots__ = ("number", "size", "share", "spread", "silhouette", "marks")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    SPREAD_FIELD_NUMBER: _ClassVar[int]
    SILHOUETTE_FIELD_NUMBER: _ClassVar[int]
    MARKS_FIELD_NUMBER: _ClassVar[int]
    number: int
    size: int
    share: float
    spread: float
    silhouette: float
    marks: _containers.RepeatedCompositeFieldContainer[ClusterMark]
    def __init__(self, number: _Optional[int] = ..., size: _Optional[int] = ..., share: _Optional[float] = ..., spread: _Optional[float] = ..., silhouette: _Optional[float] = ..., marks: _Optional[_Iterable[_Union[ClusterMark, _Mapping]]] = ...) -> None: ...

class ClusterMark(_message.Message):
    __slots__ = ("item", "count", "lift", "z")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    LIFT_FIELD_NUMBER: _ClassVar[int]
    Z_FIELD_NUMBER: _ClassVar[int]
    item: str
    count: int
    lift: float
    z: float
    def __init__(self, item: _Optional[str] = ..., count: _Optional[int] = ..., lift: _Optional[float] = ..., z: _Optional[float] = ...) -> None: ...

class AssignClusterRequest(_message.Message):
    __slots__ = ("user", "item", "basket", "model_name", "stale")
    USER_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    BASKET_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    user: str
    item: str
    basket: _recommend_pb2.Basket
    model_name: str
    stale: bool
    def __init__(self, user: _Optional[str] = ..., item: _Optional[str] = ..., basket: _Optional[_Union[_recommend_pb2.Basket, _Mapping]] = ..., model_name: _Optional[str] = ..., stale: bool = ...) -> None: ...

class AssignClusterResponse(_message.Message):
    __slots__ = ("cluster", "distance", "model_name", "model_version", "stale")
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    cluster: int
    distance: float
    model_name: str
    model_version: int
    stale: bool
    def __init__(self, cluster: _Optional[int] = ..., distance: _Optional[float] = ..., model_name: _Optional[str] = ..., model_version: _Optional[int] = ..., stale: bool = ...) -> None: ...
