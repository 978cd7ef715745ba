//! What a client is made with: checked once, with every default.
//!
//! Invariant: what comes out of `settle` needs no further look. Used by the client.

import { checked, type Backoff } from "./backoff.js";
import type { LinkOptions, TokenIn } from "./link.js";
import type { QueueOptions } from "./requests.js";
import type { WebSocketConstructor } from "./transport.js";

export interface Options {
  /** Whether it connects by itself; `true` unless said. */
  autoConnect?: boolean;
  /** A WebSocket, where there is no global one (Node before 22: npm `ws`). */
  WebSocket?: WebSocketConstructor;
  /** Another `fetch`, for event streams. */
  fetch?: typeof globalThis.fetch;
  /**
   * Event streams and posts where a WebSocket cannot be had; `true` unless said. A text is their
   * address, where it is not `/sse` beside `/ws`.
   */
  fallback?: boolean | string;
  /** Bounds of the time between two tries: 100 ms, 1 s and 30 s unless said. */
  reconnect?: Partial<Backoff>;
  /** For a connection with its welcome, and for a token: 10,000 ms unless said. */
  connectTimeoutMs?: number;
  /** For the answer to a request, the time in the queue included: 30,000 ms unless said. */
  requestTimeoutMs?: number;
  /**
   * Time without an answer after which the server is sent a ping: what it says itself (25 s) unless
   * said, and never more.
   */
  heartbeatMs?: number;
  /**
   * Time for the answer: 10,000 ms unless said, and three times as long while other things come. A dead
   * connection is found within the sum of both.
   */
  pongTimeoutMs?: number;
  /** Who the client is: called before each connection, and when the token expires. */
  token?: string | (() => string | Promise<string>);
  /**
   * How the token is sent: beside the subprotocol unless said (by event stream as a header, of another
   * origin in the address), in the address, where logs may keep it, or as the first message.
   */
  tokenIn?: TokenIn;
  /** What may wait to be sent, while there is no connection above all. */
  queue?: QueueOptions;
}

export interface Settled {
  autoConnect: boolean;
  requestTimeoutMs: number;
  queue: QueueOptions;
  link: LinkOptions;
}

/** A number of milliseconds that timers can wait for. */
function milliseconds(name: string, value: number): number {
  if (value >= 1 && value < 2 ** 31) return value;
  throw new RangeError(`${name}: 1 to 2147483647 milliseconds`);
}

/** The address of a page may stand for that of its server: `/ws`, `//host/ws`. */
function addressOf(url: string | URL): URL {
  const base = (globalThis as { location?: { href: string } }).location?.href;
  const address = new URL(url, base);
  address.protocol = address.protocol.replace(/^http/, "ws");
  if (!/^wss?:$/.test(address.protocol)) throw new TypeError(`not an address of a WebSocket: ${address}`);
  address.hash = "";
  return address;
}

/** `/sse` in the place of the last part of the path. */
function streamOf(address: URL, fallback: boolean | string | undefined): string | undefined {
  if (fallback === false) return undefined;
  const stream = new URL(typeof fallback === "string" ? fallback : address.pathname.replace(/[^/]*$/, "sse"), address);
  stream.protocol = stream.protocol.replace(/^ws/, "http");
  stream.search = address.search;
  return stream.href;
}

export function settle(url: string | URL, options: Options): Settled {
  const address = addressOf(url);
  const { token, heartbeatMs } = options;
  return {
    autoConnect: options.autoConnect ?? true,
    requestTimeoutMs: milliseconds("requestTimeoutMs", options.requestTimeoutMs ?? 30_000),
    queue: options.queue ?? {},
    link: {
      url: address.href,
      streamUrl: streamOf(address, options.fallback),
      WebSocket: options.WebSocket ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket,
      fetch: options.fetch ?? globalThis.fetch,
      backoff: checked(options.reconnect),
      connectTimeoutMs: milliseconds("connectTimeoutMs", options.connectTimeoutMs ?? 10_000),
      heartbeatMs: heartbeatMs === undefined ? undefined : milliseconds("heartbeatMs", heartbeatMs),
      pongTimeoutMs: milliseconds("pongTimeoutMs", options.pongTimeoutMs ?? 10_000),
      token: typeof token === "string" ? () => token : token,
      tokenIn: options.tokenIn ?? "subprotocol",
    },
  };
}
