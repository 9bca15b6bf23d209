from google.api import annotations_pb2 as _annotations_pb2
from kith.v1 import catalog_pb2 as _catalog_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Model(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODEL_UNSPECIFIED: _ClassVar[Model]
    MODEL_ITEM_KNN: _ClassVar[Model]
    MODEL_USER_KNN: _ClassVar[Model]
    MODEL_HYBRID: _ClassVar[Model]
    MODEL_POPULARITY: _ClassVar[Model]
    MODEL_NEWEST: _ClassVar[Model]
    MODEL_PINNED: _ClassVar[Model]
    MODEL_EXPLORED: _ClassVar[Model]
    MODEL_CATEGORIES: _ClassVar[Model]
    MODEL_TRENDING: _ClassVar[Model]
    MODEL_SIMILAR: _ClassVar[Model]
    MODEL_TOGETHER: _ClassVar[Model]
    MODEL_TRAINED: _ClassVar[Model]
MODEL_UNSPECIFIED: Model
MODEL_ITEM_KNN: Model
MODEL_USER_KNN: Model
MODEL_HYBRID: Model
MODEL_POPULARITY: Model
MODEL_NEWEST: Model
MODEL_PINNED: Model
MODEL_EXPLORED: Model
MODEL_CATEGORIES: Model
MODEL_TRENDING: Model
MODEL_SIMILAR: Model
MODEL_TOGETHER: Model
MODEL_TRAINED: Model

class RecommendRequest(_message.Message):
    __slots__ = ("user", "basket", "n", "model", "include_seen", "no_fallback", "stale", "explain", "filter", "exclude_history", "boosts", "freshness", "diversity", "pins", "now_unix_ms", "scene", "session", "item", "model_name", "explore")
    USER_FIELD_NUMBER: _ClassVar[int]
    BASKET_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_SEEN_FIELD_NUMBER: _ClassVar[int]
    NO_FALLBACK_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_HISTORY_FIELD_NUMBER: _ClassVar[int]
    BOOSTS_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_FIELD_NUMBER: _ClassVar[int]
    PINS_FIELD_NUMBER: _ClassVar[int]
    NOW_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    SCENE_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    EXPLORE_FIELD_NUMBER: _ClassVar[int]
    user: str
    basket: Basket
    n: int
    model: Model
    include_seen: bool
    no_fallback: bool
    stale: bool
    explain: bool
    filter: Filter
    exclude_history: _containers.RepeatedCompositeFieldContainer[HistoryRule]
    boosts: _containers.RepeatedCompositeFieldContainer[Boost]
    freshness: Freshness
    diversity: Diversity
    pins: _containers.RepeatedCompositeFieldContainer[Pin]
    now_unix_ms: int
    scene: str
    session: str
    item: str
    model_name: str
    explore: Explore
    def __init__(self, user: _Optional[str] = ..., basket: _Optional[_Union[Basket, _Mapping]] = ..., n: _Optional[int] = ..., model: _Optional[_Union[Model, str]] = ..., include_seen: bool = ..., no_fallback: bool = ..., stale: bool = ..., explain: bool = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., exclude_history: _Optional[_Iterable[_Union[HistoryRule, _Mapping]]] = ..., boosts: _Optional[_Iterable[_Union[Boost, _Mapping]]] = ..., freshness: _Optional[_Union[Freshness, _Mapping]] = ..., diversity: _Optional[_Union[Diversity, _Mapping]] = ..., pins: _Optional[_Iterable[_Union[Pin, _Mapping]]] = ..., now_unix_ms: _Optional[int] = ..., scene: _Optional[str] = ..., session: _Optional[str] = ..., item: _Optional[str] = ..., model_name: _Optional[str] = ..., explore: _Optional[_Union[Explore, _Mapping]] = ...) -> None: ...

class Explore(_message.Message):
    __slots__ = ("places", "within_ms", "attribute")
    PLACES_FIELD_NUMBER: _ClassVar[int]
    WITHIN_MS_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    places: int
    within_ms: int
    attribute: str
    def __init__(self, places: _Optional[int] = ..., within_ms: _Optional[int] = ..., attribute: _Optional[str] = ...) -> None: ...

class Filter(_message.Message):
    __slots__ = ("conditions", "allow", "deny", "only_products")
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    ALLOW_FIELD_NUMBER: _ClassVar[int]
    DENY_FIELD_NUMBER: _ClassVar[int]
    ONLY_PRODUCTS_FIELD_NUMBER: _ClassVar[int]
    conditions: _containers.RepeatedCompositeFieldContainer[Condition]
    allow: _containers.RepeatedScalarFieldContainer[str]
    deny: _containers.RepeatedScalarFieldContainer[str]
    only_products: bool
    def __init__(self, conditions: _Optional[_Iterable[_Union[Condition, _Mapping]]] = ..., allow: _Optional[_Iterable[str]] = ..., deny: _Optional[_Iterable[str]] = ..., only_products: bool = ...) -> None: ...

class Condition(_message.Message):
    __slots__ = ("attribute", "any_of", "all_of", "none_of", "range", "available")
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    ANY_OF_FIELD_NUMBER: _ClassVar[int]
    ALL_OF_FIELD_NUMBER: _ClassVar[int]
    NONE_OF_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    attribute: str
    any_of: _catalog_pb2.TextList
    all_of: _catalog_pb2.TextList
    none_of: _catalog_pb2.TextList
    range: Range
    available: Available
    def __init__(self, attribute: _Optional[str] = ..., any_of: _Optional[_Union[_catalog_pb2.TextList, _Mapping]] = ..., all_of: _Optional[_Union[_catalog_pb2.TextList, _Mapping]] = ..., none_of: _Optional[_Union[_catalog_pb2.TextList, _Mapping]] = ..., range: _Optional[_Union[Range, _Mapping]] = ..., available: _Optional[_Union[Available, _Mapping]] = ...) -> None: ...

class Range(_message.Message):
    __slots__ = ("min", "max", "exclude_min", "exclude_max")
    MIN_FIELD_NUMBER: _ClassVar[int]
    MAX_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_MIN_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_MAX_FIELD_NUMBER: _ClassVar[int]
    min: float
    max: float
    exclude_min: bool
    exclude_max: bool
    def __init__(self, min: _Optional[float] = ..., max: _Optional[float] = ..., exclude_min: bool = ..., exclude_max: bool = ...) -> None: ...

class Available(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HistoryRule(_message.Message):
    __slots__ = ("behaviors", "within_ms")
    BEHAVIORS_FIELD_NUMBER: _ClassVar[int]
    WITHIN_MS_FIELD_NUMBER: _ClassVar[int]
    behaviors: _containers.RepeatedScalarFieldContainer[str]
    within_ms: int
    def __init__(self, behaviors: _Optional[_Iterable[str]] = ..., within_ms: _Optional[int] = ...) -> None: ...

class Boost(_message.Message):
    __slots__ = ("filter", "factor")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    FACTOR_FIELD_NUMBER: _ClassVar[int]
    filter: Filter
    factor: float
    def __init__(self, filter: _Optional[_Union[Filter, _Mapping]] = ..., factor: _Optional[float] = ...) -> None: ...

class Freshness(_message.Message):
    __slots__ = ("attribute", "half_life_ms", "strength")
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    HALF_LIFE_MS_FIELD_NUMBER: _ClassVar[int]
    STRENGTH_FIELD_NUMBER: _ClassVar[int]
    attribute: str
    half_life_ms: int
    strength: float
    def __init__(self, attribute: _Optional[str] = ..., half_life_ms: _Optional[int] = ..., strength: _Optional[float] = ...) -> None: ...

class Diversity(_message.Message):
    __slots__ = ("attribute", "max_per_group", "by_similarity")
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    LAMBDA_FIELD_NUMBER: _ClassVar[int]
    MAX_PER_GROUP_FIELD_NUMBER: _ClassVar[int]
    BY_SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    attribute: str
    max_per_group: int
    by_similarity: bool
    def __init__(self, attribute: _Optional[str] = ..., max_per_group: _Optional[int] = ..., by_similarity: bool = ..., **kwargs) -> None: ...

class Pin(_message.Message):
    __slots__ = ("item", "rank")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    item: str
    rank: int
    def __init__(self, item: _Optional[str] = ..., rank: _Optional[int] = ...) -> None: ...

class Basket(_message.Message):
    __slots__ = ("items",)
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[BasketItem]
    def __init__(self, items: _Optional[_Iterable[_Union[BasketItem, _Mapping]]] = ...) -> None: ...

class BasketItem(_message.Message):
    __slots__ = ("item", "weight", "rating")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    RATING_FIELD_NUMBER: _ClassVar[int]
    item: str
    weight: float
    rating: float
    def __init__(self, item: _Optional[str] = ..., weight: _Optional[float] = ..., rating: _Optional[float] = ...) -> None: ...

class RecommendResponse(_message.Message):
    __slots__ = ("items", "model", "model_version", "fallback_reason", "partial", "stale", "scene", "experiment", "variant", "answer_id", "model_name")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_REASON_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    SCENE_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[RecommendedItem]
    model: Model
    model_version: int
    fallback_reason: str
    partial: bool
    stale: bool
    scene: str
    experiment: str
    variant: str
    answer_id: str
    model_name: str
    def __init__(self, items: _Optional[_Iterable[_Union[RecommendedItem, _Mapping]]] = ..., model: _Optional[_Union[Model, str]] = ..., model_version: _Optional[int] = ..., fallback_reason: _Optional[str] = ..., partial: bool = ..., stale: bool = ..., scene: _Optional[str] = ..., experiment: _Optional[str] = ..., variant: _Optional[str] = ..., answer_id: _Optional[str] = ..., model_name: _Optional[str] = ...) -> None: ...

class RecommendManyRequest(_message.Message):
    __slots__ = ("users", "request")
    USERS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    users: _containers.RepeatedScalarFieldContainer[str]
    request: RecommendRequest
    def __init__(self, users: _Optional[_Iterable[str]] = ..., request: _Optional[_Union[RecommendRequest, _Mapping]] = ...) -> None: ...

class RecommendManyResponse(_message.Message):
    __slots__ = ("answers",)
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[UserRecommendations]
    def __init__(self, answers: _Optional[_Iterable[_Union[UserRecommendations, _Mapping]]] = ...) -> None: ...

class UserRecommendations(_message.Message):
    __slots__ = ("user", "response", "error")
    USER_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    user: str
    response: RecommendResponse
    error: AnswerError
    def __init__(self, user: _Optional[str] = ..., response: _Optional[_Union[RecommendResponse, _Mapping]] = ..., error: _Optional[_Union[AnswerError, _Mapping]] = ...) -> None: ...

class ExportRecommendationsRequest(_message.Message):
    __slots__ = ("partition", "after_user", "request")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    AFTER_USER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    partition: int
    after_user: str
    request: RecommendRequest
    def __init__(self, partition: _Optional[int] = ..., after_user: _Optional[str] = ..., request: _Optional[_Union[RecommendRequest, _Mapping]] = ...) -> None: ...

class ExportRecommendationsResponse(_message.Message):
    __slots__ = ("answers",)
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[UserRecommendations]
    def __init__(self, answers: _Optional[_Iterable[_Union[UserRecommendations, _Mapping]]] = ...) -> None: ...

class AnswerError(_message.Message):
    __slots__ = ("reason", "message", "retryable")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    retryable: bool
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., retryable: bool = ...) -> None: ...

class RecommendedItem(_message.Message):
    __slots__ = ("item", "score", "source", "contributions", "found")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTIONS_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    item: str
    score: float
    source: Model
    contributions: _containers.RepeatedCompositeFieldContainer[Contribution]
    found: _containers.RepeatedCompositeFieldContainer[Found]
    def __init__(self, item: _Optional[str] = ..., score: _Optional[float] = ..., source: _Optional[_Union[Model, str]] = ..., contributions: _Optional[_Iterable[_Union[Contribution, _Mapping]]] = ..., found: _Optional[_Iterable[_Union[Found, _Mapping]]] = ...) -> None: ...

class Found(_message.Message):
    __slots__ = ("model", "rank", "score", "contributions")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    CONTRIBUTIONS_FIELD_NUMBER: _ClassVar[int]
    model: str
    rank: int
    score: float
    contributions: _containers.RepeatedCompositeFieldContainer[Contribution]
    def __init__(self, model: _Optional[str] = ..., rank: _Optional[int] = ..., score: _Optional[float] = ..., contributions: _Optional[_Iterable[_Union[Contribution, _Mapping]]] = ...) -> None: ...

class Contribution(_message.Message):
    __slots__ = ("item", "score")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    item: str
    score: float
    def __init__(self, item: _Optional[str] = ..., score: _Optional[float] = ...) -> None: ...

class SimilarRequest(_message.Message):
    __slots__ = ("item", "user", "n", "filter", "boosts", "freshness", "diversity", "now_unix_ms", "model_name")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    BOOSTS_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_FIELD_NUMBER: _ClassVar[int]
    NOW_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    item: str
    user: str
    n: int
    filter: Filter
    boosts: _containers.RepeatedCompositeFieldContainer[Boost]
    freshness: Freshness
    diversity: Diversity
    now_unix_ms: int
    model_name: str
    def __init__(self, item: _Optional[str] = ..., user: _Optional[str] = ..., n: _Optional[int] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., boosts: _Optional[_Iterable[_Union[Boost, _Mapping]]] = ..., freshness: _Optional[_Union[Freshness, _Mapping]] = ..., diversity: _Optional[_Union[Diversity, _Mapping]] = ..., now_unix_ms: _Optional[int] = ..., model_name: _Optional[str] = ...) -> None: ...

class SimilarResponse(_message.Message):
    __slots__ = ("neighbors", "model_version", "partial", "stale")
    NEIGHBORS_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    neighbors: _containers.RepeatedCompositeFieldContainer[SimilarEntry]
    model_version: int
    partial: bool
    stale: bool
    def __init__(self, neighbors: _Optional[_Iterable[_Union[SimilarEntry, _Mapping]]] = ..., model_version: _Optional[int] = ..., partial: bool = ..., stale: bool = ...) -> None: ...

class SimilarEntry(_message.Message):
    __slots__ = ("key", "score")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    key: str
    score: float
    def __init__(self, key: _Optional[str] = ..., score: _Optional[float] = ...) -> None: ...

class ListedItem(_message.Message):
    __slots__ = ("item", "score", "time_unix_ms")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    TIME_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    item: str
    score: float
    time_unix_ms: int
    def __init__(self, item: _Optional[str] = ..., score: _Optional[float] = ..., time_unix_ms: _Optional[int] = ...) -> None: ...

class TrendingRequest(_message.Message):
    __slots__ = ("n", "within_ms", "weights", "filter", "boosts", "freshness", "diversity", "now_unix_ms", "stale")
    class WeightsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    N_FIELD_NUMBER: _ClassVar[int]
    WITHIN_MS_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    BOOSTS_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_FIELD_NUMBER: _ClassVar[int]
    NOW_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    n: int
    within_ms: int
    weights: _containers.ScalarMap[str, float]
    filter: Filter
    boosts: _containers.RepeatedCompositeFieldContainer[Boost]
    freshness: Freshness
    diversity: Diversity
    now_unix_ms: int
    stale: bool
    def __init__(self, n: _Optional[int] = ..., within_ms: _Optional[int] = ..., weights: _Optional[_Mapping[str, float]] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., boosts: _Optional[_Iterable[_Union[Boost, _Mapping]]] = ..., freshness: _Optional[_Union[Freshness, _Mapping]] = ..., diversity: _Optional[_Union[Diversity, _Mapping]] = ..., now_unix_ms: _Optional[int] = ..., stale: bool = ...) -> None: ...

class TrendingResponse(_message.Message):
    __slots__ = ("items", "partial", "stale")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[ListedItem]
    partial: bool
    stale: bool
    def __init__(self, items: _Optional[_Iterable[_Union[ListedItem, _Mapping]]] = ..., partial: bool = ..., stale: bool = ...) -> None: ...

class NewArrivalsRequest(_message.Message):
    __slots__ = ("n", "attribute", "filter", "diversity", "now_unix_ms", "stale")
    N_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_FIELD_NUMBER: _ClassVar[int]
    NOW_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    n: int
    attribute: str
    filter: Filter
    diversity: Diversity
    now_unix_ms: int
    stale: bool
    def __init__(self, n: _Optional[int] = ..., attribute: _Optional[str] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., diversity: _Optional[_Union[Diversity, _Mapping]] = ..., now_unix_ms: _Optional[int] = ..., stale: bool = ...) -> None: ...

class NewArrivalsResponse(_message.Message):
    __slots__ = ("items", "partial", "stale")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[ListedItem]
    partial: bool
    stale: bool
    def __init__(self, items: _Optional[_Iterable[_Union[ListedItem, _Mapping]]] = ..., partial: bool = ..., stale: bool = ...) -> None: ...

class LatestRequest(_message.Message):
    __slots__ = ("n", "filter", "now_unix_ms", "stale")
    N_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    NOW_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    n: int
    filter: Filter
    now_unix_ms: int
    stale: bool
    def __init__(self, n: _Optional[int] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., now_unix_ms: _Optional[int] = ..., stale: bool = ...) -> None: ...

class LatestResponse(_message.Message):
    __slots__ = ("items", "partial", "stale")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[ListedItem]
    partial: bool
    stale: bool
    def __init__(self, items: _Optional[_Iterable[_Union[ListedItem, _Mapping]]] = ..., partial: bool = ..., stale: bool = ...) -> None: ...

class FrequentlyBoughtTogetherRequest(_message.Message):
    __slots__ = ("item", "n", "filter", "boosts", "freshness", "diversity", "now_unix_ms", "stale")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    BOOSTS_FIELD_NUMBER: _ClassVar[int]
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_FIELD_NUMBER: _ClassVar[int]
    NOW_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    item: str
    n: int
    filter: Filter
    boosts: _containers.RepeatedCompositeFieldContainer[Boost]
    freshness: Freshness
    diversity: Diversity
    now_unix_ms: int
    stale: bool
    def __init__(self, item: _Optional[str] = ..., n: _Optional[int] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., boosts: _Optional[_Iterable[_Union[Boost, _Mapping]]] = ..., freshness: _Optional[_Union[Freshness, _Mapping]] = ..., diversity: _Optional[_Union[Diversity, _Mapping]] = ..., now_unix_ms: _Optional[int] = ..., stale: bool = ...) -> None: ...

class FrequentlyBoughtTogetherResponse(_message.Message):
    __slots__ = ("items", "partial", "stale", "baskets")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    BASKETS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[ListedItem]
    partial: bool
    stale: bool
    baskets: int
    def __init__(self, items: _Optional[_Iterable[_Union[ListedItem, _Mapping]]] = ..., partial: bool = ..., stale: bool = ..., baskets: _Optional[int] = ...) -> None: ...
