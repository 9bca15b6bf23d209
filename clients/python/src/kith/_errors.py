"""Errors of calls."""

from __future__ import annotations

from typing import cast

import grpc
from google.rpc import error_details_pb2, status_pb2

_DOMAIN = "kith"


class Reason:
    """The conditions that servers tell, as far as shops meet them; see `Error.reason`."""

    NO_MODEL = "NO_MODEL"
    UNKNOWN_USER = "UNKNOWN_USER"
    UNKNOWN_ITEM = "UNKNOWN_ITEM"
    UNKNOWN_MODEL = "UNKNOWN_MODEL"
    INVALID = "INVALID"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    RATE_LIMITED = "RATE_LIMITED"
    OVERLOADED = "OVERLOADED"
    DISK_FULL = "DISK_FULL"
    NOT_READY = "NOT_READY"
    NO_MAJORITY = "NO_MAJORITY"
    NO_LEADER = "NO_LEADER"


class ClosedError(Exception):
    """The client or the appender was closed."""


class Error(Exception):
    """A call failed, after as many attempts as were allowed.

    `code` is that of gRPC. `reason` is a condition of `Reason`, or "" where the server told none: it was not reached, or does not
    know what is wrong. `retry_in` are the seconds that the server asks to wait, 0 if it does not say. `addr` is the node that was
    asked last, and `attempts` how often any was.
    """

    def __init__(self, op: str, code: grpc.StatusCode, reason: str, message: str, retry_in: float, addr: str) -> None:
        super().__init__(message)
        self.op = op
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_in = retry_in
        self.addr = addr
        self.attempts = 1

    def __str__(self) -> str:
        attempts = f", {self.attempts} attempts" if self.attempts > 1 else ""
        return f"{self.op}: {self.message} (node {self.addr}{attempts})"

    @property
    def passes(self) -> bool:
        """Whether the same call may succeed later, perhaps at another node."""
        if self.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            return True
        # Without a reason a message was too large.
        return self.code == grpc.StatusCode.RESOURCE_EXHAUSTED and self.reason != ""

    @property
    def faulty(self) -> bool:
        """Whether it speaks against the node, rather than for the state of the cluster or about the request."""
        return self.reason == "" and self.code in (
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.DEADLINE_EXCEEDED,
            grpc.StatusCode.INTERNAL,
            grpc.StatusCode.UNKNOWN,
        )


def failure(op: str, addr: str, error: grpc.RpcError) -> Error:
    """Convert the error of an attempt."""
    call = cast(grpc.Call, error)  # all that stubs raise are
    reason, retry_in = "", 0.0
    for key, value in call.trailing_metadata() or ():
        if key != "grpc-status-details-bin" or not isinstance(value, bytes):
            continue
        for detail in status_pb2.Status.FromString(value).details:
            info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if detail.Unpack(info) and info.domain == _DOMAIN:
                reason = info.reason
            elif detail.Unpack(retry):
                retry_in = max(0.0, retry.retry_delay.ToTimedelta().total_seconds())
    return Error(op, call.code(), reason, call.details() or "", retry_in, addr)
