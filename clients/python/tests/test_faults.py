"""What the client does when servers fail, with servers that fail as a test says."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Optional, Union

import grpc
import kith
import pytest
from kith.v1 import event_pb2
from servers import Fake, Refusal, eventually, fakes


def open_client(nodes: list[Fake], timeout: float = 5, attempt_timeout: float = 2, write_timeout: float = 30, refresh: float = 0) -> kith.Client:
    return kith.Client(
        [f.addr for f in nodes], timeout=timeout, attempt_timeout=attempt_timeout, write_timeout=write_timeout, refresh=refresh
    )


def ask(client: kith.Client) -> str:
    return client.recommend("u").items[0].item


def test_reads_take_turns_and_go_to_another_node() -> None:
    with fakes(3) as nodes, open_client(nodes) as client:
        assert Counter(ask(client) for _ in range(30)) == {f.addr: 10 for f in nodes}

        def sick(n: int, context: grpc.ServicerContext) -> None:
            raise Refusal(grpc.StatusCode.UNAVAILABLE)

        nodes[0].on_recommend = sick
        before = nodes[0].calls
        assert nodes[0].addr not in [ask(client) for _ in range(20)]
        assert nodes[0].calls - before <= 3  # left alone for a quarter of a second at least


@pytest.mark.parametrize(
    ("code", "reason", "again"),
    [
        (grpc.StatusCode.UNAVAILABLE, kith.Reason.NO_LEADER, True),
        (grpc.StatusCode.UNAVAILABLE, kith.Reason.NOT_READY, True),
        (grpc.StatusCode.UNAVAILABLE, "", True),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "", True),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, kith.Reason.OVERLOADED, True),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, kith.Reason.RATE_LIMITED, True),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "", False),
        (grpc.StatusCode.INVALID_ARGUMENT, kith.Reason.INVALID, False),
        (grpc.StatusCode.NOT_FOUND, kith.Reason.UNKNOWN_USER, False),
        (grpc.StatusCode.FAILED_PRECONDITION, kith.Reason.NO_MODEL, False),
        (grpc.StatusCode.PERMISSION_DENIED, kith.Reason.FORBIDDEN, False),
        (grpc.StatusCode.INTERNAL, "", False),
    ],
)
def test_what_is_repeated(code: grpc.StatusCode, reason: str, again: bool) -> None:
    def first_fails(n: int, context: grpc.ServicerContext) -> None:
        if n == 1:
            raise Refusal(code, reason, 0.001)

    with fakes(1) as (node,), open_client([node]) as client:
        node.on_recommend = first_fails
        if again:
            assert ask(client) == node.addr
            assert node.calls == 2
            return
        with pytest.raises(kith.Error) as caught:
            ask(client)
        error = caught.value
        assert (error.code, error.reason, error.addr, error.attempts, node.calls) == (code, reason, node.addr, 1, 1)


def test_retry_hint() -> None:
    def busy(n: int, context: grpc.ServicerContext) -> None:
        if n == 1:
            raise Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, kith.Reason.OVERLOADED, 0.15)
        if n > 2:
            raise Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, kith.Reason.RATE_LIMITED, 3600)

    with fakes(1) as (node,), open_client([node]) as client:
        node.on_recommend = busy
        began = time.monotonic()
        ask(client)
        assert time.monotonic() - began >= 0.15
        with pytest.raises(kith.Error) as caught:  # at once: the server asks for more time than there is
            ask(client)
        assert (caught.value.reason, caught.value.retry_in, node.calls) == (kith.Reason.RATE_LIMITED, 3600, 3)


def test_deadlines() -> None:
    release = threading.Event()
    with fakes(2) as (hangs, well):
        hangs.on_recommend = lambda n, context: (release.wait(10), None)[1]
        with open_client([hangs], timeout=0.1) as client:
            with pytest.raises(kith.Error) as caught:
                ask(client)
            assert caught.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
        with open_client([hangs, well], timeout=10, attempt_timeout=0.1) as client:
            assert {ask(client) for _ in range(4)} == {well.addr}
        release.set()


def test_append_repeats_with_the_same_ids() -> None:
    got: list[list[event_pb2.Event]] = []

    def lose_first_answer(n: int, events: list[event_pb2.Event]) -> event_pb2.AppendResponse:
        got.append(events)
        if n == 1:
            raise Refusal(grpc.StatusCode.UNAVAILABLE, "UNKNOWN_OUTCOME")
        return event_pb2.AppendResponse(duplicates=len(events))

    with fakes(1) as (node,), open_client([node]) as client:
        node.on_append = lose_first_answer
        events = [kith.Event("u", "i", kith.VIEW), kith.Event("u", "i", kith.VIEW), kith.Event("u", "i", kith.VIEW, id="mine")]
        assert client.append(events).duplicates == 3
    assert len(got) == 2
    assert got[0] == got[1]
    assert len({e.id for e in got[0]}) == 3
    assert [e.id for e in got[0]] == [e.id for e in events]
    assert got[0][2].id == "mine"


def reject_without_item(n: int, events: list[event_pb2.Event]) -> event_pb2.AppendResponse:
    bad = [event_pb2.RejectedEvent(index=i, reason="no_item", detail="no item") for i, e in enumerate(events) if not e.item]
    return event_pb2.AppendResponse(appended=len(events) - len(bad), rejected=len(bad), rejections=bad)


def test_append_cuts_messages() -> None:
    with fakes(1) as (node,), open_client([node]) as client:
        node.on_append = reject_without_item
        counts = client.append([kith.Event("u", "" if i in (1, 2400) else "i", kith.VIEW) for i in range(2500)])
        assert counts == kith.Appended(stored=2498, rejected=[kith.Rejection(i, "no_item", "no item") for i in (1, 2400)])
        assert node.calls == 3
        with pytest.raises(ValueError, match="shorten its context"):
            client.append([kith.Event("u", "i", kith.VIEW, context={"page": "x" * (2 << 20)})])


def test_delete_is_repeated_only_with_a_version() -> None:
    with fakes(1) as (node,), open_client([node], write_timeout=0.3) as client:
        for version, least, most in (None, 1, 1), (7, 2, 100):
            node.calls = 0
            with pytest.raises(kith.Error):
                client.delete(kith.Kind.PRODUCT, ["p"], version=version)
            assert least <= node.calls <= most


def test_follows_members() -> None:
    with fakes(3) as (first, leaves, joins):
        for f in first, leaves, joins:
            f.members = [first.addr, leaves.addr, "127.0.0.1:1"]  # the last cannot be reached, and gets no calls
        with open_client([first], refresh=0.05, attempt_timeout=0.3) as client:
            eventually(lambda: ask(client) == leaves.addr)
            for f in first, leaves, joins:
                f.members = [first.addr, joins.addr]
            eventually(lambda: ask(client) == joins.addr)
            assert {ask(client) for _ in range(10)} == {first.addr, joins.addr}


def test_appender() -> None:
    sizes: list[int] = []
    lost: list[tuple[str, Optional[str]]] = []

    def keep(n: int, events: list[event_pb2.Event]) -> event_pb2.AppendResponse:
        sizes.append(len(events))
        return reject_without_item(n, events)

    def tell(event: kith.Event, why: Union[kith.Rejection, Exception]) -> None:
        lost.append((event.user, why.code if isinstance(why, kith.Rejection) else None))
        raise RuntimeError("of the caller")  # which is its own affair

    with fakes(1) as (node,), open_client([node]) as client:
        node.on_append = keep
        a = client.appender(batch=10, interval=3600, lost=tell)
        for i in range(25):
            a.add(kith.Event("u", f"i{i}", kith.VIEW))
        eventually(lambda: a.stats().stored == 20)  # full batches go at once
        assert a.flush()
        assert a.stats().stored == 25
        a.add(kith.Event("bad", "", kith.VIEW))
        assert not a.close()
        assert lost == [("bad", "no_item")]
        assert a.stats() == kith.AppenderStats(added=26, stored=25, lost=1)
        assert sizes == [10, 10, 5, 1]
        with pytest.raises(kith.ClosedError):
            a.add(kith.Event("u", "i", kith.VIEW))

        with client.appender(interval=0.01) as soon:
            soon.add(kith.Event("u", "i", kith.VIEW))
            eventually(lambda: soon.stats().stored == 1)


def test_appender_is_bounded_and_gives_up() -> None:
    release = threading.Event()

    def hold(n: int, events: list[event_pb2.Event]) -> None:
        release.wait(10)
        raise Refusal(grpc.StatusCode.FAILED_PRECONDITION)

    lost: list[Union[kith.Rejection, Exception]] = []
    with fakes(1) as (node,), open_client([node]) as client:
        node.on_append = hold
        a = client.appender(batch=2, queue=4, lost=lambda event, why: lost.append(why))
        for _ in range(4):
            a.add(kith.Event("u", "i", kith.VIEW))
        with pytest.raises(TimeoutError):
            a.add(kith.Event("u", "i", kith.VIEW), timeout=0.02)
        with pytest.raises(TimeoutError):
            a.flush(0.02)
        threading.Timer(0.1, release.set).start()
        assert not a.close(0.01)  # the first batch is under way, the second is given up
        assert [type(e) for e in lost] == [kith.Error, kith.Error, kith.ClosedError, kith.ClosedError]


def test_arguments_are_checked() -> None:
    for args, match in [
        ({"addrs": []}, "list of host:port"),
        ({"addrs": "kith:1"}, "list of host:port"),
        ({"addrs": ["kith"]}, "host:port"),
        ({"addrs": ["kith:1"], "token": "k"}, "add tls"),
        ({"addrs": ["kith:1"], "timeout": 0}, "timeout is 0"),
        ({"addrs": ["kith:1"], "refresh": -1}, "refresh is -1"),
    ]:
        with pytest.raises(ValueError, match=match):
            kith.Client(**args)  # type: ignore[arg-type]
    client = kith.Client(["127.0.0.1:1"], refresh=0)
    with pytest.raises(ValueError, match="either a user or a basket"):
        client.recommend()
    with pytest.raises(ValueError, match="n is 0"):
        client.latest(0)
    with pytest.raises(TypeError, match="'size' is a object"):
        client.put(kith.Kind.PRODUCT, [kith.Record("p", {"size": object()})])  # type: ignore[dict-item]
    client.close()
    with pytest.raises(kith.ClosedError):
        client.status()


def test_unknown_model_of_a_later_server() -> None:
    assert kith.Model(77) == 77
    assert kith.Model(77).name == "MODEL_77"
