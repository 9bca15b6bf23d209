// The nodes of a cluster, as far as they are known.

import { type DescMessage, type DescMethodStreaming, type DescMethodUnary, type DescMethod, type MessageShape, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type ChannelCredentials, type ClientOptions, type Metadata, type ServiceError, Client as Connection } from "@grpc/grpc-js";

// How long, in milliseconds, a node is left alone after a fault; each further one doubles it.
const firstAside = 500;
const longestAside = 30_000;

/** What an attempt needs besides its message. */
export interface Attempt {
  metadata: Metadata;
  deadline: number;
  signal: AbortSignal | undefined;
}

/** A server, or what stands at an address before servers. */
export class Node {
  member = false; // the cluster named it
  calls = 0; // under way
  faults = 0; // in a row
  until = 0; // left alone
  readonly connection: Connection;

  constructor(
    readonly addr: string,
    /** Given by the caller; used where no member can be. */
    readonly seed: boolean,
    credentials: ChannelCredentials,
    options: ClientOptions,
  ) {
    this.connection = new Connection(addr, credentials, options);
  }

  /** Makes a call with one message and one answer. */
  unary<I extends DescMessage, O extends DescMessage>(method: DescMethodUnary<I, O>, req: MessageShape<I>, a: Attempt): Promise<MessageShape<O>> {
    return new Promise((resolve, reject) => {
      const call = this.connection.makeUnaryRequest(
        path(method), writer(method.input), reader(method.output), req, a.metadata, { deadline: a.deadline }, done(resolve, reject),
      );
      abortable(call, a.signal);
    });
  }

  /** Makes a call with a stream of one message and one answer. */
  send<I extends DescMessage, O extends DescMessage>(
    method: DescMethodStreaming<I, O> & { methodKind: "client_streaming" }, req: MessageShape<I>, a: Attempt,
  ): Promise<MessageShape<O>> {
    return new Promise((resolve, reject) => {
      const call = this.connection.makeClientStreamRequest(
        path(method), writer(method.input), reader(method.output), a.metadata, { deadline: a.deadline }, done(resolve, reject),
      );
      call.on("error", () => {}); // the callback gets it
      abortable(call, a.signal);
      call.end(req);
    });
  }

  /** Makes a call with one message and a stream of answers. */
  receive<I extends DescMessage, O extends DescMessage>(
    method: DescMethodStreaming<I, O> & { methodKind: "server_streaming" }, req: MessageShape<I>, a: Attempt,
  ): Promise<MessageShape<O>[]> {
    return new Promise((resolve, reject) => {
      const messages: MessageShape<O>[] = [];
      const call = this.connection.makeServerStreamRequest(
        path(method), writer(method.input), reader(method.output), req, a.metadata, { deadline: a.deadline },
      );
      abortable(call, a.signal);
      call.on("data", (m: MessageShape<O>) => messages.push(m));
      call.on("error", reject);
      call.on("end", () => resolve(messages));
    });
  }

  /** Resolves to whether the node can be reached until a deadline in Unix milliseconds. */
  reached(deadline: number): Promise<boolean> {
    return new Promise((resolve) => this.connection.waitForReady(deadline, (error) => resolve(error === undefined)));
  }
}

function path(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function writer<M extends DescMessage>(schema: M): (m: MessageShape<M>) => Buffer {
  return (m) => Buffer.from(toBinary(schema, m));
}

function reader<M extends DescMessage>(schema: M): (b: Buffer) => MessageShape<M> {
  return (b) => fromBinary(schema, b);
}

function done<T>(resolve: (value: T) => void, reject: (error: ServiceError) => void): (error: ServiceError | null, value?: T) => void {
  return (error, value) => (error === null ? resolve(value as T) : reject(error));
}

function abortable(call: { cancel(): void; on(event: "status", f: () => void): unknown }, signal: AbortSignal | undefined): void {
  if (signal === undefined) {
    return;
  }
  const cancel = () => call.cancel();
  signal.addEventListener("abort", cancel, { once: true });
  call.on("status", () => signal.removeEventListener("abort", cancel));
  if (signal.aborted) {
    cancel();
  }
}

/** Chooses nodes for calls. */
export class Nodes {
  private all: Node[];
  private next = 0;
  private learned = false; // the members are known
  private closed = false;

  constructor(
    seeds: readonly string[],
    private readonly connect: (addr: string, seed: boolean) => Node,
  ) {
    this.all = [...new Set(seeds)].map((addr) => connect(addr, true));
  }

  get several(): boolean {
    return this.all.length > 1;
  }

  /**
   * The next node for an attempt, if it can be one that was not tried; undefined after close. Release it.
   *
   * Of all nodes those of the best standing take turns: not left alone, not tried, and named by the cluster, in this order.
   */
  pick(tried: readonly Node[]): Node | undefined {
    const now = performance.now();
    const at = this.next % this.all.length;
    let best: Node | undefined;
    for (const n of [...this.all.slice(at), ...this.all.slice(0, at)]) {
      if (best === undefined || this.standing(n, tried, now) < this.standing(best, tried, now)) {
        best = n;
      }
    }
    if (best !== undefined) {
      this.next = this.all.indexOf(best) + 1;
      best.calls++;
    }
    return best;
  }

  private standing(n: Node, tried: readonly Node[], now: number): number {
    return (this.learned && !n.member ? 1 : 0) + (tried.includes(n) ? 2 : 0) + (now < n.until ? 4 : 0);
  }

  /** Ends an attempt; tells whether the node did well. */
  release(n: Node, well: boolean): void {
    n.calls--;
    if (well) {
      n.faults = 0;
    } else {
      const aside = Math.min(longestAside, firstAside * 2 ** Math.min(n.faults, 10));
      n.faults++;
      n.until = performance.now() + aside * (0.5 + Math.random() / 2);
    }
    if (n.calls === 0 && !this.all.includes(n)) {
      n.connection.close();
    }
  }

  /** Makes the members those that the cluster named. A new one joins when it can be reached within some milliseconds. */
  async update(members: readonly string[], timeoutMs: number): Promise<void> {
    const known = new Set(this.all.map((n) => n.addr));
    const fresh = [...new Set(members)].filter((addr) => !known.has(addr)).map((addr) => this.connect(addr, false));
    const reached = await Promise.all(fresh.map((n) => n.reached(Date.now() + timeoutMs)));
    const before = [...this.all, ...fresh];
    if (!this.closed) {
      const joins = fresh.filter((_, i) => reached[i]);
      for (const n of [...this.all, ...joins]) {
        n.member = members.includes(n.addr);
      }
      this.all = [...this.all, ...joins].filter((n) => n.member || n.seed);
      this.learned = this.all.some((n) => n.member);
    }
    for (const n of before) {
      if (!this.all.includes(n) && n.calls === 0) {
        n.connection.close();
      }
    }
  }

  close(): void {
    this.closed = true;
    for (const n of this.all) {
      n.connection.close();
    }
    this.all = [];
  }
}
