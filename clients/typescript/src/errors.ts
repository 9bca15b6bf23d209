// Errors of calls.

import { fromBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { type ServiceError, status } from "@grpc/grpc-js";

import { ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "./gen/google/rpc/status_pb.js";

/** The conditions that servers tell, as far as shops meet them; see `KithError.reason`. */
export const Reason = {
  NoModel: "NO_MODEL",
  UnknownUser: "UNKNOWN_USER",
  UnknownItem: "UNKNOWN_ITEM",
  UnknownModel: "UNKNOWN_MODEL",
  Invalid: "INVALID",
  Unauthenticated: "UNAUTHENTICATED",
  Forbidden: "FORBIDDEN",
  RateLimited: "RATE_LIMITED",
  Overloaded: "OVERLOADED",
  DiskFull: "DISK_FULL",
  NotReady: "NOT_READY",
  NoMajority: "NO_MAJORITY",
  NoLeader: "NO_LEADER",
} as const;

/** The client or the appender was closed. */
export class ClosedError extends Error {
  override name = "ClosedError";
}

/** A call failed, after as many attempts as were allowed. */
export class KithError extends Error {
  override name = "KithError";
  /** How often any node was asked. */
  attempts = 1;

  constructor(
    /** What was asked for, such as "recommend". */
    readonly op: string,
    /** The code of gRPC. */
    readonly code: status,
    /** One of Reason, or "" where the server told none: it was not reached, or does not know what is wrong. */
    readonly reason: string,
    readonly text: string,
    /** How long the server asks to wait, in milliseconds; 0 if it does not say. */
    readonly retryInMs: number,
    /** The node that was asked last. */
    readonly addr: string,
  ) {
    super(`${op}: ${text} (node ${addr})`);
  }

  /** Whether the same call may succeed later, perhaps at another node. */
  get passes(): boolean {
    switch (this.code) {
      case status.UNAVAILABLE:
      case status.DEADLINE_EXCEEDED:
        return true;
      case status.RESOURCE_EXHAUSTED: // without a reason a message was too large
        return this.reason !== "";
      default:
        return false;
    }
  }

  /** Whether it speaks against the node, rather than for the state of the cluster or about the request. */
  get faulty(): boolean {
    return this.reason === "" && [status.UNAVAILABLE, status.DEADLINE_EXCEEDED, status.INTERNAL, status.UNKNOWN].includes(this.code);
  }
}

/** Converts the error of an attempt. */
export function failure(op: string, addr: string, error: ServiceError): KithError {
  let reason = "";
  let retryInMs = 0;
  for (const value of error.metadata.get("grpc-status-details-bin")) {
    if (typeof value === "string") {
      continue;
    }
    for (const detail of fromBinary(StatusSchema, value).details) {
      const info = anyUnpack(detail, ErrorInfoSchema);
      if (info?.domain === "kith") {
        reason = info.reason;
      }
      const delay = anyUnpack(detail, RetryInfoSchema)?.retryDelay;
      if (delay !== undefined) {
        retryInMs = Math.max(0, Number(delay.seconds) * 1000 + delay.nanos / 1e6);
      }
    }
  }
  return new KithError(op, error.code, reason, error.details, retryInMs, addr);
}
