"""What goes to the cluster and comes back, apart from the wire."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Optional, Union, cast

from .v1 import catalog_pb2, event_pb2, recommend_pb2

VIEW = "view"
SEARCH = "search"
CART = "cart"
PURCHASE = "purchase"
CANCEL = "cancel"
RATING = "rating"
# What became of an answer; see Recommendations.
IMPRESSION = "impression"
CLICK = "click"

# The number of events of which a server names every one that it refuses, and the size of a message, with some room below 1 MiB.
MESSAGE_EVENTS = 1000
_MESSAGE_BYTES = 960 << 10

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)


def to_ms(t: Optional[datetime]) -> int:
    """Milliseconds since 1970; 0 for None."""
    if t is None:
        return 0
    if t.tzinfo is None:
        raise ValueError(f"time {t} has no zone; give one, such as datetime.now(timezone.utc)")
    return (t - _EPOCH) // _MILLISECOND


def from_ms(ms: int) -> Optional[datetime]:
    """The inverse of to_ms."""
    return _EPOCH + ms * _MILLISECOND if ms else None


def duration_ms(d: Optional[timedelta], what: str) -> int:
    """A duration in milliseconds; 0 for None."""
    if d is None:
        return 0
    if d < timedelta(0):
        raise ValueError(f"{what} is {d}; want no less than 0")
    return d // _MILLISECOND


def _now() -> datetime:
    return from_ms(to_ms(datetime.now(timezone.utc))) or _EPOCH


@dataclass
class Event:
    """One observation of a user and an item.

    Keys have 1 to 256 bytes; a behavior is VIEW, PURCHASE, ..., or a name of the shop's own. `value` is a rating or quantity; None
    means 1. `time` has a zone, and counts to the millisecond; None means unknown. `id` makes the event idempotent: a second one of
    the same user and id changes nothing. It is made up with the object, so that storing the same object again is harmless.
    """

    user: str
    item: str
    behavior: str
    value: Optional[float] = None
    time: Optional[datetime] = field(default_factory=_now)
    context: Mapping[str, str] = field(default_factory=dict)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def to_proto(self) -> event_pb2.Event:
        return event_pb2.Event(
            id=self.id, user=self.user, item=self.item, behavior=self.behavior, value=self.value, time_unix_ms=to_ms(self.time), context=self.context
        )

    @staticmethod
    def from_proto(m: event_pb2.Event) -> Event:
        value = m.value if m.HasField("value") else None
        return Event(m.user, m.item, m.behavior, value, from_ms(m.time_unix_ms), dict(m.context), m.id)


def cut(events: Sequence[Event]) -> Iterator[list[event_pb2.Event]]:
    """Cut events into messages. Raises ValueError for an event that cannot be sent."""
    batch: list[event_pb2.Event] = []
    size = 0
    for e in events:
        m = e.to_proto()
        n = m.ByteSize() + 5  # with its length and the number of the field
        if n > _MESSAGE_BYTES:
            raise ValueError(f"event {e.id!r} of user {e.user!r} has {n} bytes; want at most {_MESSAGE_BYTES}: shorten its context")
        if batch and (len(batch) == MESSAGE_EVENTS or size + n > _MESSAGE_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(m)
        size += n
    if batch:
        yield batch


@dataclass(frozen=True)
class Rejection:
    """Why an event or a record was refused: its position in the argument, a stable code (none for records), and a text for people."""

    index: int
    code: str
    detail: str

    def __str__(self) -> str:
        return self.detail


@dataclass
class Appended:
    """What became of events. Those that are erased were not stored, since their user was erased after their time."""

    stored: int = 0
    duplicates: int = 0
    erased: int = 0
    rejected: list[Rejection] = field(default_factory=list)


class Model(enum.IntEnum):
    """A way of scoring. NEWEST, PINNED and EXPLORED are only in answers; TRAINED is the model of model_name."""

    DEFAULT = recommend_pb2.MODEL_UNSPECIFIED
    ITEM_KNN = recommend_pb2.MODEL_ITEM_KNN
    USER_KNN = recommend_pb2.MODEL_USER_KNN
    HYBRID = recommend_pb2.MODEL_HYBRID
    POPULARITY = recommend_pb2.MODEL_POPULARITY
    NEWEST = recommend_pb2.MODEL_NEWEST
    PINNED = recommend_pb2.MODEL_PINNED
    EXPLORED = recommend_pb2.MODEL_EXPLORED
    TRAINED = recommend_pb2.MODEL_TRAINED

    @classmethod
    def _missing_(cls, value: object) -> Optional[Model]:
        """A model that a later server knows and this client does not."""
        if not isinstance(value, int):
            return None
        unknown: Any = int.__new__(cls, value)
        unknown._name_, unknown._value_ = f"MODEL_{value}", value
        return cast(Model, unknown)


@dataclass(frozen=True)
class Condition:
    """A test of one attribute of a product: any_of, all_of, none_of, between, at_least, at_most and available make one."""

    proto: recommend_pb2.Condition


def any_of(attribute: str, *texts: str) -> Condition:
    """The attribute is, or has among its texts, one of the texts."""
    return Condition(recommend_pb2.Condition(attribute=attribute, any_of=catalog_pb2.TextList(texts=texts)))


def all_of(attribute: str, *texts: str) -> Condition:
    """The attribute has all of the texts."""
    return Condition(recommend_pb2.Condition(attribute=attribute, all_of=catalog_pb2.TextList(texts=texts)))


def none_of(attribute: str, *texts: str) -> Condition:
    """The attribute has none of the texts, or the item does not have it."""
    return Condition(recommend_pb2.Condition(attribute=attribute, none_of=catalog_pb2.TextList(texts=texts)))


def between(attribute: str, low: Optional[float], high: Optional[float]) -> Condition:
    """The attribute is a number from low to high, or a time between them in Unix milliseconds. None is no bound."""
    return Condition(recommend_pb2.Condition(attribute=attribute, range=recommend_pb2.Range(min=low, max=high)))


def at_least(attribute: str, low: float) -> Condition:
    """As between, without an upper bound."""
    return between(attribute, low, None)


def at_most(attribute: str, high: float) -> Condition:
    """As between, without a lower bound."""
    return between(attribute, None, high)


def available(attribute: str) -> Condition:
    """The attribute is a number above 0, or true."""
    return Condition(recommend_pb2.Condition(attribute=attribute, available=recommend_pb2.Available()))


@dataclass(frozen=True)
class Filter:
    """Which items may be in an answer: those that meet all of it. `allow`, unless empty, has the only ones."""

    conditions: Sequence[Condition] = ()
    allow: Sequence[str] = ()
    deny: Sequence[str] = ()
    only_products: bool = False

    def to_proto(self) -> recommend_pb2.Filter:
        return recommend_pb2.Filter(
            conditions=[c.proto for c in self.conditions], allow=self.allow, deny=self.deny, only_products=self.only_products
        )


@dataclass(frozen=True)
class Boost:
    """Multiplies the scores of the items that pass a filter."""

    factor: float
    filter: Filter = Filter()

    def to_proto(self) -> recommend_pb2.Boost:
        return recommend_pb2.Boost(filter=self.filter.to_proto(), factor=self.factor)


@dataclass(frozen=True)
class Freshness:
    """Multiplies the score of a product by 1 + strength * 2^(-age/half_life); `attribute` is the time at which it came, "" for since."""

    half_life: timedelta
    attribute: str = ""
    strength: float = 1

    def to_proto(self) -> recommend_pb2.Freshness:
        return recommend_pb2.Freshness(
            attribute=self.attribute, half_life_ms=duration_ms(self.half_life, "half_life"), strength=self.strength
        )


@dataclass(frozen=True)
class Diversity:
    """Spreads an answer over groups: products whose attribute ("" for category) has the same text.

    `mmr_lambda` is that of maximal marginal relevance: 1 is relevance alone, 0 spread alone. `max_per_group` of 0 is no bound.
    With `by_similarity`, which is of recommendations alone, it looks at how similar items are, in place of groups.
    """

    attribute: str = ""
    mmr_lambda: Optional[float] = None
    max_per_group: int = 0
    by_similarity: bool = False

    def to_proto(self) -> recommend_pb2.Diversity:
        out = recommend_pb2.Diversity(attribute=self.attribute, max_per_group=self.max_per_group, by_similarity=self.by_similarity)
        if self.mmr_lambda is not None:
            setattr(out, "lambda", self.mmr_lambda)  # a word of Python
        return out


@dataclass(frozen=True)
class Explore:
    """Gives places of an answer to products that came of late (None: within 14 days) and that the model does not recommend yet.

    `attribute` is the time at which a product came, "" for since.
    """

    places: int
    within: Optional[timedelta] = None
    attribute: str = ""

    def to_proto(self) -> recommend_pb2.Explore:
        within = 0 if self.within is None else duration_ms(self.within, "within")
        return recommend_pb2.Explore(places=self.places, within_ms=within, attribute=self.attribute)


@dataclass(frozen=True)
class HistoryRule:
    """Names items by events of the user: of some behaviors (none means any), not older than within (None means of any age)."""

    behaviors: Sequence[str] = ()
    within: Optional[timedelta] = None

    def to_proto(self) -> recommend_pb2.HistoryRule:
        return recommend_pb2.HistoryRule(behaviors=self.behaviors, within_ms=duration_ms(self.within, "within"))


@dataclass(frozen=True)
class Pin:
    """Gives an item a rank, from 1."""

    item: str
    rank: int

    def to_proto(self) -> recommend_pb2.Pin:
        return recommend_pb2.Pin(item=self.item, rank=self.rank)


@dataclass(frozen=True)
class Contribution:
    """The share of an item of the history in a score."""

    item: str
    score: float


@dataclass(frozen=True)
class Recommendation:
    """One rank of an answer. Scores are comparable only within the answer and their source; contributions add up to it."""

    item: str
    score: float
    source: Model
    contributions: list[Contribution]


@dataclass(frozen=True)
class Recommendations:
    """A ranked answer.

    `version` is that of the model, 0 when there is none yet. `fallback` says why popularity filled some or all of it, "" when it did
    not. `partial` says that some partition could not be asked, `stale` that the newest events or products may be missing.
    `model_name` is that of a trained model, "" for others.
    `scene` is the one that was asked for, `experiment` and `variant` what the caller is in, and `id` stands for the answer: "" if there is none.
    """

    items: list[Recommendation]
    model: Model
    version: int
    fallback: str
    partial: bool
    stale: bool
    scene: str = ""
    experiment: str = ""
    variant: str = ""
    id: str = ""
    model_name: str = ""

    def impression(self, user: str, item: str) -> Event:
        """The event that an item of this answer was shown to a user, or to the session that asked: append it."""
        return self._outcome(IMPRESSION, user, item)

    def click(self, user: str, item: str) -> Event:
        """The event that such an item was clicked on. Purchases behind a click count by themselves."""
        return self._outcome(CLICK, user, item)

    def _outcome(self, behavior: str, user: str, item: str) -> Event:
        return Event(user, item, behavior, context={"answer": self.id} if self.id else {})


@dataclass(frozen=True)
class Neighbor:
    """The key of a similar item or user."""

    key: str
    score: float


@dataclass(frozen=True)
class Neighbors:
    """The items or users most similar to one, by score descending."""

    neighbors: list[Neighbor]
    version: int
    partial: bool
    stale: bool


@dataclass(frozen=True)
class Listed:
    """One rank of a list: its score is a sum of weights of events or a number of baskets; its time that of an arrival or a last event."""

    item: str
    score: float
    time: Optional[datetime]

    @staticmethod
    def from_proto(m: recommend_pb2.ListedItem) -> Listed:
        return Listed(m.item, m.score, from_ms(m.time_unix_ms))


@dataclass(frozen=True)
class List:
    """A ranked list of items. `baskets`, of bought_together, is the number of those that have the item."""

    items: list[Listed]
    partial: bool
    stale: bool
    baskets: int = 0


class Kind(enum.IntEnum):
    """What records are about. Keys of one kind are apart from those of the other."""

    PRODUCT = catalog_pb2.RECORD_KIND_PRODUCT
    USER = catalog_pb2.RECORD_KIND_USER


# The values of attributes. Times count to the millisecond; an int is a number, and is read as a float.
Value = Union[str, bool, float, datetime, Sequence[str]]


def _milliseconds_now() -> int:
    return to_ms(_now())


@dataclass
class Record:
    """What is known of one product or user.

    `version` is the time of the last change in Unix milliseconds, or its number: a higher one replaces a lower one. It is that of the
    making of the object if it is not given.
    """

    key: str
    attributes: Mapping[str, Value]
    version: int = field(default_factory=_milliseconds_now)

    def to_proto(self) -> catalog_pb2.Record:
        m = catalog_pb2.Record(key=self.key, version=self.version)
        for name, value in self.attributes.items():
            a = m.attributes.add(name=name)
            if isinstance(value, str):
                a.text = value
            elif isinstance(value, bool):
                a.truth = value
            elif isinstance(value, (int, float)):
                a.number = value
            elif isinstance(value, datetime):
                a.time_unix_ms = to_ms(value)
            elif isinstance(value, Sequence):
                a.texts.texts.extend(value)
            else:
                raise TypeError(f"record {self.key!r}: attribute {name!r} is a {type(value).__name__}; want str, bool, float, datetime or a list of str")
        return m

    @staticmethod
    def from_proto(m: catalog_pb2.Record) -> Record:
        attributes: dict[str, Value] = {}
        for a in m.attributes:
            kind = a.WhichOneof("value")
            if kind == "text":
                attributes[a.name] = a.text
            elif kind == "truth":
                attributes[a.name] = a.truth
            elif kind == "number":
                attributes[a.name] = a.number
            elif kind == "time_unix_ms":
                attributes[a.name] = _EPOCH + a.time_unix_ms * _MILLISECOND
            elif kind == "texts":
                attributes[a.name] = list(a.texts.texts)
        return Record(m.key, attributes, m.version)


@dataclass
class PutCounts:
    """What became of records: they replaced older ones or were the first, were known or older, were of erased users, or were refused."""

    changed: int = 0
    unchanged: int = 0
    erased: int = 0
    rejected: list[Rejection] = field(default_factory=list)


@dataclass(frozen=True)
class Node:
    """A member of the cluster: alive if it answers the others, leaving if it is on its way out."""

    id: str
    addr: str
    alive: bool
    leaving: bool


@dataclass(frozen=True)
class Status:
    """The cluster as a node sees it. It is ready if all partitions have leaders; `version` is that of the active model, 0 for none."""

    id: str
    ready: bool
    version: int
    nodes: list[Node]
