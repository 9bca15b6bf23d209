// Servers for tests: real ones, and fakes that do what a test says.

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, mkdtemp, open, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";

import { type DescMessage, type DescMethod, type MessageInitShape, create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { Metadata, Server as GrpcServer, ServerCredentials, type ServiceDefinition, status } from "@grpc/grpc-js";

import { Client, KithError } from "../src/index.js";
import { ErrorInfoSchema, RetryInfoSchema } from "../src/gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../src/gen/google/rpc/status_pb.js";
import { CatalogService } from "../src/gen/kith/v1/catalog_pb.js";
import { ClusterService, MemberState } from "../src/gen/kith/v1/cluster_pb.js";
import { type AppendRequest, type AppendResponseSchema, type Event, EventsService } from "../src/gen/kith/v1/event_pb.js";
import { RecommenderService } from "../src/gen/kith/v1/recommend_pb.js";

const patienceMs = 60_000;

function kithBinary(): string {
  const path = process.env["KITH_BINARY"];
  if (!path) {
    throw new Error("KITH_BINARY is not set; run the tests with make test-clients");
  }
  return path;
}

export async function eventually(holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + patienceMs;
  while (!(await holds())) {
    if (Date.now() > deadline) {
      throw new Error(`not in ${patienceMs} ms`);
    }
    await delay(10);
  }
}

async function freePorts(n: number): Promise<number[]> {
  const listeners = await Promise.all(
    Array.from({ length: n }, async () => {
      const s = createServer().listen(0, "127.0.0.1");
      await once(s, "listening");
      return s;
    }),
  );
  const ports = listeners.map((s) => (s.address() as { port: number }).port);
  for (const s of listeners) {
    s.close();
  }
  return ports;
}

/** A process of kith with TLS and API keys. */
export class Server {
  addr = "";
  key = "";
  private process!: ChildProcess;

  private constructor(readonly folder: string) {}

  static async start(): Promise<Server> {
    const s = new Server(await mkdtemp(join(tmpdir(), "kith-")));
    await s.run("cert", "ca", "--cluster", "shop");
    await s.run("cert", "node", "a", "--host", "127.0.0.1");
    await s.run("cert", "client", "ops", "--roles", "admin");
    s.key = (await s.run("key", "create", "--name", "web", "--roles", "read,write")).trim().split(/\s+/).at(-1) ?? "";
    const [grpc, raft, gossip] = (await freePorts(3)).map((p) => `127.0.0.1:${p}`) as [string, string, string];
    s.addr = grpc;
    const log = await open(join(s.folder, "log"), "w");
    const args = ["server", "--local", "--data-dir", "data", "--partitions", "2", "--cache-mib", "8", "--build-every", "0"];
    args.push("--grpc-addr", grpc, "--raft-addr", raft, "--gossip-addr", gossip);
    args.push("--tls-ca", "certs/ca.crt", "--tls-cert", "certs/a.crt", "--tls-key", "certs/a.key", "--keys-file", "keys.json");
    s.process = spawn(kithBinary(), args, { cwd: s.folder, stdio: ["ignore", log.fd, log.fd] });
    await log.close();
    return s;
  }

  async run(...args: string[]): Promise<string> {
    return (await promisify(execFile)(kithBinary(), args, { cwd: this.folder })).stdout;
  }

  /** Runs a command as an administrator. */
  operate(...args: string[]): Promise<string> {
    return this.run(...args, "--addr", this.addr, "--tls-ca", "certs/ca.crt", "--tls-cert", "certs/ops.crt", "--tls-key", "certs/ops.key");
  }

  file(name: string): Promise<Buffer> {
    return readFile(join(this.folder, name));
  }

  /** Waits until the server is ready. */
  async wait(client: Client): Promise<void> {
    await eventually(async () => {
      if (this.process.exitCode !== null) {
        throw new Error(`the server has ended: ${await this.file("log")}`);
      }
      try {
        return (await client.status({ timeoutMs: 1000 })).ready;
      } catch (e) {
        if (e instanceof KithError) {
          return false;
        }
        throw e;
      }
    });
  }

  async stop(): Promise<void> {
    const ended = once(this.process, "exit");
    this.process.kill("SIGTERM");
    const late = setTimeout(() => this.process.kill("SIGKILL"), patienceMs);
    const [code] = (await ended) as [number | null];
    clearTimeout(late);
    if (code !== 0) {
      throw new Error(`the server ended with ${code}: ${await this.file("log")}`);
    }
    await rm(this.folder, { recursive: true });
  }
}

/** An error as servers of kith send it, or, without a reason, as others do. */
export class Refusal extends Error {
  constructor(
    readonly code: status,
    readonly reason = "",
    readonly retryInMs = 0,
  ) {
    super(`no: ${reason}`);
  }

  toService() {
    const metadata = new Metadata();
    if (this.reason !== "") {
      const retryDelay = { seconds: BigInt(Math.floor(this.retryInMs / 1000)), nanos: (this.retryInMs % 1000) * 1e6 };
      const details = [
        anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { domain: "kith", reason: this.reason })),
        anyPack(RetryInfoSchema, create(RetryInfoSchema, { retryDelay })),
      ];
      const st = create(StatusSchema, { code: this.code, message: this.message, details });
      metadata.set("grpc-status-details-bin", Buffer.from(toBinary(StatusSchema, st)));
    }
    return { code: this.code, details: this.message, metadata };
  }
}

/** A server that does what its functions say, which get the number of the call, from 1. */
export class Fake {
  calls = 0;
  addr = "";
  members: string[] = [];
  onRecommend: (n: number) => void | Promise<void> = () => {};
  onAppend: (n: number, events: Event[]) => MessageInitShape<typeof AppendResponseSchema> | Promise<MessageInitShape<typeof AppendResponseSchema>> = (
    _n,
    events,
  ) => ({ appended: BigInt(events.length) });
  private readonly server = new GrpcServer();

  async start(): Promise<this> {
    const serve = (method: DescMethod, f: (messages: unknown[]) => unknown) => {
      const definition: ServiceDefinition = {
        [method.name]: {
          path: `/${method.parent.typeName}/${method.name}`,
          requestStream: method.methodKind === "client_streaming",
          responseStream: false,
          requestSerialize: () => Buffer.alloc(0),
          requestDeserialize: (b: Buffer) => fromBinary(method.input, b),
          responseSerialize: (m: MessageInitShape<DescMessage>) => Buffer.from(toBinary(method.output, create(method.output, m))),
          responseDeserialize: () => undefined,
        },
      };
      const answer = async (messages: unknown[], callback: (error: object | null, value?: unknown) => void) => {
        try {
          callback(null, await f(messages));
        } catch (e) {
          callback(e instanceof Refusal ? e.toService() : { code: status.INTERNAL, details: String(e) });
        }
      };
      const handler = async (call: any, callback: any) => { // the one for any kind of method
        if (method.methodKind !== "client_streaming") {
          await answer([call.request], callback);
          return;
        }
        const messages: unknown[] = [];
        call.on("data", (m: unknown) => messages.push(m));
        call.on("end", () => void answer(messages, callback));
      };
      this.server.addService(definition, { [method.name]: handler });
    };
    serve(RecommenderService.method.recommend, async () => {
      await this.onRecommend(++this.calls);
      return { items: [{ item: this.addr }] };
    });
    serve(EventsService.method.append, (messages) => this.onAppend(++this.calls, (messages as AppendRequest[]).flatMap((m) => m.events)));
    serve(CatalogService.method.deleteRecords, () => {
      this.calls++;
      throw new Refusal(status.UNAVAILABLE, "UNKNOWN_OUTCOME");
    });
    serve(ClusterService.method.status, () => ({
      members: this.members.map((addr) => ({ id: addr, grpcAddr: addr, state: MemberState.ALIVE })),
    }));
    const port = await promisify(this.server.bindAsync.bind(this.server))("127.0.0.1:0", ServerCredentials.createInsecure());
    this.addr = `127.0.0.1:${port}`;
    return this;
  }

  stop(): void {
    this.server.forceShutdown();
  }
}
