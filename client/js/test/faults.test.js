//! Faults between a client and a real server: whatever happens, a subscriber of a room with history
//! has heard exactly the room's log, once, and a publisher has published each message once.

import assert from "node:assert/strict";
import test from "node:test";
import { Client } from "../dist/shardcast.js";
import { Proxy } from "./support/proxy.js";
import { ROOMS, serve } from "./support/server.js";
import { WebSocket } from "./support/socket.js";
import { until } from "./support/waits.js";

/** A dead connection is found within half a second, and the next try comes soon. */
const QUICK = {
  WebSocket, reconnect: { minMs: 10, baseMs: 50, maxMs: 200 }, heartbeatMs: 250, pongTimeoutMs: 250,
  connectTimeoutMs: 3_000, requestTimeoutMs: 90_000,
};

function open(t, url, options = {}) {
  const client = new Client(url, { ...QUICK, ...options });
  t.after(() => client.close());
  return client;
}

/** Data of messages; items that tell of more than messages; what is lost. */
function listen(client, room, options = {}) {
  const heard = { data: [], recovered: [], lost: [], missed: 0, rejoined: 0 };
  heard.subscription = client.subscribe(room, (item) => {
    if (item.type === "message") heard.data.push(item.data);
    else if (item.type === "recovered") heard.recovered.push(item.missed);
    else if (item.type === "lost") heard.lost.push(item.why);
    else if (item.type === "missed") heard.missed += item.count;
  }, options);
  return heard;
}

const numbers = (count) => Array.from({ length: count }, (_, at) => at + 1);

const FAULTS = {
  "a reset": async ({ proxy }) => proxy.cut("reset"),
  "an end without a close": async ({ proxy }) => proxy.cut("end"),
  "a half-open connection": async ({ proxy, subscriber }) => {
    proxy.halfOpen();
    await until("it is found out", () => subscriber.state === "connecting");
  },
  "nothing comes down": async ({ proxy, subscriber }) => {
    proxy.stall("down");
    await until("it is found out", () => subscriber.state === "connecting");
    proxy.resume();
  },
  "nothing goes up": async ({ proxy, subscriber }) => {
    proxy.stall("up");
    await until("it is found out", () => subscriber.state === "connecting");
    proxy.resume();
  },
  "a partition in which connects hang": async ({ proxy, subscriber }) => {
    proxy.stall("both");
    await until("it is found out", () => subscriber.state === "connecting");
    const before = proxy.connects;
    await until("a connect that hangs is given up", () => proxy.connects > before + 1);
    proxy.cut("reset");
    proxy.resume();
  },
  "refused connects": async ({ proxy }) => {
    proxy.refusing = true;
    proxy.cut("reset");
    const before = proxy.connects;
    await until("it tries more than once", () => proxy.connects >= before + 3);
    proxy.refusing = false;
  },
  "cuts one after the other": async ({ proxy, subscriber }) => {
    for (let cut = 0; cut < 5; cut++) {
      proxy.cut("reset");
      await until("it comes back", () => subscriber.state === "connected");
    }
  },
};

for (const transport of ["websocket", "eventstream"]) {
  for (const [name, fault] of Object.entries(FAULTS)) {
    test(`${transport}: ${name}: exactly the room's log`, { timeout: 120_000 }, async (t) => {
      const server = await serve(t);
      const proxy = await Proxy.open(t, server.port);
      if (transport === "eventstream") proxy.forbidden = "GET /ws";
      const subscriber = open(t, proxy.url, { fallback: transport === "eventstream" });
      const publisher = open(t, server.url);
      const heard = listen(subscriber, "log:a");
      await heard.subscription.joined;
      assert.equal(subscriber.transport, transport);

      // Publishes go on all the while.
      let published = 0;
      let over = false;
      const publishing = (async () => {
        while (!over || published % 50 !== 0) await publisher.publish("log:a", ++published);
      })();
      await until("some are heard", () => heard.data.length > 50);
      await fault({ proxy, subscriber, server });
      await until("it comes back", () => heard.recovered.length > 0 && subscriber.state === "connected");
      const then = published;
      await until("they go on", () => heard.data.length > then);
      over = true;
      await publishing;
      await until("all are heard", () => heard.data.at(-1) === published);
      assert.deepEqual(heard.data, numbers(published));
      assert.deepEqual(heard.lost, []);
      assert.equal(heard.missed, 0);
      const log = await publisher.history("log:a", { limit: 1_000 });
      assert.deepEqual(log.messages.map(({ data }) => data), heard.data.slice(0, log.messages.length));
    });
  }

  test(`${transport}: a publisher that is cut publishes each message once`, { timeout: 120_000 }, async (t) => {
    const server = await serve(t);
    const proxy = await Proxy.open(t, server.port);
    if (transport === "eventstream") proxy.forbidden = "GET /ws";
    const publisher = open(t, proxy.url);
    const subscriber = open(t, server.url);
    const heard = listen(subscriber, "log:b");
    await heard.subscription.joined;
    let answered = 0;
    const COUNT = 1_000;
    const publishes = numbers(COUNT).map((number) =>
      publisher.publish("log:b", number).then((receipt) => {
        answered++;
        assert.equal(receipt.offset, number, "in its place");
      }),
    );
    for (const part of [0.2, 0.4, 0.6]) {
      await until("some are published", () => heard.data.length > COUNT * part);
      // The answers to some of them are under way, and never arrive.
      proxy.stall("down");
      const before = heard.data.length;
      await until("some more are published, or as many as may", () => heard.data.length > before || publisher.state !== "connected");
      proxy.cut("reset");
      proxy.resume();
    }
    await Promise.all(publishes);
    assert.equal(answered, COUNT);
    await until("all are heard", () => heard.data.length >= COUNT);
    assert.deepEqual(heard.data, numbers(COUNT));
  });
}

test("a server that stops and one that starts: nobody takes one count for the other", { timeout: 120_000 }, async (t) => {
  const first = await serve(t);
  const proxy = await Proxy.open(t, first.port);
  const subscriber = open(t, proxy.url);
  const states = [];
  subscriber.on("state", ({ state }) => states.push(state));
  const heard = listen(subscriber, "log:c");
  const plain = listen(subscriber, "no history is kept here");
  await heard.subscription.joined;
  await plain.subscription.joined;
  await subscriber.publish("log:c", 1);
  await until("it is heard", () => heard.data.length === 1);
  const second = await serve(t);
  proxy.target = second.port;
  const publisher = open(t, second.url);
  for (const number of [2, 3]) await publisher.publish("log:c", number);
  assert.equal(await first.stop(), 0);
  await until("it is connected to the other", () => heard.lost.length === 1);
  await publisher.publish("log:c", 4);
  await until("it hears what is new", () => heard.data.at(-1) === 4);
  assert.deepEqual(heard.lost, ["epoch_changed"]);
  assert.deepEqual(heard.data, [1, 4]);
  assert.deepEqual(plain.lost, ["no_history"]);
  assert.ok(states.includes("draining"), `told before: ${states}`);
  assert.deepEqual(states.slice(-3), ["connected", "recovering", "connected"]);
});

test("a server that dies with requests under way: those that may not be sent twice are refused", { timeout: 120_000 }, async (t) => {
  const first = await serve(t);
  const proxy = await Proxy.open(t, first.port);
  const client = open(t, proxy.url);
  await client.ping();
  proxy.stall("both");
  const publish = client.publish("a room without history", 1);
  const request = client.ask({ type: "echo", data: 1 });
  const again = client.ask({ type: "echo", data: 2 }, { resend: true });
  const second = await serve(t);
  await first.crash();
  proxy.target = second.port;
  proxy.cut("reset");
  proxy.resume();
  await assert.rejects(request, { name: "ShardcastError", code: "connection_lost", mayHaveHappened: true, retryable: true });
  assert.deepEqual((await again).data, 2);
  // Its key went along, for it was not known yet that the room takes none: so it could be sent again.
  assert.deepEqual(await publish, {});
});

test("more was published than the room keeps: the subscriber is told", { timeout: 120_000 }, async (t) => {
  const server = await serve(t);
  const proxy = await Proxy.open(t, server.port);
  const subscriber = open(t, proxy.url);
  const publisher = open(t, server.url);
  const heard = listen(subscriber, "short:a");
  await heard.subscription.joined;
  proxy.refusing = true;
  proxy.cut("reset");
  for (const number of numbers(10)) await publisher.publish("short:a", number);
  proxy.refusing = false;
  await until("it is back", () => heard.lost.length > 0);
  await publisher.publish("short:a", 11);
  await until("it hears what is new", () => heard.data.length > 0);
  assert.deepEqual(heard.lost, ["trimmed_by_size"]);
  assert.deepEqual(heard.data, [11]);
});

test("4,096 rooms are joined again in a few messages, each with what it missed", { timeout: 120_000 }, async (t) => {
  const COUNT = 4_096;
  const server = await serve(t, `[limits]\nmax_rooms_per_connection = 4096\n${ROOMS}`);
  const proxy = await Proxy.open(t, server.port);
  const publisher = open(t, server.url);
  const sockets = [];
  class Counting extends WebSocket {
    sent = 0;
    constructor(...given) {
      super(...given);
      sockets.push(this);
    }
    send(text) {
      this.sent++;
      super.send(text);
    }
  }
  const subscriber = open(t, proxy.url, { WebSocket: Counting, heartbeatMs: 20_000 });
  const rooms = numbers(COUNT).map((number) => listen(subscriber, `chat:room-${number}`));
  await Promise.all(rooms.map((room) => room.subscription.joined));
  proxy.refusing = true;
  proxy.cut("reset");
  await Promise.all(numbers(10).map((number) => publisher.publish(`chat:room-${number * 400}`, number)));
  proxy.refusing = false;
  await until("all are back", () => subscriber.state === "connected" && rooms.every(({ recovered }) => recovered.length === 1));
  await until("all is heard", () => rooms.filter(({ data }) => data.length === 1).length === 10);
  const missed = rooms.map(({ recovered }) => recovered[0]);
  assert.equal(missed.reduce((sum, one) => sum + one), 10);
  // A room and its place are about 60 bytes, so some 250 KiB in messages of 64 KiB.
  assert.ok(sockets.at(-1).sent <= 6, `${sockets.at(-1).sent} messages`);
});
