//! The client against a real server: what rooms offer, over both transports; and that nothing of a
//! client is left once it is closed.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Client } from "../dist/shardcast.js";
import { Proxy } from "./support/proxy.js";
import { serve } from "./support/server.js";
import { WebSocket } from "./support/socket.js";
import { until } from "./support/waits.js";

const QUICK = { WebSocket, reconnect: { minMs: 10, baseMs: 50, maxMs: 200 } };

function open(t, url, options = {}) {
  const client = new Client(url, { ...QUICK, ...options });
  t.after(() => client.close());
  return client;
}

for (const transport of ["websocket", "eventstream"]) {
  test(`${transport}: requests, receipts, history, presence, the last value`, async (t) => {
    const server = await serve(t);
    const options = transport === "eventstream" ? { WebSocket: class { constructor() { throw new Error("none here"); } } } : {};
    const ann = open(t, server.url, options);
    const bob = open(t, server.url, options);
    assert.ok((await ann.ping()) > 0);
    assert.equal(ann.transport, transport);
    assert.equal(ann.state, "connected");

    // Receipts; a key of one's own, twice.
    const first = await ann.publish("chat:x", { text: "Grüße, 世界 👋🏽" });
    assert.equal(first.offset, 1);
    const key = { key: "order-17" };
    assert.deepEqual(await ann.publish("chat:x", 2, key), { epoch: first.epoch, offset: 2 });
    assert.deepEqual(await bob.publish("chat:x", 3, key), { epoch: first.epoch, offset: 2, duplicate: true });
    assert.deepEqual(await ann.publish("plain", 1, { report: true }), { delivered: 0, queued: 0, dropped: 0, conflated: 0, catching_up: 0 });
    const several = await ann.publish(["chat:x", "plain"], 3);
    assert.deepEqual(several.rooms, [{ room: "chat:x", epoch: first.epoch, offset: 3 }]);
    const history = await bob.history("chat:x", { since: { epoch: first.epoch, offset: 1 }, limit: 1 });
    assert.deepEqual(history.messages, [{ offset: 2, from: ann.connection, data: 2 }]);
    assert.equal(history.offset, 3);

    // From a place on, as an iterator.
    const since = bob.subscribe("chat:x", { since: { epoch: first.epoch, offset: 2 } });
    const items = [];
    for await (const item of since) {
      items.push(item.type === "message" ? item.data : item.type);
      if (item.data === 3) break;
    }
    assert.deepEqual(items, ["joined", "recovered", 3]);

    // The last value.
    await ann.publish("price:all", { AAPL: 1 }, { conflate: "AAPL" });
    await ann.publish("price:all", { AAPL: 2 }, { conflate: "AAPL" });
    await ann.publish("price:all", { MSFT: 3 }, { conflate: "MSFT" });
    const prices = [];
    bob.subscribe("price:all", (item) => item.type === "message" && prices.push(item.data));
    await until("the state is there", () => prices.length === 2);
    assert.deepEqual(prices, [{ AAPL: 2 }, { MSFT: 3 }]);

    // Presence.
    const seen = [];
    const team = ann.subscribe("team:blue", (item) => item.type === "presence" && seen.push([item.event, item.data]), { presence: { name: "Ann" } });
    await team.joined;
    const his = bob.subscribe("team:blue", () => {}, { presence: { name: "Bob" } });
    await his.joined;
    const page = await bob.presence("team:blue", { limit: 1 });
    assert.deepEqual([page.total, page.members.length], [2, 1]);
    const rest = await bob.presence("team:blue", { cursor: page.cursor });
    const names = [...page.members, ...rest.members].map(({ connection, data }) => [connection, data.name]);
    assert.deepEqual(names.sort(), [[ann.connection, "Ann"], [bob.connection, "Bob"]].sort());
    his.unsubscribe();
    await until("she sees him come and go", () => seen.length === 2);
    assert.deepEqual(seen, [["join", { name: "Bob" }], ["leave", { name: "Bob" }]]);

    // Everyone, without a room.
    const all = [];
    ann.on("message", (message) => all.push(message.data));
    await bob.publish({ everyone: true }, "to all");
    await until("it is heard", () => all.length === 1);

    // Errors.
    await assert.rejects(ann.request("nobody handles this", 1), { name: "ShardcastError", code: "unknown_type", retryable: false });
    await assert.rejects(ann.history("plain"), { code: "bad_request" });
    const forbidden = ann.subscribe("closed:a");
    await assert.rejects(forbidden.joined, { code: "forbidden" });
    await assert.rejects(forbidden[Symbol.asyncIterator]().next(), { code: "forbidden" });
    const status = await ann.status();
    assert.deepEqual(status.rooms, ["team:blue"]);
    assert.equal(status.connection, ann.connection);
  });
}

test("a network that lets no WebSocket through, and one that swallows it", async (t) => {
  const server = await serve(t);
  const proxy = await Proxy.open(t, server.port);
  proxy.forbidden = "GET /ws";
  const client = open(t, proxy.url);
  await client.ping();
  assert.equal(client.transport, "eventstream");
  // A stream that is cut comes back as one, at once, without another try of the WebSocket.
  const connects = proxy.connects;
  const subscription = client.subscribe("chat:a", { });
  await subscription.joined;
  proxy.cut("reset");
  await until("it is back", () => client.state === "connecting");
  await client.ping();
  assert.equal(client.transport, "eventstream");
  // The WebSocket came first at the beginning: one connect more than streams and posts need.
  assert.ok(proxy.connects > connects);
  // Once it does work, it is what there is.
  const other = open(t, proxy.url, { fallback: false });
  await until("it tries more than once", () => proxy.connects > connects + 10);
  assert.equal(other.state, "connecting");
  proxy.forbidden = undefined;
  await other.ping();
  assert.equal(other.transport, "websocket");
});

/** Signs tokens, for a server with its configuration. */
function signer(t) {
  const folder = mkdtempSync(join(tmpdir(), "shardcast-client-js-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const secret = randomBytes(32).toString("hex");
  writeFileSync(join(folder, "secret"), secret, { mode: 0o600 });
  const sign = (claims, by = secret) => {
    const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const text = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
    return `${text}.${createHmac("sha256", by).update(text).digest("base64url")}`;
  };
  sign.toml = `[auth]
tokens = "required"
leeway = "0s"
expiring = "2s"
[auth.keys.main]
algorithm = "HS256"
secret_file = ${JSON.stringify(join(folder, "secret"))}
`;
  return sign;
}

const seconds = () => Math.floor(Date.now() / 1_000);

for (const transport of ["websocket", "eventstream"]) {
  test(`${transport}: a token as the first message, and a new one before it ends`, { timeout: 120_000 }, async (t) => {
    const sign = signer(t);
    const server = await serve(t, `${sign.toml}
[namespaces.chat]
join = "users"
`);
    const options = transport === "eventstream" ? { WebSocket: class { constructor() { throw new Error("none here"); } } } : {};
    let made = 0;
    const token = async () => sign({ sub: "ann", roles: ["member"], exp: seconds() + (++made > 1 ? 600 : 5) });
    const client = open(t, server.url, { ...options, tokenIn: "message", token });
    const states = [];
    client.on("state", ({ state }) => states.push(state));
    const said = [];
    client.on("authenticated", ({ user, roles, expires_ms }) => said.push([user, roles, expires_ms > 60_000]));
    await client.subscribe("chat:a", () => {}).joined;
    const { connection } = client;
    await until("the token is renewed", () => said.length === 2);
    assert.deepEqual(said, [["ann", ["member"], false], ["ann", ["member"], true]]);
    assert.equal(made, 2);
    assert.equal(client.connection, connection, "without a reconnect");
    assert.deepEqual(states, ["connected", "authenticated"]);
    assert.deepEqual((await client.status()).rooms, ["chat:a"]);

    // One that is refused, and its successor.
    const stranger = open(t, server.url, { ...options, tokenIn: "message", token: () => sign({ sub: "eve", exp: 1 }) });
    assert.equal((await stranger.closed).code, "unauthorized");
  });

  test(`${transport}: tokens: a user, a new token for each connection, the end of one`, { timeout: 120_000 }, async (t) => {
    const sign = signer(t);
    // Nobody is told before, so each token ends its connection.
    const server = await serve(t, `${sign.toml.replace('"2s"', '"0s"')}
[namespaces.chat]
history = 1000
join = "users"
publish = "users"
`);
    const options = transport === "eventstream" ? { WebSocket: class { constructor() { throw new Error("none here"); } } } : {};
    let made = 0;
    const client = open(t, server.url, { ...options, token: async () => sign({ sub: "ann", exp: seconds() + (++made > 2 ? 600 : 3) }) });
    const heard = [];
    await client.subscribe("chat:a", (item) => heard.push(item.type === "message" ? item.data : item.type)).joined;
    assert.deepEqual([client.state, client.user, client.transport], ["authenticated", "ann", transport]);
    // Its tokens end while it publishes; nothing is lost, nothing comes twice.
    let published = 0;
    while (made < 3 || client.state !== "authenticated") await client.publish("chat:a", ++published);
    await client.publish("chat:a", ++published);
    await until("all is heard", () => heard.at(-1) === published);
    assert.deepEqual(heard.filter((data) => typeof data === "number"), Array.from({ length: published }, (_, at) => at + 1));
    assert.deepEqual(new Set(heard.filter((data) => typeof data === "string")), new Set(["joined", "recovered"]));
    assert.equal(client.user, "ann");

    // A token that is none: it is not let in, and the stream says why.
    const stranger = open(t, server.url, { token: () => sign({ sub: "eve", exp: seconds() + 600 }, "another secret of 32 bytes or so") });
    const refused = await new Promise((found) => stranger.on("error", found));
    assert.deepEqual([refused.code, stranger.state, stranger.connection], ["unauthorized", "connecting", undefined]);
  });
}

test("close: at once, or when what waits is done", async (t) => {
  const server = await serve(t);
  const proxy = await Proxy.open(t, server.port);
  const client = open(t, proxy.url);
  const watcher = open(t, server.url);
  const heard = [];
  await watcher.subscribe("chat:a", (item) => item.type === "message" && heard.push(item.data)).joined;
  const publishes = Promise.all([1, 2, 3].map((data) => client.publish("chat:a", data)));
  const closing = client.close({ drainMs: 30_000 });
  assert.equal(client.state, "draining");
  await assert.rejects(client.publish("chat:a", 4), { code: "closed" });
  await closing;
  assert.deepEqual((await publishes).map(({ offset }) => offset), [1, 2, 3]);
  assert.equal(client.state, "closed");
  assert.equal(await client.closed, undefined);
  await until("all is heard", () => heard.length === 3);

  const other = open(t, proxy.url);
  await other.ping();
  proxy.stall("both");
  const stuck = other.ping();
  const draining = other.close({ drainMs: 50 });
  await draining;
  await assert.rejects(stuck, { code: "closed", mayHaveHappened: true });
  await other.close();
});

test("nothing is left of a closed client: its process ends by itself", { timeout: 120_000 }, async (t) => {
  const server = await serve(t);
  const proxy = await Proxy.open(t, server.port);
  const script = fileURLToPath(new URL("support/leaves.js", import.meta.url));
  // Node's own WebSocket has no way to end without the other side: its socket outlives `close`.
  const halfOpen = "terminate" in WebSocket.prototype ? ["half-open"] : [];
  for (const mode of ["websocket", "eventstream", "refused", ...halfOpen]) {
    proxy.refusing = mode === "refused";
    proxy.forbidden = mode === "eventstream" ? "GET /ws" : undefined;
    proxy.resume();
    const child = promisify(execFile)(process.execPath, ["--unhandled-rejections=strict", script, proxy.url, mode]);
    if (mode === "half-open") {
      await until("it is connected", () => proxy.connects > 0 && proxy.open > 0);
      child.child.stdout.once("data", () => proxy.halfOpen());
    }
    const { stdout } = await child;
    assert.match(stdout, /closed, and 0 timers\n$/, mode);
    proxy.cut("reset");
  }
});
