// What goes to the cluster and comes back, apart from the wire.

import { randomUUID } from "node:crypto";

import { type MessageInitShape, create, toBinary } from "@bufbuild/protobuf";

import { type Attribute, type Record as WireRecord, AttributeSchema, RecordKind, RecordSchema } from "./gen/kith/v1/catalog_pb.js";
import { type Event as WireEvent, EventSchema } from "./gen/kith/v1/event_pb.js";
import { type ConditionSchema, type DiversitySchema, type FilterSchema, type ListedItem, Model } from "./gen/kith/v1/recommend_pb.js";

export { Model };

/** The behaviors that kith knows. Others are names of the shop's own. */
export const Behavior = {
  View: "view", Search: "search", Cart: "cart", Purchase: "purchase", Cancel: "cancel", Rating: "rating", Impression: "impression", Click: "click",
} as const;

/** One observation of a user and an item. Keys have 1 to 256 bytes. */
export interface Event {
  user: string;
  item: string;
  /** One of Behavior, or a name of the shop's own. */
  behavior: string;
  /** A rating or quantity; 1 if it is not given. */
  value?: number;
  /** When it was; now if it is not given. */
  time?: Date;
  /** Free facts, such as the page. */
  context?: { [name: string]: string };
  /** Makes the event idempotent: a second one of the same user and id changes nothing. The client makes one if it is not given. */
  id?: string;
}

/** Gives an event an id and a time, once: all attempts to store it have the same ones. */
export function complete(e: Event): WireEvent {
  e.id ??= randomUUID().replaceAll("-", "");
  e.time ??= new Date();
  return create(EventSchema, {
    id: e.id, user: e.user, item: e.item, behavior: e.behavior, value: e.value, timeUnixMs: BigInt(e.time.getTime()), context: e.context ?? {},
  });
}

export function eventOf(m: WireEvent): Event {
  const e: Event = { user: m.user, item: m.item, behavior: m.behavior, context: m.context, id: m.id };
  if (m.value !== undefined) {
    e.value = m.value;
  }
  if (m.timeUnixMs !== 0n) {
    e.time = new Date(Number(m.timeUnixMs));
  }
  return e;
}

/** The number of events of which a server names every one that it refuses. */
export const messageEvents = 1000;
/** The size of a message, with some room below 1 MiB. */
const messageBytes = 960 * 1024;

/** Cuts events into messages. Throws a RangeError for an event that cannot be sent. */
export function cut(events: readonly Event[]): WireEvent[][] {
  const messages: WireEvent[][] = [];
  let batch: WireEvent[] = [];
  let size = 0;
  for (const e of events) {
    const m = complete(e);
    const n = toBinary(EventSchema, m).length + 5; // with its length and the number of the field
    if (n > messageBytes) {
      throw new RangeError(`event ${m.id} of user ${m.user} has ${n} bytes; want at most ${messageBytes}: shorten its context`);
    }
    if (batch.length === messageEvents || (batch.length > 0 && size + n > messageBytes)) {
      messages.push(batch);
      [batch, size] = [[], 0];
    }
    batch.push(m);
    size += n;
  }
  if (batch.length > 0) {
    messages.push(batch);
  }
  return messages;
}

/** Why an event or a record was refused. */
export interface Rejection {
  /** Its position in the argument. */
  index: number;
  /** Stable; "" for records. */
  code: string;
  /** For people. */
  detail: string;
}

/** What became of events. */
export interface Appended {
  stored: number;
  duplicates: number;
  /** Not stored, since their user was erased after their time. */
  erased: number;
  rejected: Rejection[];
}

/** A test of one attribute of a product: anyOf, allOf, noneOf, between, atLeast, atMost and available make one. */
export type Condition = MessageInitShape<typeof ConditionSchema>;

/** The attribute is, or has among its texts, one of the texts. */
export function anyOf(attribute: string, ...texts: string[]): Condition {
  return { attribute, test: { case: "anyOf", value: { texts } } };
}

/** The attribute has all of the texts. */
export function allOf(attribute: string, ...texts: string[]): Condition {
  return { attribute, test: { case: "allOf", value: { texts } } };
}

/** The attribute has none of the texts, or the item does not have it. */
export function noneOf(attribute: string, ...texts: string[]): Condition {
  return { attribute, test: { case: "noneOf", value: { texts } } };
}

/** The attribute is a number from low to high, or a time between them in Unix milliseconds; undefined is no bound. */
export function between(attribute: string, low: number | undefined, high: number | undefined): Condition {
  return { attribute, test: { case: "range", value: { min: low, max: high } } };
}

/** As between, without an upper bound. */
export function atLeast(attribute: string, low: number): Condition {
  return between(attribute, low, undefined);
}

/** As between, without a lower bound. */
export function atMost(attribute: string, high: number): Condition {
  return between(attribute, undefined, high);
}

/** The attribute is a number above 0, or true. */
export function available(attribute: string): Condition {
  return { attribute, test: { case: "available", value: {} } };
}

/** Which items may be in an answer: those that meet all of it. */
export interface Filter {
  conditions?: Condition[];
  /** Unless empty, the only items that pass. */
  allow?: string[];
  deny?: string[];
  /** Only products that have a record. */
  onlyProducts?: boolean;
}

/** Spreads an answer over groups: products whose attribute has the same text. */
export interface Diversity {
  /** category if it is not given. */
  attribute?: string;
  /** Of maximal marginal relevance: 1 is relevance alone, 0 spread alone. */
  lambda?: number;
  /** Most items of a group; any number if it is not given. */
  maxPerGroup?: number;
  /** lambda looks at how similar items are, in place of groups. Only of recommendations. */
  bySimilarity?: boolean;
}

/** Rules about the items of an answer. */
export interface Rules {
  filter?: Filter;
  /** Each multiplies the scores of the items that pass its filter. */
  boosts?: { filter?: Filter; factor: number }[];
  /** Multiplies the score of a product by 1 + strength * 2^(-age/half-life); attribute is the time at which it came, since if it is not given. */
  freshness?: { halfLifeMs: number; attribute?: string; strength?: number };
  diversity?: Diversity;
  /** The present, for ages and windows; the clock of the server if it is not given. */
  now?: Date;
}

export function filterOf(f: Filter | undefined): MessageInitShape<typeof FilterSchema> | undefined {
  return f && { conditions: f.conditions ?? [], allow: f.allow ?? [], deny: f.deny ?? [], onlyProducts: f.onlyProducts ?? false };
}

export function diversityOf(d: Diversity | undefined): MessageInitShape<typeof DiversitySchema> | undefined {
  return d && { attribute: d.attribute ?? "", lambda: d.lambda, maxPerGroup: d.maxPerGroup ?? 0, bySimilarity: d.bySimilarity ?? false };
}

/** The fields that several requests have in common. */
export function rulesOf(r: Rules) {
  return {
    filter: filterOf(r.filter),
    boosts: (r.boosts ?? []).map((b) => ({ filter: filterOf(b.filter), factor: b.factor })),
    freshness: r.freshness && {
      attribute: r.freshness.attribute ?? "", halfLifeMs: milliseconds(r.freshness.halfLifeMs), strength: r.freshness.strength ?? 1,
    },
    diversity: diversityOf(r.diversity),
    nowUnixMs: unixMs(r.now),
  };
}

/** A duration for the wire. */
export function milliseconds(ms: number | undefined): bigint {
  if (ms !== undefined && !(ms >= 0 && ms <= Number.MAX_SAFE_INTEGER)) {
    throw new RangeError(`duration is ${ms}; want no less than 0 milliseconds`);
  }
  return BigInt(Math.round(ms ?? 0));
}

export function unixMs(t: Date | undefined): bigint {
  return BigInt(t?.getTime() ?? 0);
}

/** A ranked answer. */
export interface Recommendations {
  items: Recommendation[];
  model: Model;
  /** Of a trained model; "" for others. */
  modelName: string;
  /** That of the model; 0 when there is none yet. */
  version: number;
  /** Why popularity filled some or all of the answer; "" when it did not. */
  fallback: string;
  /** Some partition could not be asked. */
  partial: boolean;
  /** The newest events or products may be missing. */
  stale: boolean;
  /** The scene that was asked for; "" if there is none. */
  scene: string;
  /** The experiment and the variant that the caller is in; "" if there is none. */
  experiment: string;
  variant: string;
  /** Stands for the answer of a scene; "" for other answers, and without a user and a session. */
  id: string;
}

/** The event that an item of an answer was shown to a user, or to the session that asked: append it, and it counts for the scene and variant. */
export function impression(answer: Recommendations, user: string, item: string): Event {
  return outcome(answer, Behavior.Impression, user, item);
}

/** The event that such an item was clicked on. Purchases behind a click count by themselves. */
export function click(answer: Recommendations, user: string, item: string): Event {
  return outcome(answer, Behavior.Click, user, item);
}

function outcome(answer: Recommendations, behavior: string, user: string, item: string): Event {
  return { user, item, behavior, context: answer.id ? { answer: answer.id } : {} };
}

/** One rank of an answer. */
export interface Recommendation {
  item: string;
  /** Comparable only within the answer and its source. */
  score: number;
  source: Model;
  /** They add up to the score. Only with explain. */
  contributions: { item: string; score: number }[];
}

/** The items or users most similar to one, by score descending. */
export interface Neighbors {
  neighbors: { key: string; score: number }[];
  version: number;
  partial: boolean;
  stale: boolean;
}

/** One rank of a list. */
export interface Listed {
  item: string;
  /** A sum of weights of events, or a number of baskets. */
  score: number;
  /** When it came, or when its last event was. */
  time: Date | undefined;
}

/** A ranked list of items. */
export interface List {
  items: Listed[];
  partial: boolean;
  stale: boolean;
}

export function listOf(m: { items: ListedItem[]; partial: boolean; stale: boolean }): List {
  return {
    items: m.items.map((i) => ({ item: i.item, score: i.score, time: i.timeUnixMs === 0n ? undefined : new Date(Number(i.timeUnixMs)) })),
    partial: m.partial,
    stale: m.stale,
  };
}

/** What records are about. Keys of one kind are apart from those of the other. */
export const Kind = { Product: RecordKind.PRODUCT, User: RecordKind.USER } as const;
export type Kind = (typeof Kind)[keyof typeof Kind];

/** The value of an attribute. */
export type Value = string | number | boolean | Date | string[];

/** What is known of one product or user. */
export interface Record {
  key: string;
  attributes: { [name: string]: Value };
  /** Time of the last change in Unix milliseconds, or its number: a higher one replaces a lower one. Now if it is not given. */
  version?: number;
}

export function recordToWire(r: Record): WireRecord {
  r.version ??= Date.now();
  return create(RecordSchema, {
    key: r.key,
    version: BigInt(r.version),
    attributes: Object.entries(r.attributes).map(([name, v]) => create(AttributeSchema, { name, value: valueToWire(r.key, name, v) })),
  });
}

function valueToWire(key: string, name: string, v: Value): Attribute["value"] {
  if (typeof v === "string") {
    return { case: "text", value: v };
  }
  if (typeof v === "number") {
    return { case: "number", value: v };
  }
  if (typeof v === "boolean") {
    return { case: "truth", value: v };
  }
  if (v instanceof Date) {
    return { case: "timeUnixMs", value: BigInt(v.getTime()) };
  }
  if (Array.isArray(v)) {
    return { case: "texts", value: { $typeName: "kith.v1.TextList", texts: v } };
  }
  throw new TypeError(`record ${key}: attribute ${name} is a ${typeof v}; want string, number, boolean, Date or string[]`);
}

export function recordOf(m: WireRecord): Record {
  const attributes: Record["attributes"] = {};
  for (const { name, value: v } of m.attributes) {
    switch (v.case) {
      case "text":
      case "number":
      case "truth":
        attributes[name] = v.value;
        break;
      case "timeUnixMs":
        attributes[name] = new Date(Number(v.value));
        break;
      case "texts":
        attributes[name] = v.value.texts;
        break;
    }
  }
  return { key: m.key, attributes, version: Number(m.version) };
}

/** What became of records. */
export interface PutCounts {
  /** They replaced older ones, or were the first. */
  changed: number;
  /** They were known, or older than what there is. */
  unchanged: number;
  /** They were refused, as their user was erased. */
  erased: number;
  rejected: Rejection[];
}

/** The cluster as a node sees it. */
export interface Status {
  id: string;
  /** All partitions have leaders, so that all calls can be answered. */
  ready: boolean;
  /** That of the active model; 0 for none. */
  version: number;
  nodes: { id: string; addr: string; alive: boolean; leaving: boolean }[];
}
