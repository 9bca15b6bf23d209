"""All calls to a real server, with TLS and an API key."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Callable

import kith
import pytest
from servers import Server

NOW = datetime(2026, 5, 4, 12, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    s = Server(tmp_path_factory.mktemp("kith"))
    try:
        yield s
    finally:
        s.stop()


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[kith.Client]:
    with kith.Client([server.addr], tls=kith.TLS.of_files(str(server.folder / "certs/ca.crt")), token=server.key) as c:
        server.wait(c)
        yield c


def test_all_calls(server: Server, client: kith.Client) -> None:
    events = [
        kith.Event(f"u{u}", item, kith.PURCHASE, 2, NOW, {"order": f"o{u}"})
        for u in range(12)
        for item in (("x",) if u == 0 else ("x", "y", "z") if u % 2 == 0 else ("p", "q"))
    ]
    assert client.append(events) == kith.Appended(stored=len(events))
    assert client.append(events) == kith.Appended(duplicates=len(events))
    assert [r.code for r in client.append([kith.Event("", "x", kith.VIEW)]).rejected] == ["no_user"]
    assert client.events("u0") == events[:1]

    records = [
        kith.Record("y", {"category": "shoes", "price": 50, "tags": ["a", "b"], "sale": True, "stock": 3.0, "since": NOW}),
        kith.Record("z", {"category": "hats", "price": 20, "since": NOW - timedelta(hours=1)}),
    ]
    assert client.put(kith.Kind.PRODUCT, records).changed == 2
    assert client.put(kith.Kind.PRODUCT, records).unchanged == 2
    assert client.get(kith.Kind.PRODUCT, ["y", "nothing"]) == records[:1]
    server.operate("build", "--wait")

    answer = client.recommend(
        "u0", n=1, model=kith.Model.ITEM_KNN, explain=True, boosts=[kith.Boost(2)], freshness=kith.Freshness(timedelta(days=1)),
        diversity=kith.Diversity(mmr_lambda=0.5, max_per_group=1), exclude_history=[kith.HistoryRule([kith.PURCHASE], timedelta(days=1))],
        filter=kith.Filter([
            kith.any_of("category", "shoes"), kith.all_of("tags", "a", "b"), kith.none_of("tags", "c"), kith.between("price", 10, 50),
            kith.at_least("price", 50), kith.at_most("price", 50), kith.available("stock"),
        ]), now=NOW,
    )
    assert [(r.item, r.source) for r in answer.items] == [("y", kith.Model.ITEM_KNN)]
    assert [c.item for c in answer.items[0].contributions] == ["x"]
    assert answer.version == client.status().version > 0
    pinned = client.recommend(basket=["p"], n=1, pins=[kith.Pin("z", 1)])
    assert [(r.item, r.source) for r in pinned.items] == [("z", kith.Model.PINNED)]
    assert client.recommend(basket={"p": 2.0}, n=1).items[0].item == "q"
    assert client.recommend(basket=["p"], ratings={"p": 0.0}, n=1).items[0].item == "q"
    with pytest.raises(ValueError, match="of the basket"):
        client.recommend(basket=["p"], ratings={"q": 1.0})
    (server.folder / "scenes.yaml").write_text(
        "scenes: [{name: home, model: popularity}, {name: product, model: similar}]\n"
        "experiments: [{name: first, scene: home, start: 2026-01-01, end: 2099-01-01, variants: [{name: a, scene: home}, {name: b, scene: home}]}]\n"
    )
    server.operate("scenes", "apply", "scenes.yaml")
    home = client.recommend(scene="home", session="s1", n=1)
    assert (home.scene, home.experiment) == ("home", "first") and home.variant in ("a", "b") and home.id
    outcome = [home.impression("s1", home.items[0].item), home.click("s1", home.items[0].item)]
    assert [e.context for e in outcome] == [{"answer": home.id}] * 2
    assert client.append(outcome).stored == 2
    assert client.recommend(scene="product", item="y", n=1).items[0].item == "z"
    with pytest.raises(ValueError):
        client.recommend()
    assert client.similar_items("y", 1).neighbors[0].key == "z"
    assert client.similar_users("u2", 1).neighbors[0].score > 0
    trending = client.trending(1, within=timedelta(days=1), weights={kith.PURCHASE: 1}, now=NOW + timedelta(hours=1))
    assert [i.score for i in trending.items] == [6]
    together = client.bought_together("x", 1)
    assert ([i.score for i in together.items], together.baskets) == ([5], 6)
    assert client.new_arrivals(1, filter=kith.Filter(deny=["y"])).items == [kith.Listed("z", 0, NOW - timedelta(hours=1))]
    assert client.latest(1, filter=kith.Filter(allow=["q"])).items == [kith.Listed("q", 0, NOW)]
    assert client.delete(kith.Kind.PRODUCT, ["z"]) == 1

    status = client.status()
    assert status.ready
    assert [(n.addr, n.alive, n.leaving) for n in status.nodes] == [(server.addr, True, False)]

    refused: list[tuple[Callable[[], object], str]] = [
        (lambda: client.recommend("nobody", no_fallback=True), kith.Reason.UNKNOWN_USER),
        (lambda: client.similar_items("nothing"), kith.Reason.UNKNOWN_ITEM),
        (lambda: client.recommend("u0", boosts=[kith.Boost(-1)]), kith.Reason.INVALID),
    ]
    for call, reason in refused:
        with pytest.raises(kith.Error) as caught:
            call()
        assert caught.value.reason == reason

    with client.appender(interval=0.01) as a:
        for i in range(1500):
            a.add(kith.Event("busy", f"i{i}", kith.VIEW))
        assert a.flush()
    assert len(client.events("busy")) == 1500


def test_credentials(server: Server, client: kith.Client) -> None:
    ca, cert, key = (str(server.folder / "certs" / f) for f in ("ca.crt", "ops.crt", "ops.key"))
    with kith.Client([server.addr], tls=kith.TLS.of_files(ca, cert, key)) as mutual:
        assert mutual.status().ready
    for token, reason in (None, kith.Reason.UNAUTHENTICATED), (lambda: "kith_wrong", kith.Reason.UNAUTHENTICATED):
        with kith.Client([server.addr], tls=kith.TLS.of_files(ca), token=token) as stranger, pytest.raises(kith.Error) as caught:
            stranger.status()
        assert caught.value.reason == reason
    with kith.Client([server.addr], timeout=0.5, refresh=0) as plain, pytest.raises(kith.Error):
        plain.status()


def test_example(server: Server, client: kith.Client) -> None:
    example = Path(__file__).parent.parent / "examples" / "shop.py"
    done = subprocess.run(
        [sys.executable, str(example), server.addr, "--ca", str(server.folder / "certs/ca.crt")],
        env={"KITH_API_KEY": server.key, "PYTHONPATH": str(example.parent.parent / "src")}, capture_output=True, text=True, check=False, timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "for u1:" in done.stdout
