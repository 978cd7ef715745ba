// The JavaScript SDK of Centrifuge as a puppet, in Node and in a page: an order is one key with its argument, and its answer what came of it. What the SDK
// tells without an order is an event; {"events":[count]} waits for so many and takes them. See tests/tests/clients/centrifuge.rs.
"use strict";

// The SDK wants bytes where it speaks Protobuf. What the tests say is JSON, or {"bytes":[…]}.
function puppetOf(Centrifuge, options) {
  let client, connected, protobuf, wanted;
  const events = [];
  const toData = (value) => {
    if (!protobuf) return value;
    return value?.bytes ? Uint8Array.from(value.bytes) : new TextEncoder().encode(JSON.stringify(value));
  };
  const fromData = (data) => {
    if (!(data instanceof Uint8Array)) return data;
    try {
      return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(data));
    } catch {
      return { bytes: [...data] };
    }
  };
  const deliver = () => {
    if (wanted && events.length >= wanted.count) {
      const { count, done } = wanted;
      wanted = undefined;
      done({ events: events.splice(0, count) });
    }
  };
  const happened = (event, more) => {
    events.push({ event, ...more });
    deliver();
  };
  const publicationOf = ({ data, info, offset, tags }) => ({
    data: fromData(data),
    client: info?.client,
    user: info?.user || undefined,
    info: info?.connInfo && fromData(info.connInfo),
    offset: offset === undefined ? undefined : Number(offset),
    tags: tags && Object.keys(tags).length ? { ...tags } : undefined,
  });
  const subscribedOf = ({ recoverable, positioned, wasRecovering, recovered, streamPosition }) => ({
    recoverable,
    positioned,
    wasRecovering,
    recovered,
    offset: streamPosition && Number(streamPosition.offset),
  });
  const watch = (sub, channel) => {
    sub.on("subscribed", (ctx) => happened("subscribed", { channel, ...subscribedOf(ctx) }));
    sub.on("unsubscribed", ({ code, reason }) => happened("unsubscribed", { channel, code, reason }));
    sub.on("publication", (ctx) => happened("publication", { channel, ...publicationOf(ctx) }));
    sub.on("join", ({ info }) => happened("join", { channel, client: info.client, user: info.user }));
    sub.on("leave", ({ info }) => happened("leave", { channel, client: info.client, user: info.user }));
    sub.on("error", ({ error }) => happened("error", { channel, code: error.code }));
  };
  const entryOf = ({ key, removed, data, offset, info }) => ({
    key,
    removed: removed || undefined,
    data: removed ? undefined : fromData(data),
    offset: offset === undefined ? undefined : Number(offset),
    client: info?.client,
    user: info?.user || undefined,
  });
  // A map as an application keeps it, and changes that came twice or out of order, or that are missing: nobody else tells of those.
  const held = {};
  const hold = (sub, channel) => {
    const map = (held[channel] = { keys: new Map(), syncs: 0, updates: 0, wrong: [] });
    sub.on("subscribed", ({ recovered, streamPosition }) => {
      if (!recovered) map.last = Number(streamPosition.offset);
    });
    sub.on("sync", ({ entries }) => {
      map.syncs++;
      map.keys = new Map(entries.map(({ key, data }) => [key, fromData(data)]));
    });
    sub.on("update", ({ key, removed, data, offset }) => {
      map.updates++;
      if (Number(offset) !== map.last + 1) map.wrong.push([map.last, Number(offset)]);
      map.last = Number(offset);
      if (removed) map.keys.delete(key);
      else map.keys.set(key, fromData(data));
    });
  };
  const watchMap = (sub, channel) => {
    sub.on("subscribed", (ctx) => happened("subscribed", { channel, ...subscribedOf(ctx), state: ctx.state?.length }));
    sub.on("unsubscribed", ({ code, reason }) => happened("unsubscribed", { channel, code, reason }));
    sub.on("error", ({ error }) => happened("error", { channel, code: error.code }));
    sub.on("sync", ({ entries }) => happened("sync", { channel, entries: entries.map(entryOf).sort((a, b) => (a.key < b.key ? -1 : 1)) }));
    sub.on("update", (ctx) => happened("update", { channel, ...entryOf(ctx) }));
  };
  const of = (channel) => client.getSubscription(channel) ?? client;
  const withData = ({ id, ...command }) => {
    const [[name, request]] = Object.entries(command);
    return { id, [name]: "data" in request ? { ...request, data: toData(request.data) } : request };
  };
  const tried = async (work) => {
    try {
      return await work;
    } catch (error) {
      return { error: error.code, message: error.message };
    }
  };
  // What the SDK gets when it asks for another token, and that it asked.
  const next = (tokens, channel) =>
    tokens &&
    (async () => {
      happened("asked", { channel });
      return tokens.shift();
    });
  const orders = {
    connect({ url, format, token, tokens, at_once = [], ...more }) {
      protobuf = format === "protobuf";
      if (client) {
        client.connect();
        return { connecting: true };
      }
      client = new Centrifuge(url, { ...options, token, getToken: next(tokens), minReconnectDelay: 20, maxReconnectDelay: 200, ...more });
      client.on("connecting", ({ code }) => code && happened("connecting", { code }));
      client.on("disconnected", ({ code, reason }) => happened("disconnected", { code, reason }));
      client.on("connected", ({ client }) => {
        connected = client;
        happened("connected", { client });
      });
      client.on("message", ({ data }) => happened("message", { data: fromData(data) }));
      // Of channels that the server subscribes it to.
      client.on("subscribed", ({ channel, ...ctx }) => happened("subscribed", { channel, server: true, ...subscribedOf(ctx) }));
      client.on("unsubscribed", ({ channel }) => happened("unsubscribed", { channel, server: true }));
      client.on("publication", ({ channel, ...ctx }) => happened("publication", { channel, server: true, ...publicationOf(ctx) }));
      if (at_once.length) orders.subscribe(at_once);
      client.connect();
      return { connecting: true };
    },
    disconnect() {
      client.disconnect();
      return { state: client.state };
    },
    subscribe(channels) {
      for (const channel of channels) {
        let sub = client.getSubscription(channel);
        if (!sub) {
          sub = client.newSubscription(channel, { minResubscribeDelay: 20, maxResubscribeDelay: 200, joinLeave: true });
          watch(sub, channel);
        }
        sub.subscribe();
      }
      return { subscribing: channels.length };
    },
    // With a token, and those that it gets afterwards.
    subscribe_with({ channel, token, tokens, ...more }) {
      const sub = client.newSubscription(channel, { token, getToken: next(tokens, channel), minResubscribeDelay: 20, maxResubscribeDelay: 200, ...more });
      watch(sub, channel);
      sub.subscribe();
      return { subscribing: 1 };
    },
    map({ channel, kind, token, tokens, quiet, ...more }) {
      const maps = { connections: "newMapClientsSubscription", users: "newMapUsersSubscription" };
      const sub = client[maps[kind] ?? "newMapSubscription"](channel, { token, getToken: next(tokens, channel), minResubscribeDelay: 20, maxResubscribeDelay: 200, ...more });
      if (quiet) hold(sub, channel);
      else watchMap(sub, channel);
      sub.subscribe();
      return { subscribing: 1 };
    },
    map_held(channel) {
      const { keys, last, ...more } = held[channel];
      return { ...more, last, keys: Object.fromEntries(keys) };
    },
    map_again(channel) {
      client.getMapSubscription(channel).subscribe();
      return { subscribing: 1 };
    },
    map_leave(channel) {
      client.getMapSubscription(channel).unsubscribe();
      return { unsubscribed: 1 };
    },
    map_publish: ({ channel, key, data }) =>
      tried(client.mapPublish(channel, key, toData(data)).then(() => ({ published: true }))),
    map_remove: ({ channel, key }) => tried(client.mapRemove(channel, key).then(() => ({ removed: true }))),
    deltas(channel) {
      const stats = (client.getSubscription(channel) ?? client.getMapSubscription(channel)).deltaStats();
      return { whole: stats.numFullPayloads, deltas: stats.numDeltaPayloads };
    },
    forget(channel) {
      const sub = client.getSubscription(channel);
      sub.unsubscribe();
      client.removeSubscription(sub);
      return { forgotten: channel };
    },
    unsubscribe(channels) {
      for (const channel of channels) client.getSubscription(channel).unsubscribe();
      return { unsubscribed: channels.length };
    },
    publish: ({ channel, data }) => tried(client.publish(channel, toData(data)).then(() => ({ published: true }))),
    rpc: ({ method, data }) => tried(client.rpc(method, toData(data)).then(({ data }) => ({ data: fromData(data) }))),
    send: (data) => tried(client.send(toData(data)).then(() => ({ sent: true }))),
    history: ({ channel, limit, reverse, since }) =>
      tried(
        of(channel).history(...(of(channel) === client ? [channel, { limit, reverse, since }] : [{ limit, reverse, since }])).then(
          ({ publications, epoch, offset }) => ({
            epoch,
            offset: Number(offset),
            publications: publications.map(publicationOf),
          }),
        ),
      ),
    users: (channel) =>
      tried(client.presence(channel).then(({ clients }) => ({ users: Object.values(clients).map(({ user }) => user).sort() }))),
    presence: (channel) =>
      tried(client.presence(channel).then(({ clients }) => ({ clients: Object.keys(clients).sort() }))),
    presence_stats: (channel) =>
      tried(client.presenceStats(channel).then(({ numClients, numUsers }) => ({ numClients, numUsers }))),
    events: ([count]) =>
      new Promise((done) => {
        wanted = { count, done };
        deliver();
      }),
    state: () => ({ state: client.state, client: connected }),
    // As the SDK's own codec writes them.
    encode(commands) {
      const encoded = client._codec.encodeCommands(commands.map(withData));
      return { bytes: [...(typeof encoded === "string" ? new TextEncoder().encode(encoded) : encoded)] };
    },
  };
  return (order) => {
    const [[name, argument]] = Object.entries(order);
    return orders[name](argument);
  };
}

if (typeof module === "undefined") globalThis.puppetOf = puppetOf;
else module.exports = { puppetOf };
