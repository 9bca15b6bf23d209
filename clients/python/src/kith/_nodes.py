"""The nodes of a cluster, as far as they are known."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from typing import Any, Callable

import grpc

from .v1 import catalog_pb2_grpc, cluster_pb2_grpc, event_pb2_grpc, recommend_pb2_grpc

# How long, in seconds, a node is left alone after a fault; each further one doubles it.
FIRST_ASIDE = 0.5
LONGEST_ASIDE = 30.0


class Node:
    """A server, or what stands at an address before servers."""

    def __init__(self, addr: str, channel: grpc.Channel, seed: bool) -> None:
        self.addr = addr
        self.channel = channel
        self.seed = seed  # given by the caller; used where no member can be
        # The stubs are generated and have no types.
        self.recommender: Any = recommend_pb2_grpc.RecommenderServiceStub(channel)
        self.events: Any = event_pb2_grpc.EventsServiceStub(channel)
        self.catalog: Any = catalog_pb2_grpc.CatalogServiceStub(channel)
        self.cluster: Any = cluster_pb2_grpc.ClusterServiceStub(channel)
        # Guarded by the lock of Nodes.
        self.member = False
        self.calls = 0  # under way
        self.faults = 0  # in a row
        self.until = 0.0  # left alone


class Nodes:
    """Chooses nodes for calls. Safe for use by several threads."""

    def __init__(self, seeds: Sequence[str], connect: Callable[[str], grpc.Channel]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._all = [Node(addr, connect(addr), True) for addr in dict.fromkeys(seeds)]
        self._next = 0
        self._learned = False  # the members are known
        self._closed = False

    def several(self) -> bool:
        with self._lock:
            return len(self._all) > 1

    def pick(self, tried: Sequence[Node]) -> Node | None:
        """The next node for an attempt, if it can be one that was not tried; None after close. Release it.

        Of all nodes those of the best standing take turns: not left alone, not tried, and named by the cluster, in this order.
        """
        now = time.monotonic()
        with self._lock:
            if self._closed:
                return None
            turn = self._all[self._next % len(self._all) :] + self._all[: self._next % len(self._all)]
            node = min(turn, key=lambda n: self._standing(n, tried, now))
            self._next = self._all.index(node) + 1
            node.calls += 1
            return node

    def _standing(self, n: Node, tried: Sequence[Node], now: float) -> int:
        return (1 if self._learned and not n.member else 0) + (2 if n in tried else 0) + (4 if now < n.until else 0)

    def release(self, n: Node, well: bool) -> None:
        """End an attempt; tell whether the node did well."""
        with self._lock:
            n.calls -= 1
            gone = n.calls == 0 and n not in self._all
            if well:
                n.faults = 0
            else:
                aside = min(LONGEST_ASIDE, FIRST_ASIDE * 2 ** min(n.faults, 10))
                n.faults += 1
                n.until = time.monotonic() + aside * random.uniform(0.5, 1)
        if gone:
            n.channel.close()

    def update(self, members: Sequence[str], answers: Callable[[Sequence[Node]], Sequence[Node]]) -> None:
        """Make the members those that the cluster named. Of new ones those join that answer, as a function tells."""
        with self._lock:
            known = {n.addr for n in self._all}
        fresh = [Node(addr, self._connect(addr), False) for addr in dict.fromkeys(members) if addr not in known]
        reached = list(answers(fresh))
        for n in fresh:
            if n not in reached:
                n.channel.close()
        with self._lock:
            if self._closed:
                unused = reached
            else:
                self._all += reached
                for n in self._all:
                    n.member = n.addr in members
                self._learned = any(n.member for n in self._all)
                gone = [n for n in self._all if not n.member and not n.seed]
                self._all = [n for n in self._all if n.member or n.seed]
                unused = [n for n in gone if n.calls == 0]
        for n in unused:
            n.channel.close()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            nodes, self._all = self._all, []
        for n in nodes:
            n.channel.close()
