"""Servers for tests: real ones, and fakes that do what a test says."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Optional

import grpc
import kith
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from kith.v1 import catalog_pb2, catalog_pb2_grpc, cluster_pb2, cluster_pb2_grpc, event_pb2, event_pb2_grpc, recommend_pb2, recommend_pb2_grpc

PATIENCE = 60.0


def kith_binary() -> str:
    path = os.environ.get("KITH_BINARY", "")
    if not path:
        raise RuntimeError("KITH_BINARY is not set; run the tests with make test-clients")
    return path


class Server:
    """A process of kith with TLS and API keys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run("cert", "ca", "--cluster", "shop")
        self.run("cert", "node", "a", "--host", "127.0.0.1")
        self.run("cert", "client", "ops", "--roles", "admin")
        self.key = self.run("key", "create", "--name", "web", "--roles", "read,write").strip().splitlines()[-1].split()[-1]
        ports = free_ports(3)
        self.addr = f"127.0.0.1:{ports[0]}"
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            [
                kith_binary(), "server", "--local", "--data-dir", "data", "--partitions", "2", "--cache-mib", "8", "--build-every", "0",
                "--grpc-addr", self.addr, "--raft-addr", f"127.0.0.1:{ports[1]}", "--gossip-addr", f"127.0.0.1:{ports[2]}",
                "--tls-ca", "certs/ca.crt", "--tls-cert", "certs/a.crt", "--tls-key", "certs/a.key", "--keys-file", "keys.json",
            ],
            cwd=folder, stdout=self._log, stderr=subprocess.STDOUT,
        )

    def run(self, *args: str) -> str:
        done = subprocess.run([kith_binary(), *args], cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"kith {' '.join(args)}: {done.stderr}")
        return done.stdout

    def operate(self, *args: str) -> str:
        """Run a command as an administrator."""
        return self.run(*args, "--addr", self.addr, "--tls-ca", "certs/ca.crt", "--tls-cert", "certs/ops.crt", "--tls-key", "certs/ops.key")

    def wait(self, client: kith.Client) -> None:
        """Wait until the server is ready."""

        def ready() -> bool:
            if self._process.poll() is not None:
                raise RuntimeError(f"the server has ended: {(self.folder / 'log').read_text()}")
            try:
                return client.status(timeout=1).ready
            except kith.Error:
                return False

        eventually(ready)

    def stop(self) -> None:
        self._process.terminate()
        try:
            code = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            self._log.close()
        assert code == 0, (self.folder / "log").read_text()


def free_ports(n: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports: list[int] = [s.getsockname()[1] for s in listeners]
    for s in listeners:
        s.close()
    return ports


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"not in {PATIENCE} s"
        time.sleep(0.01)


class Refusal(Exception):
    """An error as servers of kith send it, or, without a reason, as others do."""

    def __init__(self, code: grpc.StatusCode, reason: str = "", retry_in: float = 0) -> None:
        super().__init__(reason)
        self.code, self.reason, self.retry_in = code, reason, retry_in

    def send(self, context: grpc.ServicerContext) -> None:
        if self.reason:
            info, retry = any_pb2.Any(), any_pb2.Any()
            info.Pack(error_details_pb2.ErrorInfo(domain="kith", reason=self.reason))
            retry.Pack(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(nanos=int(self.retry_in * 1e9) % 10**9, seconds=int(self.retry_in))))
            code: tuple[int, str] = self.code.value
            st = status_pb2.Status(code=code[0], message=f"no: {self.reason}", details=[info, retry])
            context.set_trailing_metadata((("grpc-status-details-bin", st.SerializeToString()),))
        context.abort(self.code, f"no: {self.reason}")


class Fake(
    recommend_pb2_grpc.RecommenderServiceServicer,
    event_pb2_grpc.EventsServiceServicer,
    cluster_pb2_grpc.ClusterServiceServicer,
    catalog_pb2_grpc.CatalogServiceServicer,
):
    """A server that does what its functions say, which get the number of the call, from 1."""

    def __init__(self) -> None:
        self.calls = 0
        self.addr = ""
        self.members: list[str] = []
        self.on_recommend: Callable[[int, grpc.ServicerContext], None] = lambda n, context: None
        self.on_append: Callable[[int, list[event_pb2.Event]], Optional[event_pb2.AppendResponse]] = lambda n, events: None

    def Recommend(self, request: Any, context: grpc.ServicerContext) -> recommend_pb2.RecommendResponse:
        self.calls += 1
        try:
            self.on_recommend(self.calls, context)
        except Refusal as r:
            r.send(context)
        return recommend_pb2.RecommendResponse(items=[recommend_pb2.RecommendedItem(item=self.addr)], model=recommend_pb2.MODEL_HYBRID)

    def Append(self, request_iterator: Iterator[event_pb2.AppendRequest], context: grpc.ServicerContext) -> event_pb2.AppendResponse:
        events = [e for m in request_iterator for e in m.events]
        self.calls += 1
        try:
            return self.on_append(self.calls, events) or event_pb2.AppendResponse(appended=len(events))
        except Refusal as r:
            r.send(context)
            raise

    def DeleteRecords(self, request: Any, context: grpc.ServicerContext) -> catalog_pb2.DeleteRecordsResponse:
        self.calls += 1
        Refusal(grpc.StatusCode.UNAVAILABLE, "UNKNOWN_OUTCOME").send(context)
        return catalog_pb2.DeleteRecordsResponse()

    def Status(self, request: Any, context: grpc.ServicerContext) -> cluster_pb2.StatusResponse:
        return cluster_pb2.StatusResponse(
            members=[cluster_pb2.Member(id=m, grpc_addr=m, state=cluster_pb2.MEMBER_STATE_ALIVE) for m in self.members]
        )


@contextmanager
def fakes(n: int) -> Iterator[list[Fake]]:
    """Serve n fakes."""
    made, servers = [], []
    for _ in range(n):
        fake, server = Fake(), grpc.server(futures.ThreadPoolExecutor(8))
        recommend_pb2_grpc.add_RecommenderServiceServicer_to_server(fake, server)
        event_pb2_grpc.add_EventsServiceServicer_to_server(fake, server)
        cluster_pb2_grpc.add_ClusterServiceServicer_to_server(fake, server)
        catalog_pb2_grpc.add_CatalogServiceServicer_to_server(fake, server)
        fake.addr = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        made.append(fake)
        servers.append(server)
    try:
        yield made
    finally:
        for server in servers:
            server.stop(None).wait()
