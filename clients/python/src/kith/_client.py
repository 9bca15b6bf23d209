"""The client."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Callable, Optional, TypeVar, Union

import grpc

from . import _appender
from ._errors import ClosedError, Error, failure
from ._messages import (
    MESSAGE_EVENTS,
    Appended,
    Boost,
    Contribution,
    Diversity,
    Event,
    Explore,
    Filter,
    Freshness,
    HistoryRule,
    Kind,
    List,
    Listed,
    Model,
    Neighbor,
    Neighbors,
    Node as Member,
    Pin,
    PutCounts,
    Recommendation,
    Recommendations,
    Record,
    Rejection,
    Status,
    cut,
    duration_ms,
    to_ms,
)
from ._nodes import Node, Nodes
from .v1 import catalog_pb2, cluster_pb2, event_pb2, recommend_pb2

T = TypeVar("T")

# The pause, in seconds, before the second attempt; each further one is twice as long.
_FIRST_PAUSE = 0.025
_LONGEST_PAUSE = 1.0
# An attempt to write may take so many times as long as one to read: it waits for disks.
_SLOW_WRITES = 5
# The least time, in seconds, between two looks at the nodes of the cluster, however many faults there are.
_REFRESH_GAP = 2.0
# The number of records of which a server names every one that it refuses; 64 KiB each are well below the largest message.
_MESSAGE_RECORDS = 200
_MAX_ANSWER_BYTES = 16 << 20


@dataclass(frozen=True)
class TLS:
    """PEM of the authority of the servers (None for those of the machine), and of a certificate to show with its key, if any."""

    ca: Optional[bytes] = None
    cert: Optional[bytes] = None
    key: Optional[bytes] = None
    server_name: Optional[str] = None

    @staticmethod
    def of_files(ca: Optional[str] = None, cert: Optional[str] = None, key: Optional[str] = None, server_name: Optional[str] = None) -> TLS:
        """Read the files."""

        def read(path: Optional[str]) -> Optional[bytes]:
            if path is None:
                return None
            with open(path, "rb") as f:
                return f.read()

        return TLS(read(ca), read(cert), read(key), server_name)


class Client:
    """Talks to a cluster. Safe for use by several threads; a program needs one.

    `addrs` are host:port of servers; one that answers is enough, and none needs to run yet. `token`, or a function that returns one
    and is called for each attempt, is an API key or a token of OpenID Connect, and needs `tls`. Times are in seconds: `timeout` and
    `write_timeout` bound reads and writes, all attempts together; `attempt_timeout` one attempt of a read where there are several
    nodes, and five times as much of a write. `refresh` is how often the cluster is asked for its nodes; with 0 calls go to `addrs`
    alone, as is right where the addresses that nodes know of themselves cannot be reached from here.

    Every call raises `Error`, or `ClosedError`. Its `timeout` stands in the place of that of the client; of many events or records each message
    has that time.
    """

    def __init__(
        self,
        addrs: Sequence[str],
        *,
        tls: Optional[TLS] = None,
        token: Union[str, Callable[[], str], None] = None,
        timeout: float = 5.0,
        attempt_timeout: float = 2.0,
        write_timeout: float = 30.0,
        refresh: float = 30.0,
    ) -> None:
        if isinstance(addrs, str) or not addrs:
            raise ValueError("addrs: want a list of host:port of servers")
        for addr in addrs:
            if not addr.rpartition(":")[0] or not addr.rpartition(":")[2].isdigit():
                raise ValueError(f"address {addr!r}: want host:port, such as localhost:7801")
        for name, value in ("timeout", timeout), ("attempt_timeout", attempt_timeout), ("write_timeout", write_timeout):
            if not value > 0:
                raise ValueError(f"{name} is {value}; want more than 0 seconds")
        if not refresh >= 0:
            raise ValueError(f"refresh is {refresh}; want 0, for never, or more seconds")
        if token is not None and tls is None:
            raise ValueError("a key or token without TLS would be sent in the clear; add tls")
        self._tls = tls
        self._token: Optional[Callable[[], str]] = (lambda: token) if isinstance(token, str) else token
        self._timeout, self._attempt_timeout, self._write_timeout, self._refresh = timeout, attempt_timeout, write_timeout, refresh
        self._nodes = Nodes(addrs, self._connect)
        self._wake = threading.Event()  # a node failed, or the client is closed
        self._closed = threading.Event()
        self._follower: Optional[threading.Thread] = None
        if refresh > 0:
            self._follower = threading.Thread(target=self._follow, name="kith-nodes", daemon=True)
            self._follower.start()

    def close(self) -> None:
        """End the client: calls that are under way fail. Close its appenders before."""
        self._closed.set()
        self._wake.set()
        self._nodes.close()
        if self._follower is not None:
            self._follower.join()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        self.close()

    # Queries.

    def recommend(
        self,
        user: Optional[str] = None,
        *,
        basket: Union[Sequence[str], Mapping[str, float], None] = None,
        ratings: Optional[Mapping[str, float]] = None,
        n: int = 10,
        model: Model = Model.DEFAULT,
        include_seen: bool = False,
        no_fallback: bool = False,
        stale: bool = False,
        explain: bool = False,
        filter: Optional[Filter] = None,
        exclude_history: Sequence[HistoryRule] = (),
        boosts: Sequence[Boost] = (),
        freshness: Optional[Freshness] = None,
        diversity: Optional[Diversity] = None,
        pins: Sequence[Pin] = (),
        scene: str = "",
        session: str = "",
        item: str = "",
        model_name: str = "",
        explore: Optional[Explore] = None,
        now: Optional[datetime] = None,
        timeout: Optional[float] = None,
    ) -> Recommendations:
        """The n (1 to 1,000) best items for a user, or for a basket: items, or items with weights.

        For a model of ratings, `ratings` has those of items of the basket; of others the weight is the rating, and one without a weight is liked best.

        A user who is not known gets what is popular, unless no_fallback is set: then that is an error, and the answer may be shorter.
        `exclude_history` stands in the place of include_seen. `stale` reads any replica; `explain` asks for contributions.
        `model_name` names a model that the active version was trained with; `explore` gives places to new products.

        A `scene` is a way to answer that the cluster keeps: then there is no model, and there need not be a user or a basket. `session` is
        who asks where there is no user, which decides with an experiment which variant answers; `item` is what a scene about similar items,
        or items bought together, is about.
        """
        if user is not None and basket is not None or not scene and user is None and basket is None:
            raise ValueError("want either a user or a basket")
        if any(i not in (basket or ()) for i in ratings or ()):
            raise ValueError("want ratings of items of the basket")
        req = recommend_pb2.RecommendRequest(
            n=_count(n), model=_enum(model), include_seen=include_seen, no_fallback=no_fallback, stale=stale, explain=explain,
            scene=scene, session=session, item=item, model_name=model_name, explore=None if explore is None else explore.to_proto(),
            exclude_history=[h.to_proto() for h in exclude_history], pins=[p.to_proto() for p in pins],
            **_rules(filter, boosts, freshness, diversity, now),
        )
        if user is not None:
            req.user = user
        elif basket is not None:
            weights = basket if isinstance(basket, Mapping) else dict.fromkeys(basket, 0.0)  # 0 is none given
            rated = ratings or {}
            req.basket.items.extend(recommend_pb2.BasketItem(item=i, weight=w, rating=rated.get(i)) for i, w in weights.items())
        resp: recommend_pb2.RecommendResponse = self._read("recommend", timeout, lambda x, **o: x.recommender.Recommend(req, **o))
        items = [
            Recommendation(i.item, i.score, Model(i.source), [Contribution(c.item, c.score) for c in i.contributions]) for i in resp.items
        ]
        return Recommendations(items, Model(resp.model), resp.model_version, resp.fallback_reason, resp.partial, resp.stale, resp.scene, resp.experiment, resp.variant, resp.answer_id, resp.model_name)

    def similar_items(
        self,
        item: str,
        n: int = 10,
        *,
        filter: Optional[Filter] = None,
        boosts: Sequence[Boost] = (),
        freshness: Optional[Freshness] = None,
        diversity: Optional[Diversity] = None,
        now: Optional[datetime] = None,
        timeout: Optional[float] = None,
    ) -> Neighbors:
        """The n nearest neighbors of an item, at most the K of the model."""
        return self._similar(recommend_pb2.SimilarRequest(item=item, n=_count(n), **_rules(filter, boosts, freshness, diversity, now)), timeout)

    def similar_users(self, user: str, n: int = 10, *, timeout: Optional[float] = None) -> Neighbors:
        """The n users most similar to one."""
        return self._similar(recommend_pb2.SimilarRequest(user=user, n=_count(n)), timeout)

    def _similar(self, req: recommend_pb2.SimilarRequest, timeout: Optional[float]) -> Neighbors:
        resp: recommend_pb2.SimilarResponse = self._read("similar", timeout, lambda x, **o: x.recommender.Similar(req, **o))
        return Neighbors([Neighbor(e.key, e.score) for e in resp.neighbors], resp.model_version, resp.partial, resp.stale)

    def trending(
        self,
        n: int = 10,
        *,
        within: Optional[timedelta] = None,
        weights: Optional[Mapping[str, float]] = None,
        stale: bool = False,
        filter: Optional[Filter] = None,
        boosts: Sequence[Boost] = (),
        freshness: Optional[Freshness] = None,
        diversity: Optional[Diversity] = None,
        now: Optional[datetime] = None,
        timeout: Optional[float] = None,
    ) -> List:
        """The items with the most events of late (None: of 7 days), weighed by behavior (None: as the server does)."""
        req = recommend_pb2.TrendingRequest(
            n=_count(n), within_ms=duration_ms(within, "within"), weights=weights, stale=stale, **_rules(filter, boosts, freshness, diversity, now)
        )
        resp: recommend_pb2.TrendingResponse = self._read("trending", timeout, lambda x, **o: x.recommender.Trending(req, **o))
        return _list(resp)

    def bought_together(
        self,
        item: str,
        n: int = 10,
        *,
        stale: bool = False,
        filter: Optional[Filter] = None,
        boosts: Sequence[Boost] = (),
        freshness: Optional[Freshness] = None,
        diversity: Optional[Diversity] = None,
        now: Optional[datetime] = None,
        timeout: Optional[float] = None,
    ) -> List:
        """The items that were in the most baskets with an item."""
        req = recommend_pb2.FrequentlyBoughtTogetherRequest(
            item=item, n=_count(n), stale=stale, **_rules(filter, boosts, freshness, diversity, now)
        )
        resp: recommend_pb2.FrequentlyBoughtTogetherResponse = self._read(
            "bought together", timeout, lambda x, **o: x.recommender.FrequentlyBoughtTogether(req, **o)
        )
        return _list(resp, resp.baskets)

    def new_arrivals(
        self,
        n: int = 10,
        *,
        attribute: str = "",
        stale: bool = False,
        filter: Optional[Filter] = None,
        diversity: Optional[Diversity] = None,
        now: Optional[datetime] = None,
        timeout: Optional[float] = None,
    ) -> List:
        """The products that came last, by a time attribute ("" for since)."""
        req = recommend_pb2.NewArrivalsRequest(
            n=_count(n), attribute=attribute, stale=stale, filter=_proto(filter), diversity=_proto(diversity), now_unix_ms=to_ms(now)
        )
        resp: recommend_pb2.NewArrivalsResponse = self._read("new arrivals", timeout, lambda x, **o: x.recommender.NewArrivals(req, **o))
        return _list(resp)

    def latest(
        self, n: int = 10, *, stale: bool = False, filter: Optional[Filter] = None, now: Optional[datetime] = None, timeout: Optional[float] = None
    ) -> List:
        """The items with the latest events."""
        req = recommend_pb2.LatestRequest(n=_count(n), stale=stale, filter=_proto(filter), now_unix_ms=to_ms(now))
        resp: recommend_pb2.LatestResponse = self._read("latest", timeout, lambda x, **o: x.recommender.Latest(req, **o))
        return _list(resp)

    def status(self, *, timeout: Optional[float] = None) -> Status:
        """How the cluster is."""
        resp: cluster_pb2.StatusResponse = self._read("status", timeout, lambda x, **o: x.cluster.Status(cluster_pb2.StatusRequest(), **o))
        nodes = [
            Member(m.id, m.grpc_addr, m.state == cluster_pb2.MEMBER_STATE_ALIVE, m.intent == cluster_pb2.MEMBER_INTENT_LEAVE)
            for m in resp.members
            if m.state != cluster_pb2.MEMBER_STATE_LEFT
        ]
        return Status(resp.cluster_id, resp.ready, resp.active_version, nodes)

    # Events and records.

    def append(self, events: Sequence[Event], *, timeout: Optional[float] = None) -> Appended:
        """Store events: afterwards they survive the loss of a minority of the replicas.

        After an error some events may be stored and others not; appending the same objects again stores none twice. Many events at once
        are far cheaper than one; see also `appender`.
        """
        total = Appended()
        self._append_to(total, events, timeout)
        return total

    def _append_to(self, total: Appended, events: Sequence[Event], timeout: Optional[float] = None) -> None:
        """Store events, and add what becomes of each message to a total, which tells how far it came before an error."""
        first = 0
        for batch in cut(events):
            req = event_pb2.AppendRequest(events=batch)
            resp: event_pb2.AppendResponse = self._write("append", timeout, lambda x, req=req, **o: x.events.Append(iter([req]), **o))
            total.stored += resp.appended
            total.duplicates += resp.duplicates
            total.erased += resp.erased
            total.rejected += [Rejection(first + r.index, r.reason, r.detail) for r in resp.rejections]
            first += len(batch)

    def appender(
        self, *, batch: int = MESSAGE_EVENTS, queue: int = 10_000, interval: float = 0.2, lost: Optional[_appender.Lost] = None
    ) -> _appender.Appender:
        """An appender, which stores events in the background. Close it before the client."""
        return _appender.Appender(self, batch=batch, queue=queue, interval=interval, lost=lost)

    def events(self, user: str, *, stale: bool = False, timeout: Optional[float] = None) -> list[Event]:
        """The stored events of a user, by time and id. With stale, any replica is asked: the newest may be missing."""
        req = event_pb2.ListRequest(user=user, stale=stale)
        parts: list[event_pb2.ListResponse] = self._read("events", timeout, lambda x, **o: list(x.events.List(req, **o)))
        return [Event.from_proto(e) for m in parts for e in m.events]

    def put(self, kind: Kind, records: Sequence[Record], *, timeout: Optional[float] = None) -> PutCounts:
        """Store records that are newer than what there is. After an error some may be stored: put them again."""
        total = PutCounts()
        messages = [r.to_proto() for r in records]
        for first in range(0, len(messages), _MESSAGE_RECORDS):
            req = catalog_pb2.PutRecordsRequest(kind=_enum(kind), records=messages[first : first + _MESSAGE_RECORDS])
            resp: catalog_pb2.PutRecordsResponse = self._write("put", timeout, lambda x, req=req, **o: x.catalog.PutRecords(req, **o))
            total.changed += resp.changed
            total.unchanged += resp.unchanged
            total.erased += resp.erased
            total.rejected += [Rejection(first + r.index, "", r.detail) for r in resp.rejections]
        return total

    def get(self, kind: Kind, keys: Sequence[str], *, stale: bool = False, timeout: Optional[float] = None) -> list[Record]:
        """The records of some keys, at most 10,000, by key. Those that are not there are left out."""
        req = catalog_pb2.GetRecordsRequest(kind=_enum(kind), keys=keys, stale=stale)
        parts: list[catalog_pb2.GetRecordsResponse] = self._read("get", timeout, lambda x, **o: list(x.catalog.GetRecords(req, **o)))
        return [Record.from_proto(r) for m in parts for r in m.records]

    def delete(self, kind: Kind, keys: Sequence[str], *, version: Optional[int] = None, timeout: Optional[float] = None) -> int:
        """Delete the records of some keys, at most 10,000, up to a version, and return how many there were.

        None stands for the version of what there is; such a call is tried once, since a second attempt might delete what was put meanwhile.
        """
        req = catalog_pb2.DeleteRecordsRequest(kind=_enum(kind), keys=keys, version=version)
        resp: catalog_pb2.DeleteRecordsResponse = self._write(
            "delete", timeout, lambda x, **o: x.catalog.DeleteRecords(req, **o), once=version is None
        )
        return resp.deleted

    # Calls. What is called gets a node, and the timeout and metadata of gRPC.

    def _read(self, op: str, timeout: Optional[float], f: Callable[..., T]) -> T:
        return self._call(op, self._timeout if timeout is None else timeout, self._attempt_timeout, False, f)

    def _write(self, op: str, timeout: Optional[float], f: Callable[..., T], once: bool = False) -> T:
        return self._call(op, self._write_timeout if timeout is None else timeout, _SLOW_WRITES * self._attempt_timeout, once, f)

    def _call(self, op: str, timeout: float, attempt_timeout: float, once: bool, f: Callable[..., T]) -> T:
        """Call f with one node after the other until it succeeds, fails for good, or the time is over."""
        deadline = time.monotonic() + timeout
        tried: list[Node] = []
        last: Optional[Error] = None
        while True:
            node = self._nodes.pick(tried)
            if node is None:
                raise ClosedError("the client is closed") from last
            again = node in tried
            tried.append(node)
            try:
                return self._try(op, node, again, deadline, attempt_timeout, f)
            except Error as error:
                error.attempts = len(tried)
                late = time.monotonic() >= deadline
                if late and last is not None and error.code == grpc.StatusCode.DEADLINE_EXCEEDED:
                    last.attempts = len(tried)
                    raise last from None  # says more than that the time is over
                last = error
                pause = _pause(len(tried), error.retry_in)
                if once or not error.passes or time.monotonic() + pause >= deadline:
                    raise
            if self._closed.wait(pause):
                raise ClosedError("the client is closed") from last

    def _try(self, op: str, node: Node, again: bool, deadline: float, attempt_timeout: float, f: Callable[..., T]) -> T:
        """Make one attempt and release the node. One that was tried already may be connecting: the call waits for it."""
        well = True
        left = max(0.0, deadline - time.monotonic())
        try:
            timeout = min(left, attempt_timeout) if self._nodes.several() else left
            return f(node, timeout=timeout, metadata=self._metadata(), wait_for_ready=again)
        except grpc.RpcError as e:
            error = failure(op, node.addr, e)
            well = not error.faulty
            if not well:
                self._wake.set()
            raise error from e
        except ValueError as e:  # a channel that close has closed
            if self._closed.is_set():
                raise ClosedError("the client is closed") from e
            raise
        finally:
            self._nodes.release(node, well)

    def _metadata(self) -> Optional[tuple[tuple[str, str], ...]]:
        return None if self._token is None else (("authorization", "Bearer " + self._token().strip()),)

    def _connect(self, addr: str) -> grpc.Channel:
        options: list[tuple[str, Any]] = [
            ("grpc.enable_retries", 0),  # what is tried again is decided here
            ("grpc.keepalive_time_ms", 20_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 5_000),
            ("grpc.max_reconnect_backoff_ms", 2_000),
            ("grpc.max_receive_message_length", _MAX_ANSWER_BYTES),
        ]
        if self._tls is None:
            return grpc.insecure_channel(addr, options)
        if self._tls.server_name:
            options.append(("grpc.ssl_target_name_override", self._tls.server_name))
        return grpc.secure_channel(addr, grpc.ssl_channel_credentials(self._tls.ca, self._tls.key, self._tls.cert), options)

    def _follow(self) -> None:
        """Ask the cluster for its nodes, at first, now and then, and after faults, until the client is closed."""
        while True:
            pause = self._refresh
            try:
                members = [n.addr for n in self.status().nodes if n.alive and not n.leaving and n.addr]
                if members:
                    self._nodes.update(members, self._answering)
            except ClosedError:
                return
            except Exception:  # also what a source of tokens raises: calls tell their callers
                pause = min(pause, _REFRESH_GAP)
            if self._closed.wait(min(_REFRESH_GAP, pause)):
                return
            self._wake.wait(pause * random.uniform(0.5, 1.5))  # clients that began together part
            if self._closed.is_set():
                return
            self._wake.clear()


    def _answering(self, nodes: Sequence[Node]) -> list[Node]:
        """Those of some new nodes that answer within the time of an attempt, all together: others may not be reached from here."""
        req = cluster_pb2.StatusRequest()
        futures = [(n, n.cluster.Status.future(req, timeout=self._attempt_timeout, metadata=self._metadata(), wait_for_ready=True)) for n in nodes]
        return [n for n, future in futures if future.exception() is None]


def _pause(attempts: int, asked: float) -> float:
    """How long to wait after an attempt failed: a random time of a range that doubles, and no less than the server asks for."""
    d = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(attempts - 1, 10))
    return float(max(asked, d / 2) + random.uniform(0, d / 2))


def _count(n: int) -> int:
    if not 1 <= n <= 1000:
        raise ValueError(f"n is {n}; want 1 to 1,000")
    return n


def _enum(x: int) -> Any:
    """A number for a field of the wire, whose generated type is that of its enumeration."""
    return int(x)


def _proto(x: Any) -> Any:
    return None if x is None else x.to_proto()


def _list(resp: Any, baskets: int = 0) -> List:
    return List([Listed.from_proto(i) for i in resp.items], resp.partial, resp.stale, baskets)


def _rules(
    filter: Optional[Filter], boosts: Sequence[Boost], freshness: Optional[Freshness], diversity: Optional[Diversity], now: Optional[datetime]
) -> dict[str, Any]:
    """The fields that several requests have in common."""
    return {
        "filter": _proto(filter), "boosts": [b.to_proto() for b in boosts], "freshness": _proto(freshness), "diversity": _proto(diversity),
        "now_unix_ms": to_ms(now),
    }
