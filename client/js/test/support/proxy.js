//! A TCP proxy with the faults of networks, which the test orders.
//!
//! Invariant: what it has passed on is what came, in order; a fault loses the end of a connection,
//! never its middle.

import net from "node:net";

export class Proxy {
  /** Requests that begin so are cut off: `"GET /ws"` is a network without WebSocket. */
  forbidden = undefined;
  refusing = false;
  connects = 0;
  #pairs = new Set();
  #stalled = { up: false, down: false };

  constructor(port) {
    this.target = port;
    this.server = net.createServer({ noDelay: true }, (client) => this.#accept(client));
  }

  static async open(t, port) {
    const proxy = new Proxy(port);
    await new Promise((resolve) => proxy.server.listen(0, "127.0.0.1", resolve));
    proxy.port = proxy.server.address().port;
    proxy.url = `ws://127.0.0.1:${proxy.port}/ws`;
    t.after(() => {
      proxy.cut("reset");
      for (const client of proxy.#dead) client.destroy();
      proxy.server.close();
    });
    return proxy;
  }

  /** Ends all connections: with a FIN, or with a reset. */
  cut(how = "reset") {
    for (const { client, server } of this.#pairs) {
      for (const socket of [client, server]) how === "reset" ? socket.resetAndDestroy() : socket.destroySoon();
    }
    this.#pairs.clear();
  }

  /** Passes on nothing more, one way or both: of connections that there are, and of new ones. */
  stall(way = "both") {
    this.#stalled = { up: way !== "down", down: way !== "up" };
    for (const pair of this.#pairs) this.#flow(pair);
  }

  /** Goes on with what was stalled. */
  resume() {
    this.#stalled = { up: false, down: false };
    for (const pair of this.#pairs) this.#flow(pair);
  }

  /** The server's side ends, and the clients are not told: they sit on a connection that is none. */
  halfOpen() {
    for (const { client, server } of this.#pairs) {
      client.removeAllListeners("close");
      server.removeAllListeners("close");
      client.on("data", () => {});
      server.resetAndDestroy();
      this.#dead.add(client);
      client.on("close", () => this.#dead.delete(client));
    }
    this.#pairs.clear();
  }

  #dead = new Set();

  /** Connections through which something may pass. */
  get open() {
    return this.#pairs.size;
  }

  /** Connections that clients still hold although the server's side has ended. */
  get dead() {
    return this.#dead.size;
  }

  #accept(client) {
    this.connects++;
    client.on("error", () => {});
    if (this.refusing) return client.resetAndDestroy();
    const server = net.connect({ port: this.target, host: "127.0.0.1", noDelay: true });
    server.on("error", () => {});
    const pair = { client, server };
    this.#pairs.add(pair);
    client.on("data", (bytes) => {
      if (this.forbidden !== undefined && bytes.subarray(0, this.forbidden.length).equals(Buffer.from(this.forbidden))) {
        return client.resetAndDestroy();
      }
      server.write(bytes);
    });
    server.on("data", (bytes) => client.write(bytes));
    client.on("end", () => server.end());
    server.on("end", () => client.end());
    client.on("close", () => server.destroy());
    server.on("close", () => {
      client.destroy();
      this.#pairs.delete(pair);
    });
    this.#flow(pair);
  }

  #flow({ client, server }) {
    this.#stalled.up ? client.pause() : client.resume();
    this.#stalled.down ? server.pause() : server.resume();
  }
}
