from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FeatureOptions(_message.Message):
    __slots__ = ("now_unix_ms", "session_gap_ms", "category_attribute", "price_attribute")
    NOW_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    SESSION_GAP_MS_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    PRICE_ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    now_unix_ms: int
    session_gap_ms: int
    category_attribute: str
    price_attribute: str
    def __init__(self, now_unix_ms: _Optional[int] = ..., session_gap_ms: _Optional[int] = ..., category_attribute: _Optional[str] = ..., price_attribute: _Optional[str] = ...) -> None: ...

class UserFeatures(_message.Message):
    __slots__ = ("user", "events", "items", "first_unix_ms", "last_unix_ms", "last_order_unix_ms", "orders", "revenue", "quantity", "canceled", "unpriced", "sessions", "categories", "prices", "rfm")
    class EventsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    USER_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    FIRST_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_ORDER_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    ORDERS_FIELD_NUMBER: _ClassVar[int]
    REVENUE_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    CANCELED_FIELD_NUMBER: _ClassVar[int]
    UNPRICED_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    PRICES_FIELD_NUMBER: _ClassVar[int]
    RFM_FIELD_NUMBER: _ClassVar[int]
    user: str
    events: _containers.ScalarMap[str, int]
    items: int
    first_unix_ms: int
    last_unix_ms: int
    last_order_unix_ms: int
    orders: int
    revenue: float
    quantity: float
    canceled: float
    unpriced: float
    sessions: SessionFeatures
    categories: _containers.RepeatedCompositeFieldContainer[CategoryShare]
    prices: PriceAffinity
    rfm: RfmClasses
    def __init__(self, user: _Optional[str] = ..., events: _Optional[_Mapping[str, int]] = ..., items: _Optional[int] = ..., first_unix_ms: _Optional[int] = ..., last_unix_ms: _Optional[int] = ..., last_order_unix_ms: _Optional[int] = ..., orders: _Optional[int] = ..., revenue: _Optional[float] = ..., quantity: _Optional[float] = ..., canceled: _Optional[float] = ..., unpriced: _Optional[float] = ..., sessions: _Optional[_Union[SessionFeatures, _Mapping]] = ..., categories: _Optional[_Iterable[_Union[CategoryShare, _Mapping]]] = ..., prices: _Optional[_Union[PriceAffinity, _Mapping]] = ..., rfm: _Optional[_Union[RfmClasses, _Mapping]] = ...) -> None: ...

class SessionFeatures(_message.Message):
    __slots__ = ("count", "mean_events", "mean_seconds", "converted")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    MEAN_EVENTS_FIELD_NUMBER: _ClassVar[int]
    MEAN_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CONVERTED_FIELD_NUMBER: _ClassVar[int]
    count: int
    mean_events: float
    mean_seconds: float
    converted: float
    def __init__(self, count: _Optional[int] = ..., mean_events: _Optional[float] = ..., mean_seconds: _Optional[float] = ..., converted: _Optional[float] = ...) -> None: ...

class CategoryShare(_message.Message):
    __slots__ = ("category", "share")
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    category: str
    share: float
    def __init__(self, category: _Optional[str] = ..., share: _Optional[float] = ...) -> None: ...

class PriceAffinity(_message.Message):
    __slots__ = ("mean", "low", "median", "high")
    MEAN_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    MEDIAN_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    mean: float
    low: float
    median: float
    high: float
    def __init__(self, mean: _Optional[float] = ..., low: _Optional[float] = ..., median: _Optional[float] = ..., high: _Optional[float] = ...) -> None: ...

class RfmClasses(_message.Message):
    __slots__ = ("recency", "frequency", "monetary")
    RECENCY_FIELD_NUMBER: _ClassVar[int]
    FREQUENCY_FIELD_NUMBER: _ClassVar[int]
    MONETARY_FIELD_NUMBER: _ClassVar[int]
    recency: int
    frequency: int
    monetary: int
    def __init__(self, recency: _Optional[int] = ..., frequency: _Optional[int] = ..., monetary: _Optional[int] = ...) -> None: ...

class ProductFeatures(_message.Message):
    __slots__ = ("item", "events", "users", "buyers", "quantity", "canceled", "unpriced", "revenue", "first_unix_ms", "last_unix_ms")
    class EventsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    ITEM_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    BUYERS_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    CANCELED_FIELD_NUMBER: _ClassVar[int]
    UNPRICED_FIELD_NUMBER: _ClassVar[int]
    REVENUE_FIELD_NUMBER: _ClassVar[int]
    FIRST_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    item: str
    events: _containers.ScalarMap[str, int]
    users: int
    buyers: int
    quantity: float
    canceled: float
    unpriced: float
    revenue: float
    first_unix_ms: int
    last_unix_ms: int
    def __init__(self, item: _Optional[str] = ..., events: _Optional[_Mapping[str, int]] = ..., users: _Optional[int] = ..., buyers: _Optional[int] = ..., quantity: _Optional[float] = ..., canceled: _Optional[float] = ..., unpriced: _Optional[float] = ..., revenue: _Optional[float] = ..., first_unix_ms: _Optional[int] = ..., last_unix_ms: _Optional[int] = ...) -> None: ...

class GetUserFeaturesRequest(_message.Message):
    __slots__ = ("options", "users", "stale")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    options: FeatureOptions
    users: _containers.RepeatedScalarFieldContainer[str]
    stale: bool
    def __init__(self, options: _Optional[_Union[FeatureOptions, _Mapping]] = ..., users: _Optional[_Iterable[str]] = ..., stale: bool = ...) -> None: ...

class GetUserFeaturesResponse(_message.Message):
    __slots__ = ("now_unix_ms", "users")
    NOW_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    now_unix_ms: int
    users: _containers.RepeatedCompositeFieldContainer[UserFeatures]
    def __init__(self, now_unix_ms: _Optional[int] = ..., users: _Optional[_Iterable[_Union[UserFeatures, _Mapping]]] = ...) -> None: ...

class ListUserFeaturesRequest(_message.Message):
    __slots__ = ("options", "without_rfm")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_RFM_FIELD_NUMBER: _ClassVar[int]
    options: FeatureOptions
    without_rfm: bool
    def __init__(self, options: _Optional[_Union[FeatureOptions, _Mapping]] = ..., without_rfm: bool = ...) -> None: ...

class ListUserFeaturesResponse(_message.Message):
    __slots__ = ("now_unix_ms", "users")
    NOW_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    USERS_FIELD_NUMBER: _ClassVar[int]
    now_unix_ms: int
    users: _containers.RepeatedCompositeFieldContainer[UserFeatures]
    def __init__(self, now_unix_ms: _Optional[int] = ..., users: _Optional[_Iterable[_Union[UserFeatures, _Mapping]]] = ...) -> None: ...

class GetProductFeaturesRequest(_message.Message):
    __slots__ = ("options", "items")
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    options: FeatureOptions
    items: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, options: _Optional[_Union[FeatureOptions, _Mapping]] = ..., items: _Optional[_Iterable[str]] = ...) -> None: ...

class GetProductFeaturesResponse(_message.Message):
    __slots__ = ("now_unix_ms", "products")
    NOW_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    PRODUCTS_FIELD_NUMBER: _ClassVar[int]
    now_unix_ms: int
    products: _containers.RepeatedCompositeFieldContainer[ProductFeatures]
    def __init__(self, now_unix_ms: _Optional[int] = ..., products: _Optional[_Iterable[_Union[ProductFeatures, _Mapping]]] = ...) -> None: ...

class ListProductFeaturesRequest(_message.Message):
    __slots__ = ("options",)
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    options: FeatureOptions
    def __init__(self, options: _Optional[_Union[FeatureOptions, _Mapping]] = ...) -> None: ...

class ListProductFeaturesResponse(_message.Message):
    __slots__ = ("now_unix_ms", "products")
    NOW_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    PRODUCTS_FIELD_NUMBER: _ClassVar[int]
    now_unix_ms: int
    products: _containers.RepeatedCompositeFieldContainer[ProductFeatures]
    def __init__(self, now_unix_ms: _Optional[int] = ..., products: _Optional[_Iterable[_Union[ProductFeatures, _Mapping]]] = ...) -> None: ...
