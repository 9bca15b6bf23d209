// What the client does when servers fail, with servers that fail as a test says.

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";

import { status } from "@grpc/grpc-js";

import { type ClientOptions, type Event, Client, ClosedError, KithError, Kind, Reason, type Rejection } from "../src/index.js";
import type { Event as WireEvent } from "../src/gen/kith/v1/event_pb.js";
import { Fake, Refusal, eventually } from "./servers.js";

/** Serves fakes and opens a client of the first ones; all ends with the test. */
async function start(t: TestContext, fakes: number, options: ClientOptions = {}, told = fakes): Promise<{ nodes: Fake[]; client: Client }> {
  const nodes = await Promise.all(Array.from({ length: fakes }, () => new Fake().start()));
  const client = new Client(
    nodes.slice(0, told).map((n) => n.addr),
    { refreshMs: 0, ...options },
  );
  t.after(async () => {
    await client.close();
    for (const n of nodes) {
      n.stop();
    }
  });
  return { nodes, client };
}

async function ask(client: Client): Promise<string> {
  return (await client.recommend({ user: "u" })).items[0]!.item;
}

const view = (i: number): Event => ({ user: "u", item: `i${i}`, behavior: "view" });

test("reads take turns and go to another node", async (t) => {
  const { nodes, client } = await start(t, 3);
  for (let i = 0; i < 30; i++) {
    await ask(client);
  }
  assert.deepEqual(nodes.map((n) => n.calls), [10, 10, 10]);
  nodes[0]!.onRecommend = () => {
    throw new Refusal(status.UNAVAILABLE);
  };
  for (let i = 0; i < 20; i++) {
    assert.notEqual(await ask(client), nodes[0]!.addr);
  }
  assert.ok(nodes[0]!.calls <= 13, `a node that fails was asked ${nodes[0]!.calls - 10} times`);
});

for (const [code, reason, again] of [
  [status.UNAVAILABLE, Reason.NoLeader, true],
  [status.UNAVAILABLE, Reason.NotReady, true],
  [status.UNAVAILABLE, "", true],
  [status.DEADLINE_EXCEEDED, "", true],
  [status.RESOURCE_EXHAUSTED, Reason.Overloaded, true],
  [status.RESOURCE_EXHAUSTED, Reason.RateLimited, true],
  [status.RESOURCE_EXHAUSTED, "", false],
  [status.INVALID_ARGUMENT, Reason.Invalid, false],
  [status.NOT_FOUND, Reason.UnknownUser, false],
  [status.FAILED_PRECONDITION, Reason.NoModel, false],
  [status.PERMISSION_DENIED, Reason.Forbidden, false],
  [status.INTERNAL, "", false],
] as const) {
  test(`${status[code]} ${reason} is ${again ? "" : "not "}repeated`, async (t) => {
    const { nodes, client } = await start(t, 1);
    const [node] = nodes as [Fake];
    node.onRecommend = (n) => {
      if (n === 1) {
        throw new Refusal(code, reason, 1);
      }
    };
    if (again) {
      assert.equal(await ask(client), node.addr);
      assert.equal(node.calls, 2);
      return;
    }
    await assert.rejects(ask(client), (e) => {
      assert.ok(e instanceof KithError);
      assert.deepEqual([e.code, e.reason, e.addr, e.attempts, node.calls], [code, reason, node.addr, 1, 1]);
      return true;
    });
  });
}

test("a retry hint is honored", async (t) => {
  const { nodes, client } = await start(t, 1);
  nodes[0]!.onRecommend = (n) => {
    if (n === 1) {
      throw new Refusal(status.RESOURCE_EXHAUSTED, Reason.Overloaded, 150);
    }
    if (n > 2) {
      throw new Refusal(status.RESOURCE_EXHAUSTED, Reason.RateLimited, 3_600_000);
    }
  };
  const began = performance.now();
  await ask(client);
  assert.ok(performance.now() - began >= 149);
  // At once: the server asks for more time than there is.
  await assert.rejects(ask(client), { reason: Reason.RateLimited, retryInMs: 3_600_000 });
  assert.equal(nodes[0]!.calls, 3);
});

test("deadlines", async (t) => {
  const { nodes, client } = await start(t, 2, { timeoutMs: 10_000, attemptTimeoutMs: 100 });
  const [hangs, well] = nodes as [Fake, Fake];
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  hangs.onRecommend = () => held;
  for (let i = 0; i < 4; i++) {
    assert.equal(await ask(client), well.addr);
  }
  const alone = new Client([hangs.addr], { refreshMs: 0, timeoutMs: 100 });
  await assert.rejects(ask(alone), { code: status.DEADLINE_EXCEEDED });
  await assert.rejects(alone.recommend({ user: "u" }, { timeoutMs: 10_000, signal: AbortSignal.timeout(50) }), { name: "TimeoutError" });
  await alone.close();
  await assert.rejects(ask(alone), ClosedError);
  release();
});

test("append repeats with the same ids", async (t) => {
  const { nodes, client } = await start(t, 1);
  const got: WireEvent[][] = [];
  nodes[0]!.onAppend = (n, events) => {
    got.push(events);
    if (n === 1) {
      throw new Refusal(status.UNAVAILABLE, "UNKNOWN_OUTCOME");
    }
    return { duplicates: BigInt(events.length) };
  };
  const events: Event[] = [view(1), view(1), { ...view(1), id: "mine" }];
  assert.equal((await client.append(events)).duplicates, 3);
  assert.equal(got.length, 2);
  assert.deepEqual(got[0], got[1]);
  assert.equal(new Set(got[0]!.map((e) => e.id)).size, 3);
  assert.deepEqual(got[0]!.map((e) => e.id), events.map((e) => e.id));
  assert.equal(events[2]!.id, "mine");
});

function rejectWithoutItem(events: WireEvent[]) {
  const rejections = events.flatMap((e, i) => (e.item === "" ? [{ index: BigInt(i), reason: "no_item", detail: "no item" }] : []));
  return { appended: BigInt(events.length - rejections.length), rejected: BigInt(rejections.length), rejections };
}

test("append cuts messages", async (t) => {
  const { nodes, client } = await start(t, 1);
  nodes[0]!.onAppend = (_n, events) => rejectWithoutItem(events);
  const counts = await client.append(Array.from({ length: 2500 }, (_, i) => ({ ...view(i), item: [1, 2400].includes(i) ? "" : "i" })));
  const rejected = [1, 2400].map((index) => ({ index, code: "no_item", detail: "no item" }));
  assert.deepEqual(counts, { stored: 2498, duplicates: 0, erased: 0, rejected });
  assert.equal(nodes[0]!.calls, 3);
  await assert.rejects(client.append([{ ...view(1), context: { page: "x".repeat(2 << 20) } }]), /shorten its context/);
});

test("delete is repeated only with a version", async (t) => {
  const { nodes, client } = await start(t, 1, { writeTimeoutMs: 300 });
  await assert.rejects(client.delete(Kind.Product, ["p"]), KithError);
  assert.equal(nodes[0]!.calls, 1);
  await assert.rejects(client.delete(Kind.Product, ["p"], { version: 7 }), KithError);
  assert.ok(nodes[0]!.calls > 2);
});

test("members are followed", async (t) => {
  const { nodes, client } = await start(t, 3, { refreshMs: 50, attemptTimeoutMs: 300 }, 1);
  const [first, leaves, joins] = nodes as [Fake, Fake, Fake];
  for (const n of nodes) {
    n.members = [first.addr, leaves.addr, "127.0.0.1:1"]; // the last cannot be reached, and gets no calls
  }
  await eventually(async () => (await ask(client)) === leaves.addr);
  for (const n of nodes) {
    n.members = [first.addr, joins.addr];
  }
  await eventually(async () => (await ask(client)) === joins.addr);
  for (let i = 0; i < 10; i++) {
    assert.notEqual(await ask(client), leaves.addr);
  }
});

test("appender", async (t) => {
  const { nodes, client } = await start(t, 1);
  const sizes: number[] = [];
  nodes[0]!.onAppend = (_n, events) => {
    sizes.push(events.length);
    return rejectWithoutItem(events);
  };
  const lost: (Rejection | Error)[] = [];
  const a = client.appender({ batch: 10, intervalMs: 3_600_000, lost: (_e, why) => lost.push(why) });
  for (let i = 0; i < 25; i++) {
    await a.add(view(i));
  }
  await eventually(() => a.stats().stored === 20); // full batches go at once
  assert.equal(await a.flush(), true);
  assert.equal(a.stats().stored, 25);
  await a.add({ user: "bad", item: "", behavior: "view" });
  assert.equal(await a.close(), false);
  assert.deepEqual(lost, [{ index: 0, code: "no_item", detail: "no item" }]);
  assert.deepEqual(a.stats(), { added: 26, stored: 25, duplicates: 0, erased: 0, lost: 1 });
  assert.deepEqual(sizes, [10, 10, 5, 1]);
  await assert.rejects(a.add(view(1)), ClosedError);

  const soon = client.appender({ intervalMs: 10 });
  await soon.add(view(1));
  await eventually(() => soon.stats().stored === 1);
  assert.equal(await soon.close(), true);
});

test("appender is bounded and gives up", async (t) => {
  const { nodes, client } = await start(t, 1);
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  nodes[0]!.onAppend = async () => {
    await held;
    return {};
  };
  const lost: (Rejection | Error)[] = [];
  const a = client.appender({ batch: 2, queue: 4, lost: (_e, why) => lost.push(why) });
  for (let i = 0; i < 4; i++) {
    await a.add(view(i));
  }
  let added = false;
  const waits = a.add(view(4)).then(
    () => (added = true),
    () => {},
  );
  assert.equal(added, false);
  assert.equal(await a.close(AbortSignal.timeout(20)), false);
  await waits;
  assert.equal(added, false);
  assert.equal(lost.length, 4);
  assert.ok(lost.every((why) => why instanceof ClosedError));
  release();
});

test("arguments are checked", async (t) => {
  const { client } = await start(t, 1);
  assert.throws(() => new Client([]), /addrs is empty/);
  assert.throws(() => new Client(["kith"]), /host:port/);
  assert.throws(() => new Client(["kith:1"], { token: "k" }), /add tls/);
  assert.throws(() => new Client(["kith:1"], { timeoutMs: 0 }), /timeoutMs is 0/);
  assert.throws(() => client.appender({ batch: 1001 }), /1 to 1000/);
  await assert.rejects(client.latest({ n: 0 }), /n is 0/);
  await assert.rejects(client.put(Kind.Product, [{ key: "p", attributes: { size: {} as never } }]), /attribute size is a object/);
});
