//! The client against a server that the test plays, in virtual time where time matters: states,
//! backoff, close codes, tokens, bounds.

import assert from "node:assert/strict";
import test from "node:test";
import { backoff, Client, next, ShardcastError } from "../dist/shardcast.js";
import { answerTo, Fake } from "./support/fake.js";
import { turns, virtualTime } from "./support/waits.js";

function open(t, fake, options = {}) {
  const client = new Client("ws://fake/ws", { WebSocket: fake.WebSocket, fallback: false, ...options });
  client.states = [];
  client.errors = [];
  client.waits = [];
  client.on("state", ({ state }) => client.states.push(state));
  client.on("error", (error) => client.errors.push(error.code));
  client.on("waiting", ({ retryInMs }) => client.waits.push(retryInMs));
  // Time may stand still by then.
  t.after(() => Promise.race([client.close(), turns(20)]));
  return client;
}

test("the table of states", () => {
  const events = ["welcomed", "accepted", "rejoining", "rejoined", "rejoined_as_user", "drained", "lost", "ended"];
  const table = ["connecting", "connected", "authenticated", "recovering", "draining", "closed"].map(
    (state) => [state, ...events.map((event) => next(state, event))].map((word) => word.slice(0, 5)).join(" "),
  );
  assert.deepEqual(table, [
    // state, then what each event leads to
    "conne conne conne conne conne conne drain conne close",
    "conne conne authe recov conne conne drain conne close",
    "authe authe authe recov authe authe drain conne close",
    "recov recov recov recov conne authe drain conne close",
    "drain drain drain drain drain drain drain conne close",
    "close close close close close close close close close",
  ]);
  assert.equal(next("connecting", "welcomed"), "connected");
  assert.equal(next("connected", "lost"), "connecting");
});

test("backoff: within its bounds, spread evenly below a ceiling that doubles", () => {
  let seed = 7;
  const random = () => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
  for (let round = 0; round < 20_000; round++) {
    const minMs = 1 + Math.floor(random() * 1_000);
    const baseMs = minMs + Math.floor(random() * 5_000);
    const maxMs = baseMs + Math.floor(random() * 100_000);
    const attempt = Math.floor(random() * 2_000);
    const bounds = { minMs, baseMs, maxMs };
    const delay = backoff(attempt, bounds, random());
    assert.ok(delay >= minMs && delay <= maxMs, `${delay} of ${JSON.stringify(bounds)}`);
    // The slow way to the same ceiling.
    let ceiling = baseMs;
    for (let doubled = 0; doubled < attempt && ceiling < maxMs; doubled++) ceiling *= 2;
    ceiling = Math.min(ceiling, maxMs);
    assert.ok(delay <= ceiling);
    assert.equal(backoff(attempt, bounds, 0), minMs);
    assert.ok(Math.abs(backoff(attempt, bounds, 0.5) - (minMs + ceiling) / 2) < 1e-6);
    assert.ok(backoff(attempt + 1, bounds, 0.7) >= backoff(attempt, bounds, 0.7), "no later try waits less");
  }
  // Full jitter: of ten thousand clients that were cut together each tenth comes in its tenth of the time.
  const tenths = new Array(10).fill(0);
  for (let client = 0; client < 10_000; client++) {
    tenths[Math.floor(((backoff(3) - 100) / 7_900) * 10)]++;
  }
  for (const count of tenths) assert.ok(count > 800 && count < 1_200, `${tenths}`);
  for (const wrong of [{ minMs: 0 }, { minMs: 5, baseMs: 1 }, { baseMs: 10, maxMs: 9 }, { maxMs: Infinity }, { minMs: NaN }]) {
    assert.throws(() => new Client("ws://fake/ws", { reconnect: wrong }), RangeError);
  }
});

test("close codes: 4000 to 4099 end it, all others do not", async (t) => {
  const codes = {
    4000: "bad_json", 4003: "unauthorized", 4004: "forbidden", 4009: "invalid_data", 4020: "replaced", 4042: "closed", 4099: "closed",
  };
  for (const [code, name] of Object.entries(codes)) {
    const fake = new Fake();
    const client = open(t, fake);
    await turns();
    assert.equal(client.state, "connected");
    const pending = client.request("slow");
    const stream = client.subscribe("a")[Symbol.asyncIterator]();
    fake.answer = () => {};
    fake.socket.end(Number(code), "because");
    const error = await client.closed;
    assert.ok(error instanceof ShardcastError);
    assert.deepEqual([error.code, error.closeCode, error.message, error.retryable], [name, Number(code), "because", false]);
    assert.equal(client.state, "closed");
    await assert.rejects(pending, { code: name, closeCode: Number(code) });
    await assert.rejects(stream.next(), { code: name });
    assert.deepEqual(await stream.next(), { value: undefined, done: true });
    await assert.rejects(client.publish("a", 1), { code: name });
    assert.throws(() => client.subscribe("b"), { code: "closed" });
    assert.equal(fake.sockets.length, 1);
  }
  for (const code of [1000, 1001, 1002, 1005, 1006, 1007, 1008, 1009, 1011, 1012, 1013, 3000, 4100, 4105, 4199, 4200, 4999]) {
    const fake = new Fake();
    const client = open(t, fake);
    await turns();
    fake.socket.end(code, "");
    await turns();
    assert.equal(client.state, "connecting", `${code}`);
    assert.equal(client.waits.length, 1);
    assert.ok(client.waits[0] >= 100 && client.waits[0] <= 1_000);
    await client.close();
  }
});

test("closing: it waits as long as the server says, and for no word of the network", async (t) => {
  const pass = virtualTime(t);
  const fake = new Fake();
  const client = open(t, fake);
  await turns();
  fake.socket.say({ type: "closing", reason: "draining", reconnect_ms: 1_840 });
  assert.equal(client.state, "draining");
  const held = client.ask({ type: "status" });
  await turns();
  assert.equal(fake.sent.length, 0, "nothing new is asked of a server that stops");
  await pass(500);
  fake.socket.end(1001, "draining");
  await turns();
  assert.deepEqual(client.waits, [1_340]);
  await pass(1_330);
  assert.equal(fake.sockets.length, 1);
  await pass(20);
  assert.equal(fake.sockets.length, 2);
  assert.equal((await held).type, "status");
  // One that says it and does not close is left.
  fake.socket.say({ type: "closing", reason: "draining", reconnect_ms: 100 });
  await pass(200);
  assert.equal(client.state, "connected");
  assert.equal(fake.sockets.length, 3);
});

test("backoff grows until a connection stands for five seconds", async (t) => {
  const pass = virtualTime(t);
  t.mock.method(Math, "random", () => 0.999_999);
  const fake = new Fake();
  const client = open(t, fake);
  await turns();
  for (let cut = 0; cut < 7; cut++) {
    fake.socket.end(1006);
    await turns();
    await pass(client.waits.at(-1) + 10);
    assert.equal(client.state, "connected");
  }
  assert.deepEqual(client.waits.map((ms) => Math.round(ms / 1_000)), [1, 2, 4, 8, 16, 30, 30]);
  await pass(5_000);
  fake.socket.end(1006);
  await turns();
  assert.equal(Math.round(client.waits.at(-1) / 1_000), 1);
});

test("a connection that hangs at any step is given up in time", async (t) => {
  const pass = virtualTime(t);
  // So each try comes after 100 ms.
  t.mock.method(Math, "random", () => 0);
  const fake = new Fake();
  // It opens, and nobody says welcome.
  fake.open = () => {};
  const client = open(t, fake);
  await turns();
  await pass(10_010);
  assert.equal(client.waits.length, 1);
  fake.open = (socket) => socket.welcome();
  await pass(110);
  assert.equal(client.state, "connected");
  // Silence: a ping after 25 s, and 10 s for its answer.
  fake.answer = () => {};
  fake.socket.stuck = true;
  const dead = fake.socket;
  await pass(24_970);
  assert.equal(fake.sent.length, 0);
  await pass(40);
  assert.deepEqual(fake.sent.map(({ type }) => type), ["ping"]);
  await pass(9_960);
  assert.equal(client.state, "connected");
  await pass(40);
  assert.equal(client.state, "connecting");
  // npm `ws` is not waited for: a second, and its socket is gone.
  await pass(1_010);
  assert.equal(dead.readyState, 3);
  // It hears, but is not heard: messages come, and no answer.
  assert.equal(client.state, "connected");
  const last = fake.socket;
  for (let second = 0; second < 54; second++) {
    fake.socket.say({ type: "message", from: "x", data: second });
    await pass(1_000);
    assert.equal(client.state, "connected", `${second}`);
  }
  fake.answer = (socket, message) => socket.say(answerTo(message));
  await pass(2_000);
  assert.notEqual(fake.socket, last, "another connection");
  // Answers keep it.
  await pass(200_000);
  assert.equal(client.state, "connected");
});

test("the network and the page: wake up, and make sure", async (t) => {
  const pass = virtualTime(t);
  const page = Object.assign(new EventTarget(), { visibilityState: "visible" });
  globalThis.addEventListener = page.addEventListener.bind(page);
  globalThis.document = page;
  t.after(() => {
    delete globalThis.addEventListener;
    delete globalThis.document;
  });
  const fake = new Fake();
  const client = open(t, fake, { reconnect: { minMs: 20_000, baseMs: 20_000, maxMs: 20_000 } });
  await turns();
  fake.answer = () => {};
  page.dispatchEvent(new Event("offline"));
  await turns();
  assert.deepEqual(fake.sent.map(({ type }) => type), ["ping"], "the network went: is the connection still there?");
  await pass(10_010);
  assert.equal(client.state, "connecting");
  page.dispatchEvent(new Event("online"));
  await pass(1_010);
  assert.equal(client.state, "connected", "it does not wait for its backoff");
  fake.answer = (socket, message) => socket.say(answerTo(message));
  page.dispatchEvent(new Event("visibilitychange"));
  await turns();
  assert.equal(fake.sent.length, 1, "it has just been heard");
  await pass(6_000);
  page.dispatchEvent(new Event("visibilitychange"));
  await turns();
  assert.equal(fake.sent.length, 2);
  // What the server said is obeyed whatever the network says.
  fake.socket.say({ type: "closing", reconnect_ms: 9_000 });
  fake.socket.end(1001);
  await turns();
  page.dispatchEvent(new Event("online"));
  await pass(8_000);
  assert.equal(client.state, "connecting");
  await pass(1_010);
  assert.equal(client.state, "connected");
  await client.close();
  page.dispatchEvent(new Event("online"));
});

test("tokens: the first message, refreshed in time, a new one for each connection", async (t) => {
  const pass = virtualTime(t);
  const fake = new Fake();
  let made = 0;
  const client = open(t, fake, { tokenIn: "message", token: async () => `token-${++made}` });
  const who = [];
  client.on("authenticated", ({ user }) => who.push(user));
  client.subscribe("a", () => {});
  const asked = client.request("who");
  await turns(10);
  assert.deepEqual(fake.sent.map(({ type }) => type), ["auth", "join_room", "who"], "the token goes first");
  assert.equal(fake.sent[0].token, "token-1");
  await asked;
  assert.equal(client.state, "authenticated");
  assert.equal(client.user, "ann");
  fake.sent = [];
  fake.socket.say({ type: "expiring", in_ms: 30_000 });
  await turns();
  assert.deepEqual(fake.sent.map(({ type, token }) => [type, token]), [["refresh", "token-2"]]);
  assert.deepEqual(who, ["ann", "ann"]);
  // The end of a token is a reason to come back with another one.
  fake.socket.end(4105, "token_expired");
  await turns();
  await pass(1_010);
  assert.equal(fake.sent.at(-2).token, "token-3");
  assert.equal(client.state, "authenticated");
  assert.deepEqual(client.states, ["connected", "authenticated", "connecting", "connected", "authenticated", "recovering", "authenticated"]);
});

test("tokens that cannot be had: tried again, on connecting and on refreshing", async (t) => {
  const pass = virtualTime(t);
  t.mock.method(Math, "random", () => 0);
  const fake = new Fake();
  let give = async () => Promise.reject(new Error("the identity service is away"));
  const client = open(t, fake, { tokenIn: "message", token: () => give() });
  await turns();
  assert.equal(fake.sockets.length, 0);
  assert.deepEqual(client.errors, ["no_token"]);
  // One that never answers.
  give = () => new Promise(() => {});
  await pass(110);
  await pass(10_010);
  assert.deepEqual(client.errors, ["no_token", "timeout"]);
  give = () => "plain";
  await pass(200);
  assert.equal(client.state, "authenticated");
  give = () => {
    throw new Error("away");
  };
  fake.socket.say({ type: "expiring", in_ms: 30_000 });
  await pass(3_000);
  give = () => "fresh";
  await pass(3_000);
  assert.deepEqual(fake.sent.filter(({ type }) => type === "refresh").map(({ token }) => token), ["fresh"]);
});

test("a token that is refused gets one more, and then it is over", async (t) => {
  const pass = virtualTime(t);
  const refuse = ({ id }) => ({ type: "error", id, code: "unauthorized", message: "the token has expired", retryable: false });
  const fake = new Fake();
  let made = 0;
  fake.answer = (socket, message) => socket.say(message.token === "token-2" ? answerTo(message) : refuse(message));
  const client = open(t, fake, { tokenIn: "message", token: () => `token-${++made}` });
  await pass(1_100);
  assert.equal(client.state, "authenticated", "the second was good");
  fake.answer = (socket, message) => socket.say(refuse(message));
  fake.socket.end(1006);
  await pass(5_000);
  assert.equal((await client.closed).code, "unauthorized");
  assert.equal(made, 4);
  // The same where the server closes for it.
  const closing = new Fake();
  closing.answer = (socket) => socket.end(4003, "no such token");
  const other = open(t, closing, { tokenIn: "message", token: "fixed" });
  await pass(5_000);
  const error = await other.closed;
  assert.deepEqual([error.code, error.closeCode], ["unauthorized", 4003]);
  assert.equal(closing.sockets.length, 2);
});

test("a token that comes with the connection", async (t) => {
  const fake = new Fake();
  const query = new Client("http://fake/ws?a=1", { WebSocket: fake.WebSocket, token: "x&y", tokenIn: "query" });
  t.after(() => query.close());
  await turns();
  assert.equal(fake.socket.url, "ws://fake/ws?a=1&token=x%26y");
  assert.deepEqual(fake.socket.protocols, ["shardcast.v1"]);
  assert.deepEqual([query.state, query.user], ["authenticated", "ann"]);
  assert.deepEqual(fake.sent.map(({ type }) => type), ["status"], "who the server takes it for");
  const beside = open(t, fake, { token: "a.b.c" });
  await turns();
  assert.equal(fake.socket.url, "ws://fake/ws");
  assert.deepEqual(fake.socket.protocols, ["shardcast.v1", "shardcast.token.a.b.c"]);
  assert.equal(beside.state, "authenticated");
  // A server that looks for no tokens takes nobody for anybody.
  fake.answer = (socket, message) => socket.say({ ...answerTo(message), user: null });
  const nobody = open(t, fake, { token: "a.b.c" });
  await turns();
  assert.deepEqual([nobody.state, nobody.user], ["connected", null]);
});

test("10,000 rooms: joined in as few messages as they fit into, and again", async (t) => {
  const pass = virtualTime(t);
  const fake = new Fake();
  const client = open(t, fake);
  const COUNT = 10_000;
  const names = Array.from({ length: COUNT }, (_, at) => `chat:a room with number ${at}`);
  const joined = names.map((name) => client.subscribe(name, () => {}).joined);
  await turns(20);
  await Promise.all(joined);
  const bytes = (message) => Buffer.byteLength(JSON.stringify(message));
  const total = names.reduce((sum, name) => sum + bytes(name) + 1, 0);
  const fewest = Math.ceil(total / 65_536);
  assert.ok(fake.sent.length <= fewest + 1, `${fake.sent.length} messages where ${fewest} would do`);
  assert.ok(fake.sent.every((message) => bytes(message) <= 65_536));
  fake.sent = [];
  fake.socket.end(1006);
  await turns();
  await pass(1_010);
  await turns(20);
  assert.equal(client.state, "connected");
  const again = fake.sent.reduce((sum, message) => sum + bytes(message), 0);
  assert.ok(fake.sent.length <= Math.ceil(again / 65_536) + 1, `${fake.sent.length} for ${again} bytes`);
  assert.ok(fake.sent.every((message) => bytes(message) <= 65_536 && message.rooms.every((room) => message.since[room].epoch === "e1")));
  assert.equal(new Set(fake.sent.flatMap(({ rooms }) => rooms)).size, COUNT);
});

test("1,000,000 messages against a consumer that stands still", { timeout: 120_000 }, async (t) => {
  const COUNT = 1_000_000;
  for (const [whenFull, items] of [["drop_oldest", 1_000], ["drop_newest", 1_000], ["fail", 1_000]]) {
    const fake = new Fake();
    const client = open(t, fake);
    const stalled = client.subscribe("a", { items, whenFull });
    await turns();
    global.gc?.();
    const before = process.memoryUsage().heapUsed;
    const text = "x".repeat(100);
    for (let offset = 1; offset <= COUNT; offset++) {
      fake.socket.say(`{"type":"message","room":"a","from":"b","offset":${offset},"data":"${offset} ${text}"}`);
      if (offset % 10_000 === 0) await turns(1);
      if (offset % 100_000 === 0) assert.ok(stalled.buffered <= items + 1, `${stalled.buffered}`);
    }
    global.gc?.();
    const grown = process.memoryUsage().heapUsed - before;
    if (global.gc) assert.ok(grown < 4 << 20, `${grown} bytes`);
    // Everything is accounted for: read, or told to be lost.
    let read = 0;
    let lost = 0;
    let last = 0;
    const stop = new Promise((resolve) => setTimeout(resolve, 0));
    const reading = (async () => {
      for await (const item of stalled) {
        if (item.type === "message") {
          read++;
          assert.equal(item.offset, last + 1);
        }
        if (item.type === "lost") lost += item.count;
        // The first is `joined`; it may be among those that are left out.
        last = item.offset ?? (whenFull === "drop_oldest" && item.type === "lost" ? lost - 1 : last);
        if (whenFull !== "fail" && last === COUNT && read > 0) return "all";
        if (whenFull === "drop_newest" && item.type === "lost") return "all";
      }
    })();
    if (whenFull === "fail") {
      await assert.rejects(reading, { code: "buffer_full" });
      assert.ok(fake.sent.some(({ type }) => type === "leave_room"), "a subscription that failed is none");
    } else {
      assert.equal(await reading, "all");
      assert.equal(read + lost, COUNT + (whenFull === "drop_oldest" ? 1 : 0));
      assert.ok(read >= items - 1);
    }
    await stop;
    await client.close();
  }
});

test("the offline queue: bounded in count and bytes, refusing or dropping", async (t) => {
  const fake = new Fake();
  const refusing = open(t, fake, { autoConnect: false, queue: { count: 3 } });
  const outcomes = (promises) => Promise.all(promises.map((promise) => promise.then(() => "ok", (error) => error.code)));
  const four = outcomes([1, 2, 3, 4].map((number) => refusing.publish("a", number)));
  assert.equal(refusing.pending, 3);
  refusing.connect();
  assert.deepEqual(await four, ["ok", "ok", "ok", "queue_full"]);
  const dropping = open(t, new Fake(), { autoConnect: false, queue: { count: 3, whenFull: "drop_oldest" } });
  const five = outcomes([1, 2, 3, 4, 5].map((number) => dropping.publish("a", number)));
  dropping.connect();
  assert.deepEqual(await five, ["queue_full", "queue_full", "ok", "ok", "ok"]);
  const bytes = open(t, new Fake(), { autoConnect: false, queue: { bytes: 2_500 } });
  const three = outcomes([1, 2, 3].map((number) => bytes.publish("a", `${number}`.repeat(1_000))));
  bytes.connect();
  assert.deepEqual(await three, ["ok", "ok", "queue_full"]);
  // In their order, and none larger than the server takes.
  const order = new Fake();
  order.maxMessageBytes = 1_000;
  const client = open(t, order, { autoConnect: false });
  const all = outcomes([1, 2, "ü".repeat(500), 3].map((data) => client.publish("a", data)));
  client.connect();
  assert.deepEqual(await all, ["ok", "ok", "too_large", "ok"]);
  assert.deepEqual(order.sent.map(({ data }) => data), [1, 2, 3]);
  assert.equal(await client.publish("a", "ü".repeat(500)).catch(({ code }) => code), "too_large");
  // What the server takes is not known before it is asked: nothing is refused too early.
  const large = new Fake();
  large.maxMessageBytes = 1 << 20;
  const early = open(t, large, { autoConnect: false });
  const sent = early.publish("a", "x".repeat(100_000));
  early.connect();
  await sent;
  const loop = {};
  loop.loop = loop;
  await assert.rejects(client.publish("a", loop), { name: "ShardcastError", code: "bad_request" });
});

test("no more requests are under way than the server lets wait", async (t) => {
  const fake = new Fake();
  const waiting = [];
  fake.answer = (_, message) => waiting.push(message);
  const client = open(t, fake);
  const answers = Array.from({ length: 100 }, (_, at) => client.request("slow", at));
  await turns();
  assert.equal(waiting.length, 48);
  for (let at = 0; at < 100; at++) fake.socket.say({ type: "result", id: waiting[at].id, data: at }), await turns(1);
  assert.deepEqual(await Promise.all(answers), Array.from({ length: 100 }, (_, at) => at));
});

test("timeouts and signals: each settles once, wherever the request is", async (t) => {
  const pass = virtualTime(t);
  const fake = new Fake();
  fake.answer = (socket, message) => message.type === "echo" || socket.say(answerTo(message));
  const client = open(t, fake, { autoConnect: false });
  const controller = new AbortController();
  const queued = client.ask({ type: "echo" }, { timeoutMs: 50 });
  const aborted = client.ask({ type: "echo" }, { signal: controller.signal });
  const already = client.ask({ type: "echo" }, { signal: AbortSignal.abort(new Error("already")) });
  await assert.rejects(already, /already/);
  await pass(60);
  await assert.rejects(queued, { code: "timeout", retryable: true, mayHaveHappened: false });
  client.connect();
  await turns();
  const sent = client.ask({ type: "echo" }, { timeoutMs: 50 });
  await pass(60);
  await assert.rejects(sent, { code: "timeout", mayHaveHappened: true });
  controller.abort(new Error("enough"));
  await assert.rejects(aborted, /enough/);
  assert.equal(client.pending, 0);
  // An answer that comes too late is nobody's.
  fake.socket.say({ type: "echo", id: fake.sent.at(-1).id });
  assert.equal((await client.ask({ type: "any" })).type, "result");
});

test("errors of the server come as they are", async (t) => {
  const fake = new Fake();
  fake.answer = (socket, { id }) => socket.say({
    type: "error", id, code: "rate_limited", message: "too much", retryable: true, retry_after_ms: 100, field: "data.price",
  });
  const client = open(t, fake);
  await assert.rejects(client.request("add", 1), {
    name: "ShardcastError", code: "rate_limited", message: "too much", retryable: true, retryAfterMs: 100, field: "data.price",
    mayHaveHappened: false,
  });
});

test("a room that takes no key: published without, in order, and asked only once", async (t) => {
  const fake = new Fake();
  const published = [];
  fake.answer = (socket, message) => {
    if (message.key !== undefined) {
      return socket.say({ type: "error", id: message.id, code: "bad_request", message: "this room takes no key", retryable: false });
    }
    published.push(message.data);
    socket.say({ type: "ack", id: message.id });
  };
  const client = open(t, fake);
  assert.deepEqual(await Promise.all([1, 2, 3, 4].map((data) => client.publish("a", data))), [{}, {}, {}, {}]);
  assert.deepEqual(published, [1, 2, 3, 4]);
  assert.equal(fake.sent.length, 5);
  // A key of the user's own is not taken away.
  await assert.rejects(client.publish("a", 5, { key: "mine" }), { code: "bad_request" });
  // Nor is any other fault hidden.
  fake.answer = (socket, { id }) => socket.say({ type: "error", id, code: "bad_request", message: "no", retryable: false });
  await assert.rejects(client.publish("b", 6), { code: "bad_request", message: "no" });
});

test("one bad room among many: the others are joined", async (t) => {
  const fake = new Fake();
  fake.answer = (socket, message) => {
    const rooms = message.rooms ?? [message.room];
    const bad = rooms.some((room) => room.startsWith("bad"));
    socket.say(bad ? { type: "error", id: message.id, code: "forbidden", message: "no", retryable: false } : answerTo(message));
  };
  const client = open(t, fake);
  const names = Array.from({ length: 1_000 }, (_, at) => (at === 123 || at === 777 ? `bad${at}` : `room${at}`));
  const errors = [];
  const outcomes = await Promise.all(
    names.map((name) =>
      client.subscribe(name, (item) => item.type === "error" && errors.push(item.room)).joined.then(() => "joined", ({ code }) => code)),
  );
  assert.deepEqual(outcomes.map((outcome, at) => (outcome === "joined" ? -1 : at)).filter((at) => at >= 0), [123, 777]);
  assert.deepEqual(errors.sort(), ["bad123", "bad777"]);
  assert.ok(fake.sent.length < 50, `${fake.sent.length} requests`);
});

test("more rooms than a connection may be in: those that fit are joined", async (t) => {
  const fake = new Fake();
  const mine = new Set();
  fake.answer = (socket, message) => {
    const rooms = message.rooms ?? [message.room];
    if (mine.size + rooms.length > 128) {
      return socket.say({ type: "error", id: message.id, code: "room_limit", message: "too many", retryable: false });
    }
    for (const room of rooms) mine.add(room);
    socket.say(answerTo(message));
  };
  const client = open(t, fake);
  const outcomes = await Promise.all(
    Array.from({ length: 1_000 }, (_, at) => client.subscribe(`r${at}`, () => {}).joined.then(() => "joined", ({ code }) => code)),
  );
  assert.equal(outcomes.filter((outcome) => outcome === "joined").length, 128);
  assert.equal(outcomes.filter((outcome) => outcome === "room_limit").length, 872);
  assert.ok(fake.sent.length < 80, `${fake.sent.length} requests`);
});

test("refused for now: joined later, as the server says", async (t) => {
  const pass = virtualTime(t);
  const fake = new Fake();
  let full = true;
  fake.answer = (socket, message) => socket.say(
    full ? { type: "error", id: message.id, code: "rate_limited", message: "later", retryable: true, retry_after_ms: 700 } : answerTo(message),
  );
  const client = open(t, fake);
  const subscription = client.subscribe("a", () => {});
  client.subscribe("b", () => {});
  await turns();
  assert.equal(fake.sent.length, 1);
  full = false;
  await pass(690);
  assert.equal(fake.sent.length, 1);
  await pass(20);
  await subscription.joined;
  assert.equal(fake.sent.length, 3, "in two parts, in case that both at a time were too many");
});

test("a server that grants few joins at once gets them in parts", async (t) => {
  const pass = virtualTime(t);
  const fake = new Fake();
  const joined = new Set();
  let tokens = 10;
  let refilled = 0;
  fake.answer = (socket, message) => {
    if (message.type !== "join_room") return socket.say(answerTo(message));
    const rooms = message.rooms ?? [message.room];
    tokens = Math.min(10, tokens + (performance.now() - refilled) / 100);
    refilled = performance.now();
    if (rooms.length > tokens) {
      const error = { type: "error", id: message.id, code: "rate_limited", message: "slower", retryable: true, retry_after_ms: 500 };
      return socket.say(error);
    }
    tokens -= rooms.length;
    for (const room of rooms) joined.add(room);
    socket.say(answerTo(message));
  };
  const client = open(t, fake);
  for (let room = 0; room < 100; room++) client.subscribe(`r${room}`, () => {});
  await pass(60_000);
  assert.equal(joined.size, 100);
  assert.equal(client.state, "connected");
});

test("what was missed is counted where it comes before the answer, and bounded where it follows", async (t) => {
  const pass = virtualTime(t);
  const fake = new Fake();
  const client = open(t, fake);
  const missed = {};
  for (const room of ["a", "b", "c"]) {
    client.subscribe(room, (item) => item.type === "recovered" && (missed[room] = item.missed));
  }
  await turns();
  const say = (socket, room, ...offsets) => {
    for (const offset of offsets) socket.say({ type: "message", room, from: "x", offset, data: 0 });
  };
  for (const room of ["a", "b", "c"]) say(fake.socket, room, 10);
  fake.answer = (socket, message) => {
    if (!message.rooms) return socket.say(answerTo(message));
    // Offsets skip: other rooms have the places between.
    say(socket, "a", 12, 15, 20, 23);
    say(socket, "b", 12, 15);
    const recovered = (room) => ({ room, members: 1, epoch: "e1", offset: 20, recovered: true });
    socket.say({ type: "joined", id: message.id, rooms: ["a", "b", "c"].map(recovered) });
  };
  fake.socket.end(1006);
  await turns();
  await pass(1_010);
  assert.deepEqual(missed, { a: 3, b: 2 + 5, c: 10 });
});

test("what comes before the join of many is answered waits for the answer, and is bounded", async (t) => {
  const pass = virtualTime(t);
  const fake = new Fake();
  const client = open(t, fake);
  const heard = { a: [], b: [] };
  for (const room of ["a", "b"]) {
    client.subscribe(room, (item) => heard[room].push(item.type === "message" ? item.offset : item.type === "lost" ? item.why : item.type));
  }
  await turns();
  fake.socket.say({ type: "message", room: "a", from: "x", offset: 1, data: 0 });
  fake.socket.say({ type: "message", room: "a", from: "x", offset: 1, data: "a repeat is not heard" });
  assert.deepEqual(heard, { a: ["joined", 1], b: ["joined"] });
  // The other count began anew: its messages come before the answer that says so.
  fake.answer = (socket, message) => {
    if (!message.rooms) return socket.say(answerTo(message));
    assert.deepEqual(message.since, { a: { epoch: "e1", offset: 1 }, b: { epoch: "e1", offset: 0 } });
    socket.say({ type: "message", room: "a", from: "x", offset: 1, data: "of the new epoch" });
    socket.say({ type: "message", room: "b", from: "x", offset: 1, data: 0 });
    socket.say({ type: "joined", id: message.id, rooms: [
      { room: "a", members: 1, epoch: "e2", offset: 0, recovered: false, reason: "epoch_changed" },
      { room: "b", members: 1, epoch: "e1", offset: 1, recovered: true },
    ] });
    socket.say({ type: "message", room: "a", from: "x", offset: 2, data: 0 });
  };
  fake.socket.end(1006);
  await turns();
  await pass(1_010);
  assert.deepEqual(heard, { a: ["joined", 1, "epoch_changed", 1, 2], b: ["joined", "recovered", 1] });
  // More than is held: the room is left, and joined by itself from where it was.
  heard.a = heard.b = [];
  fake.sent = [];
  fake.answer = (socket, message) => {
    if (message.rooms) {
      for (let offset = 3; offset < 10_000; offset++) socket.say({ type: "message", room: "a", from: "x", offset, data: 0 });
      socket.say({ type: "joined", id: message.id, rooms: [
        { room: "a", members: 1, epoch: "e2", offset: 9_999, recovered: true }, { room: "b", members: 1, epoch: "e1", offset: 1, recovered: true },
      ] });
    } else if (message.type === "join_room") {
      assert.deepEqual(message.since, { epoch: "e2", offset: 2 });
      socket.say({ type: "joined", id: message.id, room: "a", members: 1, epoch: "e2", offset: 9_999, recovered: true });
      for (let offset = 3; offset < 10_000; offset++) socket.say({ type: "message", room: "a", from: "x", offset, data: 0 });
    } else socket.say(answerTo(message));
  };
  heard.a = [];
  heard.b = [];
  fake.socket.end(1006);
  await turns();
  await pass(2_010);
  assert.deepEqual(fake.sent.map(({ type, rooms }) => [type, rooms?.length ?? 1]), [["join_room", 2], ["leave_room", 1], ["join_room", 1]]);
  assert.equal(heard.a[0], "recovered");
  assert.deepEqual(heard.a.slice(1), Array.from({ length: 9_997 }, (_, at) => at + 3));
});

test("a place that is refused: joined without it, and told", async (t) => {
  const pass = virtualTime(t);
  const fake = new Fake();
  const client = open(t, fake);
  const items = [];
  client.subscribe("a", (item) => items.push(item.type === "lost" ? item.why : item.type));
  await turns();
  fake.answer = (socket, message) => socket.say(
    message.since
      ? { type: "error", id: message.id, code: "bad_request", message: "the room keeps no history", retryable: false }
      : { type: "joined", id: message.id, room: "a", members: 1 },
  );
  fake.socket.end(1006);
  await pass(1_010);
  assert.deepEqual(items, ["joined", "no_history"]);
});

test("several subscriptions of a room: one join, one leave, each by itself", async (t) => {
  const fake = new Fake();
  const client = open(t, fake);
  const heard = [[], []];
  const [first, second] = heard.map((into) => client.subscribe("a", (item) => into.push(item.type + (item.offset ?? ""))));
  const third = client.subscribe("a");
  assert.equal(new Set([first.id, second.id, third.id]).size, 3);
  await first.joined;
  fake.socket.say({ type: "message", room: "a", from: "x", offset: 1, data: 0 });
  second.unsubscribe();
  second.unsubscribe();
  fake.socket.say({ type: "missed", room: "a", count: 2, reason: "conflated" });
  fake.socket.say({ type: "presence", room: "a", event: "join", connection: "y", user: null });
  fake.socket.say({ type: "message", room: "a", from: "x", offset: 4, data: 0 });
  const late = [];
  client.subscribe("a", (item) => late.push(item.type + (item.offset ?? ""))).joined.then(({ offset }) => late.push(`behind ${offset}`));
  await turns();
  assert.deepEqual(heard, [["joined0", "message1", "missed", "presence", "message4"], ["joined0", "message1"]]);
  assert.deepEqual(late, ["joined4", "behind 4"]);
  assert.deepEqual(first.position, { epoch: "e1", offset: 4 });
  assert.throws(() => first[Symbol.asyncIterator](), TypeError);
  const read = [];
  for await (const item of third) {
    read.push(item.type);
    if (item.offset === 4) break;
  }
  assert.deepEqual(read, ["joined", "message", "missed", "presence", "message"]);
  assert.deepEqual(fake.sent.map(({ type }) => type), ["join_room"]);
  first.unsubscribe();
  await turns();
  assert.equal(fake.sent.length, 1, "one is left");
  await client.close();
  // Unsubscribed and subscribed again while the leave is under way: joined again, behind it.
  const other = open(t, new Fake());
  const one = other.subscribe("a", () => {});
  await one.joined;
  one.unsubscribe();
  await Promise.resolve();
  await Promise.resolve();
  const again = other.subscribe("a", () => {});
  await again.joined;
  assert.equal(other.state, "connected");
});

test("handlers that fail harm nobody", async (t) => {
  const fake = new Fake();
  const client = open(t, fake);
  const heard = [];
  client.subscribe("a", () => {
    throw new Error("a fault of the user's");
  });
  client.subscribe("a", async () => {
    throw new Error("another, later");
  });
  client.subscribe("a", (item) => heard.push(item.type));
  client.on("state", () => {
    throw new Error("a third");
  });
  await turns();
  fake.socket.say({ type: "message", room: "a", from: "x", offset: 1, data: 0 });
  fake.socket.say("no JSON");
  fake.socket.say("[1]");
  fake.socket.say('{"type":"of a later server","id":99}');
  fake.socket.say('{"type":"message","room":"__proto__","from":"x","data":0}');
  await turns();
  assert.deepEqual(heard, ["joined", "message"]);
  assert.ok(client.errors.length >= 4 && client.errors.every((code) => code === "handler_threw"), `${client.errors}`);
  assert.equal(client.state, "connected");
});

test("rooms' own tokens, and what they show", async (t) => {
  const fake = new Fake();
  const client = open(t, fake);
  const shown = [1, 2].map((number) => client.subscribe(`team:${number}`, () => {}, { presence: { name: "Ann" } }));
  const secret = client.subscribe("secret", () => {}, { token: async () => "of the room" });
  const plain = client.subscribe("plain", () => {});
  await Promise.all([...shown, secret, plain].map(({ joined }) => joined));
  const joins = fake.sent.map(({ id, type, ...rest }) => rest);
  assert.deepEqual(joins, [
    { rooms: ["team:1", "team:2"], presence: { name: "Ann" } }, { room: "plain" }, { room: "secret", token: "of the room" },
  ]);
});

test("without any transport, and with an address that is none", async (t) => {
  const global = globalThis.WebSocket;
  delete globalThis.WebSocket;
  t.after(() => global && (globalThis.WebSocket = global));
  const client = new Client("ws://fake/ws", { fallback: false });
  assert.equal((await client.closed).code, "no_transport");
  for (const url of ["ftp://fake/ws", "not an address"]) assert.throws(() => new Client(url), TypeError);
  class Picky {
    constructor() {
      throw new DOMException("not secure", "SyntaxError");
    }
  }
  assert.equal((await new Client("ws://fake/ws", { WebSocket: Picky }).closed).code, "no_transport");
});

/** `fetch` over a stream whose pieces the test makes. */
function streaming(pieces, posted) {
  return async (url, { method, body, signal }) => {
    if (method === "POST") return posted(new URL(url), body);
    const stream = new ReadableStream({
      async start(controller) {
        for (const piece of pieces) {
          controller.enqueue(piece);
          await turns(1);
        }
        signal.addEventListener("abort", () => controller.error(signal.reason));
      },
    });
    return new Response(stream, { status: 200 });
  };
}

test("event streams, cut into pieces at every byte", async (t) => {
  const welcome = '{"type":"welcome","connection":"c1",\r\ndata: "server":"fake","heartbeat_ms":25000,"max_message_bytes":65536}';
  const message = '{"type":"message","from":"x","data":"Grüße 👋🏽"}';
  const bytes = new TextEncoder().encode(
    `event: session\ndata: TOKEN\n\n:comment\n\nid: 1\ndata: ${welcome}\r\n\r\nretry\ndata:${message}\n\nevent: binary\ndata: AA==\n\n`,
  );
  for (let at = 1; at < bytes.length; at++) {
    const fetch = streaming([bytes.slice(0, at), bytes.slice(at)], () => new Response(null, { status: 204 }));
    const client = new Client("ws://fake/ws", { WebSocket: class { constructor() { throw new Error("none"); } }, fetch });
    const heard = [];
    client.on("message", ({ data }) => heard.push(data));
    await new Promise((found) => client.on("message", found));
    assert.deepEqual([client.transport, client.connection, heard], ["eventstream", "c1", ["Grüße 👋🏽"]], `${at}`);
    await client.close();
  }
});

test("posts: in order, again where the server says so, and lost with their session", async (t) => {
  const stream = new TextEncoder().encode(
    'event: session\ndata: TO+KEN\n\ndata: {"type":"welcome","connection":"c1","server":"fake","heartbeat_ms":25000,"max_message_bytes":65536}\n\n',
  );
  const posted = [];
  const statuses = [204, 429, 503, 204, 404];
  const urls = new Set();
  const fetch = streaming([stream], async (url, body) => {
    urls.add(url.href);
    const status = statuses.shift() ?? 204;
    posted.push([JSON.parse(body).data, status]);
    return new Response(null, { status, headers: { "Retry-After": "0" } });
  });
  const options = { WebSocket: class { constructor() { throw new Error("none"); } }, fetch, requestTimeoutMs: 60_000 };
  const client = new Client("wss://fake/a/ws?b=1", options);
  const lost = new Promise((found) => client.on("state", ({ state }) => state === "connecting" && found()));
  const outcomes = [1, 2, 3].map((data) => client.ask({ type: "echo", data }).catch(({ code }) => code));
  await lost;
  assert.deepEqual(posted, [[1, 204], [2, 429], [2, 503], [2, 204], [3, 404]]);
  assert.deepEqual([...urls], ["https://fake/a/sse?b=1&session=TO%2BKEN"]);
  assert.deepEqual(await Promise.all(outcomes), ["connection_lost", "connection_lost", "connection_lost"]);
  await client.close();
});

test("an event stream that is refused: by status, by its close event", async (t) => {
  const none = class { constructor() { throw new Error("none"); } };
  for (const [status, code] of [[401, "unauthorized"], [403, "forbidden"]]) {
    const client = new Client("ws://fake/ws", { WebSocket: none, fetch: async () => new Response(null, { status }) });
    // Said, and tried again: it may be a network's own answer.
    const error = await new Promise((found) => client.on("error", found));
    assert.deepEqual([error.code, error.retryable, client.state], [code, true, "connecting"]);
    await client.close();
  }
  const waits = [];
  const busy = new Client("ws://fake/ws", {
    WebSocket: none, fetch: async () => new Response(null, { status: 503, headers: { "Retry-After": "2" } }),
  });
  await new Promise((found) => busy.on("waiting", ({ retryInMs }) => found(waits.push(retryInMs))));
  assert.ok(waits[0] >= 2_100 && waits[0] <= 3_000, `${waits}`);
  await busy.close();
  const text = 'event: close\ndata: {"code":4004,"reason":"not you"}\n\n';
  const ended = new Client("ws://fake/ws", { WebSocket: none, fetch: streaming([new TextEncoder().encode(text)]) });
  const error = await ended.closed;
  assert.deepEqual([error.code, error.closeCode, error.message], ["forbidden", 4004, "not you"]);
});
