// All calls to a real server, with TLS and an API key.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import {
  Behavior, Client, Kind, KithError, Model, Reason, allOf, anyOf, atLeast, atMost, available, between, click, impression, noneOf, type Event, type Record,
} from "../src/index.js";
import { Server } from "./servers.js";

const now = new Date("2026-05-04T12:00:00Z");
const hour = 3_600_000;
const hourAgo = new Date(now.getTime() - hour);

let server: Server;
let client: Client;

before(async () => {
  server = await Server.start();
  client = new Client([server.addr], { tls: { ca: await server.file("certs/ca.crt") }, token: server.key });
  await server.wait(client);
});

after(async () => {
  await client.close();
  await server.stop();
});

test("all calls", async () => {
  const events: Event[] = [];
  for (let u = 0; u < 12; u++) {
    for (const item of u === 0 ? ["x"] : u % 2 === 0 ? ["x", "y", "z"] : ["p", "q"]) {
      events.push({ user: `u${u}`, item, behavior: Behavior.Purchase, value: 2, time: now, context: { order: `o${u}` } });
    }
  }
  assert.equal((await client.append(events)).stored, events.length);
  assert.equal((await client.append(events)).duplicates, events.length);
  assert.deepEqual((await client.append([{ user: "", item: "x", behavior: "view" }])).rejected.map((r) => r.code), ["no_user"]);
  assert.deepEqual(await client.events("u0"), events.slice(0, 1));

  const records: Record[] = [
    { key: "y", attributes: { category: "shoes", price: 50, tags: ["a", "b"], sale: true, stock: 3, since: now } },
    { key: "z", attributes: { category: "hats", price: 20, since: hourAgo } },
  ];
  assert.equal((await client.put(Kind.Product, records)).changed, 2);
  assert.equal((await client.put(Kind.Product, records)).unchanged, 2);
  assert.deepEqual(await client.get(Kind.Product, ["y", "nothing"]), records.slice(0, 1));
  await server.operate("build", "--wait");

  const answer = await client.recommend({
    user: "u0", n: 1, model: Model.ITEM_KNN, explain: true, boosts: [{ factor: 2 }], freshness: { halfLifeMs: 24 * hour },
    diversity: { lambda: 0.5, maxPerGroup: 1 }, excludeHistory: [{ behaviors: [Behavior.Purchase], withinMs: 24 * hour }], now,
    filter: {
      conditions: [
        anyOf("category", "shoes"), allOf("tags", "a", "b"), noneOf("tags", "c"), between("price", 10, 50), atLeast("price", 50),
        atMost("price", 50), available("stock"),
      ],
    },
  });
  assert.deepEqual(answer.items.map((i) => [i.item, i.source]), [["y", Model.ITEM_KNN]]);
  assert.deepEqual(answer.items[0]!.contributions.map((c) => c.item), ["x"]);
  const status = await client.status();
  assert.ok(answer.version > 0);
  assert.equal(answer.version, status.version);
  const pinned = await client.recommend({ basket: ["p"], n: 1, pins: [{ item: "z", rank: 1 }] });
  assert.deepEqual(pinned.items.map((i) => [i.item, i.source]), [["z", Model.PINNED]]);
  await writeFile(join(server.folder, "scenes.yaml"), `scenes: [{name: home, model: popularity}, {name: product, model: similar}]
experiments: [{name: first, scene: home, start: 2026-01-01, end: 2099-01-01, variants: [{name: a, scene: home}, {name: b, scene: home}]}]
`);
  await server.operate("scenes", "apply", "scenes.yaml");
  const home = await client.recommend({ scene: "home", session: "s1", n: 1 });
  assert.deepEqual([home.scene, home.experiment], ["home", "first"]);
  assert.ok(["a", "b"].includes(home.variant) && home.id);
  const outcome = [impression(home, "s1", home.items[0]!.item), click(home, "s1", home.items[0]!.item)];
  assert.deepEqual(outcome.map((e) => e.context), [{ answer: home.id }, { answer: home.id }]);
  assert.equal((await client.append(outcome)).stored, 2);
  assert.equal((await client.recommend({ scene: "product", item: "y", n: 1 })).items[0]!.item, "z");
  assert.equal((await client.recommend({ basket: [{ item: "p", weight: 2 }], n: 1 })).items[0]!.item, "q");
  assert.equal((await client.recommend({ basket: [{ item: "p", rating: 0 }], n: 1 })).items[0]!.item, "q");
  assert.equal((await client.similarItems("y", { n: 1 })).neighbors[0]!.key, "z");
  assert.ok((await client.similarUsers("u2", 1)).neighbors[0]!.score > 0);
  const soon = new Date(now.getTime() + hour);
  const trending = await client.trending({ n: 1, withinMs: 24 * hour, weights: { [Behavior.Purchase]: 1 }, now: soon });
  assert.equal(trending.items[0]!.score, 6);
  const together = await client.boughtTogether("x", { n: 1 });
  assert.deepEqual([together.items[0]!.score, together.baskets], [5, 6]);
  assert.deepEqual((await client.newArrivals({ n: 1, filter: { deny: ["y"] } })).items, [{ item: "z", score: 0, time: hourAgo }]);
  assert.deepEqual((await client.latest({ n: 1, filter: { allow: ["q"] } })).items, [{ item: "q", score: 0, time: now }]);
  assert.equal(await client.delete(Kind.Product, ["z"]), 1);
  assert.ok(status.ready);
  assert.deepEqual(status.nodes.map((n) => [n.addr, n.alive, n.leaving]), [[server.addr, true, false]]);

  await assert.rejects(client.recommend({ user: "nobody", noFallback: true }), { reason: Reason.UnknownUser });
  await assert.rejects(client.similarItems("nothing"), { reason: Reason.UnknownItem });
  await assert.rejects(client.recommend({ user: "u0", boosts: [{ factor: -1 }] }), { reason: Reason.Invalid });

  const a = client.appender({ intervalMs: 10 });
  for (let i = 0; i < 1500; i++) {
    await a.add({ user: "busy", item: `i${i}`, behavior: Behavior.View });
  }
  assert.equal(await a.close(), true);
  assert.equal((await client.events("busy")).length, 1500);
});

test("credentials", async () => {
  const ca = await server.file("certs/ca.crt");
  const mutual = new Client([server.addr], { tls: { ca, cert: await server.file("certs/ops.crt"), key: await server.file("certs/ops.key") } });
  assert.ok((await mutual.status()).ready);
  await mutual.close();
  for (const options of [{}, { token: async () => "kith_wrong" }]) {
    const stranger = new Client([server.addr], { tls: { ca }, ...options });
    await assert.rejects(stranger.status(), { reason: Reason.Unauthenticated });
    await stranger.close();
  }
  const plain = new Client([server.addr], { timeoutMs: 500, refreshMs: 0 });
  await assert.rejects(plain.status(), KithError);
  await plain.close();
});

test("example", async () => {
  const example = join(import.meta.dirname, "../examples/shop.js");
  const { stdout } = await promisify(execFile)(process.execPath, [example, server.addr, join(server.folder, "certs/ca.crt")], {
    env: { ...process.env, KITH_API_KEY: server.key },
    timeout: 60_000,
  });
  assert.match(stdout, /for u1: /);
});
