from google.api import annotations_pb2 as _annotations_pb2
from kith.v1 import recommend_pb2 as _recommend_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Scene(_message.Message):
    __slots__ = ("name", "model", "blend", "n", "fallback", "no_fallback", "include_seen", "filter", "exclude_history", "boosts", "freshness", "diversity", "pins", "within_ms", "weights", "category_attribute", "since_attribute", "model_name", "explore")
    class WeightsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    BLEND_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    NO_FALLBACK_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_SEEN_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_HISTORY_FIELD_NUMBER: _ClassVar[int]
    BOOSTS_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_FIELD_NUMBER: _ClassVar[int]
    PINS_FIELD_NUMBER: _ClassVar[int]
    WITHIN_MS_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    SINCE_ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    EXPLORE_FIELD_NUMBER: _ClassVar[int]
    name: str
    model: _recommend_pb2.Model
    blend: float
    n: int
    fallback: _containers.RepeatedScalarFieldContainer[_recommend_pb2.Model]
    no_fallback: bool
    include_seen: bool
    filter: _recommend_pb2.Filter
    exclude_history: _containers.RepeatedCompositeFieldContainer[_recommend_pb2.HistoryRule]
    boosts: _containers.RepeatedCompositeFieldContainer[_recommend_pb2.Boost]
    freshness: _recommend_pb2.Freshness
    diversity: _recommend_pb2.Diversity
    pins: _containers.RepeatedCompositeFieldContainer[_recommend_pb2.Pin]
    within_ms: int
    weights: _containers.ScalarMap[str, float]
    category_attribute: str
    since_attribute: str
    model_name: str
    explore: _recommend_pb2.Explore
    def __init__(self, name: _Optional[str] = ..., model: _Optional[_Union[_recommend_pb2.Model, str]] = ..., blend: _Optional[float] = ..., n: _Optional[int] = ..., fallback: _Optional[_Iterable[_Union[_recommend_pb2.Model, str]]] = ..., no_fallback: bool = ..., include_seen: bool = ..., filter: _Optional[_Union[_recommend_pb2.Filter, _Mapping]] = ..., exclude_history: _Optional[_Iterable[_Union[_recommend_pb2.HistoryRule, _Mapping]]] = ..., boosts: _Optional[_Iterable[_Union[_recommend_pb2.Boost, _Mapping]]] = ..., freshness: _Optional[_Union[_recommend_pb2.Freshness, _Mapping]] = ..., diversity: _Optional[_Union[_recommend_pb2.Diversity, _Mapping]] = ..., pins: _Optional[_Iterable[_Union[_recommend_pb2.Pin, _Mapping]]] = ..., within_ms: _Optional[int] = ..., weights: _Optional[_Mapping[str, float]] = ..., category_attribute: _Optional[str] = ..., since_attribute: _Optional[str] = ..., model_name: _Optional[str] = ..., explore: _Optional[_Union[_recommend_pb2.Explore, _Mapping]] = ...) -> None: ...

class Experiment(_message.Message):
    __slots__ = ("name", "scene", "variants", "start_unix_ms", "end_unix_ms", "window_ms", "salt", "expected_users")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCENE_FIELD_NUMBER: _ClassVar[int]
    VARIANTS_FIELD_NUMBER: _ClassVar[int]
    START_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    END_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_MS_FIELD_NUMBER: _ClassVar[int]
    SALT_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_USERS_FIELD_NUMBER: _ClassVar[int]
    name: str
    scene: str
    variants: _containers.RepeatedCompositeFieldContainer[Variant]
    start_unix_ms: int
    end_unix_ms: int
    window_ms: int
    salt: str
    expected_users: int
    def __init__(self, name: _Optional[str] = ..., scene: _Optional[str] = ..., variants: _Optional[_Iterable[_Union[Variant, _Mapping]]] = ..., start_unix_ms: _Optional[int] = ..., end_unix_ms: _Optional[int] = ..., window_ms: _Optional[int] = ..., salt: _Optional[str] = ..., expected_users: _Optional[int] = ...) -> None: ...

class Variant(_message.Message):
    __slots__ = ("name", "scene", "weight")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCENE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    name: str
    scene: str
    weight: float
    def __init__(self, name: _Optional[str] = ..., scene: _Optional[str] = ..., weight: _Optional[float] = ...) -> None: ...

class SceneSet(_message.Message):
    __slots__ = ("version", "scenes", "experiments")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SCENES_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENTS_FIELD_NUMBER: _ClassVar[int]
    version: int
    scenes: _containers.RepeatedCompositeFieldContainer[Scene]
    experiments: _containers.RepeatedCompositeFieldContainer[Experiment]
    def __init__(self, version: _Optional[int] = ..., scenes: _Optional[_Iterable[_Union[Scene, _Mapping]]] = ..., experiments: _Optional[_Iterable[_Union[Experiment, _Mapping]]] = ...) -> None: ...

class GetScenesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetScenesResponse(_message.Message):
    __slots__ = ("set",)
    SET_FIELD_NUMBER: _ClassVar[int]
    set: SceneSet
    def __init__(self, set: _Optional[_Union[SceneSet, _Mapping]] = ...) -> None: ...

class SetScenesRequest(_message.Message):
    __slots__ = ("set",)
    SET_FIELD_NUMBER: _ClassVar[int]
    set: SceneSet
    def __init__(self, set: _Optional[_Union[SceneSet, _Mapping]] = ...) -> None: ...

class SetScenesResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: int
    def __init__(self, version: _Optional[int] = ...) -> None: ...

class ReportExperimentRequest(_message.Message):
    __slots__ = ("name", "price_attribute")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PRICE_ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    name: str
    price_attribute: str
    def __init__(self, name: _Optional[str] = ..., price_attribute: _Optional[str] = ...) -> None: ...

class ReportExperimentResponse(_message.Message):
    __slots__ = ("experiment", "now_unix_ms", "variants", "split_p", "crossed", "others", "refused")
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    NOW_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    VARIANTS_FIELD_NUMBER: _ClassVar[int]
    SPLIT_P_FIELD_NUMBER: _ClassVar[int]
    CROSSED_FIELD_NUMBER: _ClassVar[int]
    OTHERS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    experiment: Experiment
    now_unix_ms: int
    variants: _containers.RepeatedCompositeFieldContainer[VariantReport]
    split_p: float
    crossed: int
    others: int
    refused: int
    def __init__(self, experiment: _Optional[_Union[Experiment, _Mapping]] = ..., now_unix_ms: _Optional[int] = ..., variants: _Optional[_Iterable[_Union[VariantReport, _Mapping]]] = ..., split_p: _Optional[float] = ..., crossed: _Optional[int] = ..., others: _Optional[int] = ..., refused: _Optional[int] = ...) -> None: ...

class ReportScenesRequest(_message.Message):
    __slots__ = ("within_ms", "window_ms", "price_attribute")
    WITHIN_MS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_MS_FIELD_NUMBER: _ClassVar[int]
    PRICE_ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    within_ms: int
    window_ms: int
    price_attribute: str
    def __init__(self, within_ms: _Optional[int] = ..., window_ms: _Optional[int] = ..., price_attribute: _Optional[str] = ...) -> None: ...

class ReportScenesResponse(_message.Message):
    __slots__ = ("now_unix_ms", "scenes", "refused")
    NOW_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    SCENES_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    now_unix_ms: int
    scenes: _containers.RepeatedCompositeFieldContainer[SceneReport]
    refused: int
    def __init__(self, now_unix_ms: _Optional[int] = ..., scenes: _Optional[_Iterable[_Union[SceneReport, _Mapping]]] = ..., refused: _Optional[int] = ...) -> None: ...

class SceneReport(_message.Message):
    __slots__ = ("name", "users", "clicked", "converted", "counts", "models")
    NAME_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    CLICKED_FIELD_NUMBER: _ClassVar[int]
    CONVERTED_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    name: str
    users: int
    clicked: int
    converted: int
    counts: AnswerCounts
    models: _containers.RepeatedCompositeFieldContainer[ModelCounts]
    def __init__(self, name: _Optional[str] = ..., users: _Optional[int] = ..., clicked: _Optional[int] = ..., converted: _Optional[int] = ..., counts: _Optional[_Union[AnswerCounts, _Mapping]] = ..., models: _Optional[_Iterable[_Union[ModelCounts, _Mapping]]] = ...) -> None: ...

class VariantReport(_message.Message):
    __slots__ = ("name", "scene", "share", "users", "clicked", "converted", "revenue", "counts", "models")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCENE_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    CLICKED_FIELD_NUMBER: _ClassVar[int]
    CONVERTED_FIELD_NUMBER: _ClassVar[int]
    REVENUE_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    name: str
    scene: str
    share: float
    users: int
    clicked: VariantOutcome
    converted: VariantOutcome
    revenue: VariantOutcome
    counts: AnswerCounts
    models: _containers.RepeatedCompositeFieldContainer[ModelCounts]
    def __init__(self, name: _Optional[str] = ..., scene: _Optional[str] = ..., share: _Optional[float] = ..., users: _Optional[int] = ..., clicked: _Optional[_Union[VariantOutcome, _Mapping]] = ..., converted: _Optional[_Union[VariantOutcome, _Mapping]] = ..., revenue: _Optional[_Union[VariantOutcome, _Mapping]] = ..., counts: _Optional[_Union[AnswerCounts, _Mapping]] = ..., models: _Optional[_Iterable[_Union[ModelCounts, _Mapping]]] = ...) -> None: ...

class VariantOutcome(_message.Message):
    __slots__ = ("users", "mean", "known", "difference", "low", "high", "p")
    USERS_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    P_FIELD_NUMBER: _ClassVar[int]
    users: int
    mean: float
    known: bool
    difference: float
    low: float
    high: float
    p: float
    def __init__(self, users: _Optional[int] = ..., mean: _Optional[float] = ..., known: bool = ..., difference: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., p: _Optional[float] = ...) -> None: ...

class AnswerCounts(_message.Message):
    __slots__ = ("impressions", "clicks", "purchases", "revenue")
    IMPRESSIONS_FIELD_NUMBER: _ClassVar[int]
    CLICKS_FIELD_NUMBER: _ClassVar[int]
    PURCHASES_FIELD_NUMBER: _ClassVar[int]
    REVENUE_FIELD_NUMBER: _ClassVar[int]
    impressions: int
    clicks: int
    purchases: int
    revenue: float
    def __init__(self, impressions: _Optional[int] = ..., clicks: _Optional[int] = ..., purchases: _Optional[int] = ..., revenue: _Optional[float] = ...) -> None: ...

class ModelCounts(_message.Message):
    __slots__ = ("version", "counts")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    version: int
    counts: AnswerCounts
    def __init__(self, version: _Optional[int] = ..., counts: _Optional[_Union[AnswerCounts, _Mapping]] = ...) -> None: ...
