/**
 * Client of kith, a distributed recommender cluster.
 *
 *     const client = new Client(["localhost:7801"]);
 *     await client.append([{ user: "u1", item: "i1", behavior: Behavior.Purchase }]);
 *     const answer = await client.recommend({ user: "u1", n: 10 });
 *     await client.close();
 *
 * Calls go to all nodes of the cluster in turn, have a deadline, and are repeated where that is harmless.
 */
export { Appender, type AppenderOptions, type AppenderStats } from "./appender.js";
export { Client, type CallOptions, type ClientOptions, type ListQuery, type Query, type Tls } from "./client.js";
export { ClosedError, KithError, Reason } from "./errors.js";
export {
  type Appended,
  type Condition,
  type Diversity,
  type Event,
  type Filter,
  type List,
  type Listed,
  type Neighbors,
  type PutCounts,
  type Recommendation,
  type Recommendations,
  type Record,
  type Rejection,
  type Rules,
  type Status,
  type Value,
  Behavior,
  Kind,
  Model,
  allOf,
  anyOf,
  atLeast,
  atMost,
  available,
  between,
  click,
  impression,
  noneOf,
} from "./messages.js";
