// The client.

import { create } from "@bufbuild/protobuf";
import { Metadata, type ServiceError, credentials, status as codes } from "@grpc/grpc-js";

import { Appender, type AppenderOptions } from "./appender.js";
import { ClosedError, KithError, failure } from "./errors.js";
import { CatalogService, DeleteRecordsRequestSchema, GetRecordsRequestSchema, PutRecordsRequestSchema } from "./gen/kith/v1/catalog_pb.js";
import { ClusterService, MemberIntent, MemberState, StatusRequestSchema } from "./gen/kith/v1/cluster_pb.js";
import { AppendRequestSchema, EventsService, ListRequestSchema } from "./gen/kith/v1/event_pb.js";
import {
  FrequentlyBoughtTogetherRequestSchema,
  LatestRequestSchema,
  Model,
  NewArrivalsRequestSchema,
  RecommendRequestSchema,
  RecommenderService,
  SimilarRequestSchema,
  TrendingRequestSchema,
  type SimilarRequest,
} from "./gen/kith/v1/recommend_pb.js";
import {
  type Appended,
  type Diversity,
  type Event,
  type Filter,
  type Kind,
  type List,
  type Neighbors,
  type PutCounts,
  type Recommendations,
  type Record,
  type Rules,
  type Status,
  cut,
  diversityOf,
  eventOf,
  filterOf,
  listOf,
  milliseconds,
  recordOf,
  recordToWire,
  rulesOf,
  unixMs,
} from "./messages.js";
import { type Attempt, Node, Nodes } from "./nodes.js";

// The pause, in milliseconds, before the second attempt; each further one is twice as long.
const firstPause = 25;
const longestPause = 1000;
// An attempt to write may take so many times as long as one to read: it waits for disks.
const slowWrites = 5;
// The least time, in milliseconds, between two looks at the nodes of the cluster, however many faults there are.
const refreshGap = 2000;
// The number of records of which a server names every one that it refuses; 64 KiB each are well below the largest message.
const messageRecords = 200;

/** PEM files, as buffers. */
export interface Tls {
  /** The authority of the servers; that of the machine if it is not given. */
  ca?: Buffer;
  /** A certificate to show, and its key. */
  cert?: Buffer;
  key?: Buffer;
  /** The host in the certificates of the servers, if it is not that of the address. */
  serverName?: string;
}

/** Settings of a client. Times are in milliseconds. */
export interface ClientOptions {
  /** Without it connections are not encrypted. */
  tls?: Tls;
  /** An API key or a token of OpenID Connect, or a function that returns one and is called for each attempt. It needs tls. */
  token?: string | (() => string | Promise<string>);
  /** Bounds reads, all attempts together: 5,000. */
  timeoutMs?: number;
  /** Bounds one attempt of a read where there are several nodes: 2,000; five times as much of a write. */
  attemptTimeoutMs?: number;
  /** Bounds writes, all attempts together: 30,000. */
  writeTimeoutMs?: number;
  /**
   * How often the cluster is asked for its nodes: 30,000. With 0 calls go to the given addresses alone, as is right where the addresses that
   * nodes know of themselves cannot be reached from here.
   */
  refreshMs?: number;
}

/** Settings of one call. */
export interface CallOptions {
  /** In the place of that of the client. Of many events or records each message has that time. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** Asks for the items that are best for a user or a basket. */
export interface Query extends Rules {
  /** A key. A user who is not known gets what is popular, unless noFallback is set. */
  user?: string;
  /** In the place of user: items that are together now. The rating is for models of ratings; without one it is the weight, and the greatest rating without either. */
  basket?: (string | { item: string; weight?: number; rating?: number })[];
  /** Length of the answer, 1 to 1,000: 10. */
  n?: number;
  model?: Model;
  /** A model that the active version was trained with; then there is no model, or TRAINED. */
  modelName?: string;
  /** Allow items that the user has interacted with. */
  includeSeen?: boolean;
  /** Unknown users and missing models are errors; the answer may be shorter than n. */
  noFallback?: boolean;
  /** Read the history of any replica: the newest events may be missing. */
  stale?: boolean;
  /** Ask for contributions. */
  explain?: boolean;
  /** In the place of includeSeen: items with such events of the user are left out. */
  excludeHistory?: { behaviors?: string[]; withinMs?: number }[];
  /** Items with fixed ranks, from 1. */
  pins?: { item: string; rank: number }[];
  /** Places for products that came of late (within 14 days) and that the model does not recommend yet; attribute is the time at which they came, since if it is not given. */
  explore?: { places: number; withinMs?: number; attribute?: string };
  /** A way to answer that the cluster keeps. Then there is no model, and there need not be a user or a basket. */
  scene?: string;
  /** Who asks where there is no user: with an experiment on the scene it decides which variant answers. */
  session?: string;
  /** What a scene about similar items, or items bought together, is about. */
  item?: string;
}

/** Asks for a list. */
export interface ListQuery extends Rules {
  /** 1 to 1,000: 10. */
  n?: number;
  stale?: boolean;
}

/** How a call is made. */
interface Plan {
  op: string;
  timeoutMs: number;
  attemptMs: number;
  signal: AbortSignal | undefined;
  /** A second attempt might change what the call does. */
  once?: boolean;
}

/**
 * Talks to a cluster; a program needs one. `addrs` are host:port of servers; one that answers is enough, and none needs to run yet.
 *
 * Calls reject with a KithError or a ClosedError, or with the reason of their signal.
 */
export class Client {
  private readonly nodes: Nodes;
  private readonly token: (() => string | Promise<string>) | undefined;
  private readonly timeoutMs: number;
  private readonly attemptMs: number;
  private readonly writeMs: number;
  private readonly refreshMs: number;
  private readonly closing = new AbortController();
  private faulty = false; // a node failed since the nodes were looked at
  private wake: () => void = () => {}; // tells follow to look now
  private readonly following: Promise<void>;

  constructor(addrs: readonly string[], options: ClientOptions = {}) {
    const { tls, token } = options;
    this.timeoutMs = positive("timeoutMs", options.timeoutMs, 5000);
    this.attemptMs = positive("attemptTimeoutMs", options.attemptTimeoutMs, 2000);
    this.writeMs = positive("writeTimeoutMs", options.writeTimeoutMs, 30_000);
    this.refreshMs = options.refreshMs === 0 ? 0 : positive("refreshMs", options.refreshMs, 30_000);
    if (addrs.length === 0) {
      throw new RangeError("addrs is empty; want host:port of a server, or of several");
    }
    for (const addr of addrs) {
      if (!/^.+:\d+$/.test(addr)) {
        throw new RangeError(`address ${addr}: want host:port, such as localhost:7801`);
      }
    }
    if (token !== undefined && tls === undefined) {
      throw new RangeError("a key or token without TLS would be sent in the clear; add tls");
    }
    this.token = typeof token === "string" ? () => token : token;
    const channel = tls === undefined ? credentials.createInsecure() : credentials.createSsl(tls.ca, tls.key, tls.cert);
    this.nodes = new Nodes(
      addrs,
      (addr, seed) =>
        new Node(addr, seed, channel, {
          "grpc.enable_retries": 0, // what is tried again is decided here
          "grpc.keepalive_time_ms": 20_000,
          "grpc.keepalive_timeout_ms": 10_000,
          "grpc.initial_reconnect_backoff_ms": 100,
          "grpc.max_reconnect_backoff_ms": 2000,
          "grpc.max_receive_message_length": 16 << 20,
          ...(tls?.serverName === undefined ? {} : { "grpc.ssl_target_name_override": tls.serverName }),
        }),
    );
    this.following = this.refreshMs > 0 ? this.follow() : Promise.resolve();
  }

  /** Ends the client: calls that are under way fail. Close its appenders before. */
  async close(): Promise<void> {
    this.closing.abort(new ClosedError("the client is closed"));
    this.nodes.close();
    await this.following;
  }

  /** The n best items for a user or a basket. */
  async recommend(q: Query, options: CallOptions = {}): Promise<Recommendations> {
    const req = create(RecommendRequestSchema, {
      subject: q.basket
        ? { case: "basket", value: { items: q.basket.map((b) => (typeof b === "string" ? { item: b } : b)) } }
        : q.user !== undefined || !q.scene ? { case: "user", value: q.user ?? "" } : { case: undefined },
      scene: q.scene ?? "",
      session: q.session ?? "",
      item: q.item ?? "",
      n: length(q.n),
      model: q.model ?? Model.UNSPECIFIED,
      modelName: q.modelName ?? "",
      explore: q.explore && { places: q.explore.places, withinMs: milliseconds(q.explore.withinMs), attribute: q.explore.attribute ?? "" },
      includeSeen: q.includeSeen ?? false,
      noFallback: q.noFallback ?? false,
      stale: q.stale ?? false,
      explain: q.explain ?? false,
      excludeHistory: (q.excludeHistory ?? []).map((h) => ({ behaviors: h.behaviors ?? [], withinMs: milliseconds(h.withinMs) })),
      pins: q.pins ?? [],
      ...rulesOf(q),
    });
    const resp = await this.call(this.read("recommend", options), (n, a) => n.unary(RecommenderService.method.recommend, req, a));
    return {
      items: resp.items.map((i) => ({
        item: i.item, score: i.score, source: i.source, contributions: i.contributions.map((c) => ({ item: c.item, score: c.score })),
      })),
      model: resp.model,
      modelName: resp.modelName,
      version: Number(resp.modelVersion),
      fallback: resp.fallbackReason,
      partial: resp.partial,
      stale: resp.stale,
      scene: resp.scene,
      experiment: resp.experiment,
      variant: resp.variant,
      id: resp.answerId,
    };
  }

  /** The n nearest neighbors of an item, at most the K of the model. */
  similarItems(item: string, q: Rules & { n?: number } = {}, options: CallOptions = {}): Promise<Neighbors> {
    return this.similar(create(SimilarRequestSchema, { subject: { case: "item", value: item }, n: length(q.n), ...rulesOf(q) }), options);
  }

  /** The n users most similar to one. */
  similarUsers(user: string, n?: number, options: CallOptions = {}): Promise<Neighbors> {
    return this.similar(create(SimilarRequestSchema, { subject: { case: "user", value: user }, n: length(n) }), options);
  }

  private async similar(req: SimilarRequest, options: CallOptions): Promise<Neighbors> {
    const resp = await this.call(this.read("similar", options), (n, a) => n.unary(RecommenderService.method.similar, req, a));
    return {
      neighbors: resp.neighbors.map((x) => ({ key: x.key, score: x.score })),
      version: Number(resp.modelVersion), partial: resp.partial, stale: resp.stale,
    };
  }

  /** The items with the most events of late (of 7 days), weighed by behavior (as the server does). */
  async trending(q: ListQuery & { withinMs?: number; weights?: { [behavior: string]: number } } = {}, options: CallOptions = {}): Promise<List> {
    const req = create(TrendingRequestSchema, {
      n: length(q.n), withinMs: milliseconds(q.withinMs), weights: q.weights ?? {}, stale: q.stale ?? false, ...rulesOf(q),
    });
    return listOf(await this.call(this.read("trending", options), (n, a) => n.unary(RecommenderService.method.trending, req, a)));
  }

  /** The items that were in the most baskets with an item, and the number of baskets that have it. */
  async boughtTogether(item: string, q: ListQuery = {}, options: CallOptions = {}): Promise<List & { baskets: number }> {
    const req = create(FrequentlyBoughtTogetherRequestSchema, { item, n: length(q.n), stale: q.stale ?? false, ...rulesOf(q) });
    const method = RecommenderService.method.frequentlyBoughtTogether;
    const resp = await this.call(this.read("bought together", options), (n, a) => n.unary(method, req, a));
    return { ...listOf(resp), baskets: Number(resp.baskets) };
  }

  /** The products that came last, by a time attribute (since). */
  async newArrivals(
    q: { n?: number; attribute?: string; filter?: Filter; diversity?: Diversity; now?: Date; stale?: boolean } = {}, options: CallOptions = {},
  ): Promise<List> {
    const req = create(NewArrivalsRequestSchema, {
      n: length(q.n), attribute: q.attribute ?? "", filter: filterOf(q.filter), diversity: diversityOf(q.diversity),
      nowUnixMs: unixMs(q.now), stale: q.stale ?? false,
    });
    return listOf(await this.call(this.read("new arrivals", options), (n, a) => n.unary(RecommenderService.method.newArrivals, req, a)));
  }

  /** The items with the latest events. */
  async latest(q: { n?: number; filter?: Filter; now?: Date; stale?: boolean } = {}, options: CallOptions = {}): Promise<List> {
    const req = create(LatestRequestSchema, { n: length(q.n), filter: filterOf(q.filter), nowUnixMs: unixMs(q.now), stale: q.stale ?? false });
    return listOf(await this.call(this.read("latest", options), (n, a) => n.unary(RecommenderService.method.latest, req, a)));
  }

  /** How the cluster is. */
  async status(options: CallOptions = {}): Promise<Status> {
    const req = create(StatusRequestSchema);
    const resp = await this.call(this.read("status", options), (n, a) => n.unary(ClusterService.method.status, req, a));
    return {
      id: resp.clusterId,
      ready: resp.ready,
      version: Number(resp.activeVersion),
      nodes: resp.members
        .filter((m) => m.state !== MemberState.LEFT)
        .map((m) => ({ id: m.id, addr: m.grpcAddr, alive: m.state === MemberState.ALIVE, leaving: m.intent === MemberIntent.LEAVE })),
    };
  }

  /**
   * Stores events: afterwards they survive the loss of a minority of the replicas. Events without id or time get one, in place.
   *
   * After an error some events may be stored and others not; appending the same objects again stores none twice. Many events at once
   * are far cheaper than one; see also appender.
   */
  async append(events: readonly Event[], options: CallOptions = {}): Promise<Appended> {
    const total: Appended = { stored: 0, duplicates: 0, erased: 0, rejected: [] };
    await this.appendTo(total, events, options);
    return total;
  }

  /** Stores events, and adds what becomes of each message to a total, which tells how far it came before an error. @internal */
  async appendTo(total: Appended, events: readonly Event[], options: CallOptions): Promise<void> {
    let first = 0;
    for (const batch of cut(events)) {
      const req = create(AppendRequestSchema, { events: batch });
      const resp = await this.call(this.write("append", options), (n, a) => n.send(EventsService.method.append, req, a));
      total.stored += Number(resp.appended);
      total.duplicates += Number(resp.duplicates);
      total.erased += Number(resp.erased);
      for (const r of resp.rejections) {
        total.rejected.push({ index: first + Number(r.index), code: r.reason, detail: r.detail });
      }
      first += batch.length;
    }
  }

  /** An appender, which stores events in the background. Close it before the client. */
  appender(options: AppenderOptions = {}): Appender {
    return new Appender(this, options);
  }

  /** The stored events of a user, by time and id. With stale, any replica is asked: the newest may be missing. */
  async events(user: string, q: { stale?: boolean } = {}, options: CallOptions = {}): Promise<Event[]> {
    const req = create(ListRequestSchema, { user, stale: q.stale ?? false });
    const parts = await this.call(this.read("events", options), (n, a) => n.receive(EventsService.method.list, req, a));
    return parts.flatMap((m) => m.events.map(eventOf));
  }

  /** Stores records that are newer than what there is. Those without a version get one, in place. After an error put them again. */
  async put(kind: Kind, records: readonly Record[], options: CallOptions = {}): Promise<PutCounts> {
    const total: PutCounts = { changed: 0, unchanged: 0, erased: 0, rejected: [] };
    const messages = records.map(recordToWire);
    for (let first = 0; first < messages.length; first += messageRecords) {
      const req = create(PutRecordsRequestSchema, { kind, records: messages.slice(first, first + messageRecords) });
      const resp = await this.call(this.write("put", options), (n, a) => n.unary(CatalogService.method.putRecords, req, a));
      total.changed += Number(resp.changed);
      total.unchanged += Number(resp.unchanged);
      total.erased += Number(resp.erased);
      for (const r of resp.rejections) {
        total.rejected.push({ index: first + Number(r.index), code: "", detail: r.detail });
      }
    }
    return total;
  }

  /** The records of some keys, at most 10,000, by key. Those that are not there are left out. */
  async get(kind: Kind, keys: readonly string[], q: { stale?: boolean } = {}, options: CallOptions = {}): Promise<Record[]> {
    const req = create(GetRecordsRequestSchema, { kind, keys: [...keys], stale: q.stale ?? false });
    const parts = await this.call(this.read("get", options), (n, a) => n.receive(CatalogService.method.getRecords, req, a));
    return parts.flatMap((m) => m.records.map(recordOf));
  }

  /**
   * Deletes the records of some keys, at most 10,000, up to a version, and returns how many there were. No version stands for that of what
   * there is; such a call is tried once, since a second attempt might delete what was put meanwhile.
   */
  async delete(kind: Kind, keys: readonly string[], q: { version?: number } = {}, options: CallOptions = {}): Promise<number> {
    const version = q.version === undefined ? undefined : BigInt(q.version);
    const req = create(DeleteRecordsRequestSchema, { kind, keys: [...keys], version });
    const plan = { ...this.write("delete", options), once: version === undefined };
    const resp = await this.call(plan, (n, a) => n.unary(CatalogService.method.deleteRecords, req, a));
    return Number(resp.deleted);
  }

  private read(op: string, o: CallOptions): Plan {
    return { op, timeoutMs: o.timeoutMs ?? this.timeoutMs, attemptMs: this.attemptMs, signal: o.signal };
  }

  private write(op: string, o: CallOptions): Plan {
    return { op, timeoutMs: o.timeoutMs ?? this.writeMs, attemptMs: slowWrites * this.attemptMs, signal: o.signal };
  }

  /** Calls f with one node after the other until it succeeds, fails for good, or the time is over. */
  private async call<T>(p: Plan, f: (n: Node, a: Attempt) => Promise<T>): Promise<T> {
    const deadline = Date.now() + p.timeoutMs;
    const tried: Node[] = [];
    let last: KithError | undefined;
    for (;;) {
      p.signal?.throwIfAborted();
      const n = this.nodes.pick(tried);
      if (n === undefined) {
        throw new ClosedError("the client is closed");
      }
      tried.push(n);
      try {
        return await this.attempt(p, n, deadline, f);
      } catch (e) {
        p.signal?.throwIfAborted();
        this.closing.signal.throwIfAborted();
        if (!(e instanceof KithError)) {
          throw e;
        }
        const pause = pauseAfter(tried.length, e.retryInMs);
        const late = Date.now() + pause >= deadline;
        if (last === undefined || e.code !== codes.DEADLINE_EXCEEDED || !late) {
          last = e; // the one before says more than that the time is over
        }
        last.attempts = tried.length;
        if (p.once || !e.passes || late) {
          throw last;
        }
        await this.sleep(pause, p.signal);
      }
    }
  }

  /** Makes one attempt and releases the node. */
  private async attempt<T>(p: Plan, n: Node, deadline: number, f: (n: Node, a: Attempt) => Promise<T>): Promise<T> {
    let well = true;
    try {
      const metadata = new Metadata();
      if (this.token !== undefined) {
        metadata.set("authorization", `Bearer ${(await this.token()).trim()}`);
      }
      const until = this.nodes.several ? Math.min(deadline, Date.now() + p.attemptMs) : deadline;
      return await f(n, { metadata, deadline: until, signal: p.signal });
    } catch (e) {
      if (!isServiceError(e)) {
        throw e;
      }
      const error = failure(p.op, n.addr, e);
      well = !error.faulty;
      if (!well) {
        this.faulty = true;
        this.wake();
      }
      throw error;
    } finally {
      this.nodes.release(n, well);
    }
  }

  /** Waits for some milliseconds, or until a signal or the end of the client. */
  private sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", end);
        this.closing.signal.removeEventListener("abort", end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      signal?.addEventListener("abort", end, { once: true });
      this.closing.signal.addEventListener("abort", end, { once: true });
      if (signal?.aborted || this.closing.signal.aborted) {
        end();
      }
    });
  }

  /** Asks the cluster for its nodes, at first, now and then, and after faults, until the client is closed. */
  private async follow(): Promise<void> {
    while (!this.closing.signal.aborted) {
      let pause = this.refreshMs;
      try {
        const members = (await this.status()).nodes.filter((n) => n.alive && !n.leaving && n.addr !== "").map((n) => n.addr);
        if (members.length > 0) {
          await this.nodes.update(members, this.attemptMs);
        }
      } catch {
        pause = Math.min(pause, refreshGap); // calls tell their callers what is wrong
      }
      await this.sleep(Math.min(refreshGap, pause));
      if (!this.faulty && !this.closing.signal.aborted) {
        const woken = new AbortController();
        this.wake = () => woken.abort();
        await this.sleep(pause * (0.5 + Math.random()), woken.signal); // clients that began together part
      }
      this.faulty = false;
    }
  }
}

function positive(name: string, value: number | undefined, standard: number): number {
  if (value !== undefined && !(value > 0)) {
    throw new RangeError(`${name} is ${value}; want more than 0 milliseconds`);
  }
  return value ?? standard;
}

function length(n: number | undefined): number {
  if (n !== undefined && !(Number.isInteger(n) && n >= 1 && n <= 1000)) {
    throw new RangeError(`n is ${n}; want 1 to 1,000`);
  }
  return n ?? 0;
}

/** How long to wait after an attempt failed: a random time of a range that doubles, and no less than the server asks for. */
function pauseAfter(attempts: number, asked: number): number {
  const d = Math.min(longestPause, firstPause * 2 ** Math.min(attempts - 1, 10));
  return Math.max(asked, d / 2) + (Math.random() * d) / 2;
}

function isServiceError(e: unknown): e is ServiceError {
  return e instanceof Error && "code" in e && "metadata" in e;
}
