//! The connection: which transport, when to try again, whether the other side still lives, and the
//! token that it is opened with.
//!
//! Invariant: one connection at a time; what an earlier one still says is not heard. It ends for good
//! only by `close` or by the server's word. Used by the client.

import { backoff, type Backoff } from "./backoff.js";
import { ShardcastError, isTerminal, ofClose, within, wrap } from "./errors.js";
import { overEventStream } from "./eventstream.js";
import { utf8Bytes } from "./queue.js";
import { overWebSocket, type End, type Hears, type Transport, type WebSocketConstructor } from "./transport.js";
import { parse, type Raw, type Welcome } from "./wire.js";

export interface LinkOptions {
  url: string;
  /** Where event streams are; `undefined`: nowhere. */
  streamUrl: string | undefined;
  WebSocket: WebSocketConstructor | undefined;
  fetch: typeof globalThis.fetch | undefined;
  backoff: Backoff;
  connectTimeoutMs: number;
  /** Silence after which the server is asked for a sign of life; `undefined`: as the server says. */
  heartbeatMs: number | undefined;
  pongTimeoutMs: number;
  token: (() => string | Promise<string>) | undefined;
  tokenIn: TokenIn;
}

/** How a token is sent: beside the subprotocol, in the address, or as the first message. */
export type TokenIn = "subprotocol" | "query" | "message";

export interface LinkHooks {
  /** The server has said welcome. `token` is what this connection was opened with. */
  welcomed(welcome: Welcome, token: string | undefined): void;
  /** Any other message, with its bytes. */
  heard(message: Raw, bytes: number): void;
  /** The connection that had a welcome is gone. */
  lost(again: "again" | "not again"): void;
  /** The next try comes after so many milliseconds. */
  waits(attempt: number, retryInMs: number): void;
  /** For good. */
  ended(error: ShardcastError): void;
  /** Asks the server for a sign of life. */
  ping(): void;
  failed(error: ShardcastError): void;
}

/** A connection that stood for so long was a good one: the next backoff begins anew. */
const STABLE_MS = 5_000;

/** How long event streams are tried first once they worked where a WebSocket did not. */
const STREAM_FIRST_MS = 300_000;

/** No server asks for a longer pause. */
const SERVER_DELAY_MS_MAX = 300_000;

/** After `online`, so that a whole office does not come back in one instant. */
const ONLINE_JITTER_MS = 1_000;

/** A page that is looked at again asks for no sign of life if there was one so lately. */
const FRESH_MS = 5_000;

/** While other things come, the answer to a ping may take so many times as long. */
const BEHIND_FACTOR = 3;

type Kind = "websocket" | "eventstream";
type Timer = ReturnType<typeof setTimeout> | undefined;

export class Link {
  readonly #options: LinkOptions;
  readonly #hooks: LinkHooks;
  #transport: Transport | undefined;
  #kind: Kind = "websocket";
  /** Grows with each try; what belongs to an earlier one is not heard. */
  #try = 0;
  #attempt = 0;
  #up = false;
  #closed = false;
  /** Transports that wait for the other side's close. */
  readonly #closing = new Set<Promise<void>>();
  #upSince = 0;
  #lastHeard = 0;
  /** When the server last answered something: then both directions worked. */
  #lastAnswered = 0;
  #pingedAt: number | undefined;
  #heartbeatMs = 25_000;
  /** Connects that take too long, the next try, or the next look at the other side. */
  #timer: Timer;
  /** The server said when to come back; the clock that does not jump. */
  #comeBackAt: number | undefined;
  #drainTimer: Timer;
  #waiting: "backoff" | "server" | undefined;
  #streamFirstUntil = 0;
  /** Of WebSockets without a welcome in a row; a large number until the first welcome. */
  #socketFailures = Infinity;
  /** Tokens that were refused in a row. */
  #tokenRefusals = 0;

  constructor(options: LinkOptions, hooks: LinkHooks) {
    this.#options = options;
    this.#hooks = hooks;
  }

  get transport(): Kind | undefined {
    return this.#up ? this.#kind : undefined;
  }

  start(): void {
    if (this.#closed || this.#try > 0) return;
    void this.#connect();
  }

  send(text: string): void {
    this.#transport?.send(text);
  }

  /** The token was taken. */
  accepted(): void {
    this.#tokenRefusals = 0;
  }

  /** The token was refused: a new one gets one try. */
  tokenRefused(error: ShardcastError): void {
    if (++this.#tokenRefusals > 1) this.#finish(error);
    else this.#lost({ code: 1006, reason: "" }, "again");
  }

  /** The server closes soon. */
  draining(reconnectMs: number): void {
    const delay = Math.min(Math.max(0, reconnectMs), SERVER_DELAY_MS_MAX);
    this.#comeBackAt = performance.now() + delay;
    clearTimeout(this.#drainTimer);
    // A server that does not close is left.
    this.#drainTimer = setTimeout(() => this.#lost({ code: 1001, reason: "" }, "again"), delay);
  }

  /** Gives this connection up. */
  abandon(): void {
    if (this.#up) this.#lost({ code: 1006, reason: "" }, "again");
  }

  /**
   * The network went or came, or the page is looked at again: whoever is connected makes sure of it, and
   * whoever waits tries soon, unless the server said when, or the network is away.
   */
  wake(why: "online" | "offline" | "visible"): void {
    if (this.#closed) return;
    if (this.#up) {
      if (why !== "visible" || performance.now() - this.#lastHeard > FRESH_MS) this.#probe();
    } else if (this.#waiting === "backoff" && why !== "offline") {
      this.#wait(why === "online" ? Math.random() * ONLINE_JITTER_MS : 0, "backoff");
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#drop();
    await Promise.all(this.#closing);
  }

  async #connect(): Promise<void> {
    const mine = ++this.#try;
    this.#waiting = undefined;
    const { token: provider, connectTimeoutMs } = this.#options;
    let token: string | undefined;
    if (provider) {
      try {
        token = await within(connectTimeoutMs, provider());
      } catch (thrown) {
        if (mine !== this.#try || this.#closed) return;
        this.#hooks.failed(wrap("no_token", thrown, { retryable: true }));
        return this.#retry({ code: 1006, reason: "" });
      }
      if (mine !== this.#try || this.#closed) return;
    }
    const kinds = this.#kinds();
    if (kinds.length === 0) {
      return this.#finish(new ShardcastError("no_transport", "neither a WebSocket nor fetch: see the options"));
    }
    this.#open(kinds, token);
  }

  /** The transports of one try, the best first. */
  #kinds(): Kind[] {
    const socket = this.#options.WebSocket !== undefined;
    const stream = this.#options.streamUrl !== undefined && this.#options.fetch !== undefined;
    const kinds: Kind[] = [];
    if (socket) kinds.push("websocket");
    // A WebSocket that worked before fails because the server is away, rather than the network against it.
    if (stream && (!socket || this.#socketFailures >= 3)) kinds.push("eventstream");
    return performance.now() < this.#streamFirstUntil ? kinds.reverse() : kinds;
  }

  #open(kinds: Kind[], token: string | undefined): void {
    const mine = ++this.#try;
    const [kind, ...others] = kinds;
    this.#kind = kind!;
    const heard = (): boolean => mine === this.#try && !this.#closed;
    const failed = (end: End): void => {
      if (!heard()) return;
      clearTimeout(this.#timer);
      this.#drop();
      if (kind === "websocket") this.#socketFailures++;
      const final = this.#final(end);
      const plain = end.code < 3000 && end.status === undefined;
      if (final) this.#finish(final);
      else if (plain && others.length > 0) this.#open(others, token);
      else this.#retry(end);
    };
    const hears: Hears = {
      text: (text) => heard() && this.#text(text, token),
      alive: () => heard() && this.#alive(),
      ended: (end) => heard() && (this.#up ? this.#lost(end, "again") : failed(end)),
    };
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => failed({ code: 1006, reason: "" }), this.#options.connectTimeoutMs);
    try {
      this.#transport = this.#make(kind!, token, hears);
    } catch (thrown) {
      if (thrown instanceof Error && thrown.name === "SyntaxError") this.#finish(wrap("no_transport", thrown));
      else failed({ code: 1006, reason: "" });
    }
  }

  #make(kind: Kind, token: string | undefined, hears: Hears): Transport {
    const { url, streamUrl, WebSocket, fetch, tokenIn } = this.#options;
    const target = new URL(kind === "websocket" ? url : streamUrl!);
    const protocols = ["shardcast.v1"];
    const headers: Record<string, string> = {};
    if (token !== undefined && tokenIn !== "message") {
      // Of another origin, a page may not send this header.
      const page = (globalThis as { location?: { origin: string } }).location;
      const own = page === undefined || page.origin === target.origin;
      if (tokenIn === "subprotocol" && kind === "websocket") protocols.push(`shardcast.token.${token}`);
      else if (tokenIn === "subprotocol" && own) headers.Authorization = `Bearer ${token}`;
      else target.searchParams.set("token", token);
    }
    if (kind === "websocket") return overWebSocket(WebSocket!, target.href, protocols, hears);
    return overEventStream(fetch!, target.href, headers, hears);
  }

  #text(text: string, token: string | undefined): void {
    this.#alive();
    const message = parse(text);
    if (!message) return;
    if (this.#up) return this.#hooks.heard(message, utf8Bytes(text));
    if (message.type === "welcome") this.#welcomed(message as unknown as Welcome, token);
  }

  #welcomed(welcome: Welcome, token: string | undefined): void {
    clearTimeout(this.#timer);
    this.#up = true;
    this.#upSince = this.#lastAnswered = performance.now();
    if (this.#kind === "websocket") this.#streamFirstUntil = this.#socketFailures = 0;
    else if (this.#options.WebSocket) this.#streamFirstUntil = performance.now() + STREAM_FIRST_MS;
    const said = welcome.heartbeat_ms > 0 ? welcome.heartbeat_ms : 25_000;
    this.#heartbeatMs = Math.min(said, this.#options.heartbeatMs ?? Infinity);
    if (this.#options.tokenIn !== "message") this.#tokenRefusals = 0;
    this.#listen();
    this.#hooks.welcomed(welcome, token);
  }

  /** A sign of life, which need not mean that the server hears, too. */
  #alive(): void {
    this.#lastHeard = performance.now();
  }

  /** The server has answered a request. */
  answered(): void {
    this.#lastAnswered = performance.now();
    this.#pingedAt = undefined;
  }

  /** Looks when the last answer is too old, and when the ping's is due. */
  #listen(): void {
    clearTimeout(this.#timer);
    const now = performance.now();
    if (this.#pingedAt === undefined && now >= this.#lastAnswered + this.#heartbeatMs) {
      this.#pingedAt = now;
      this.#hooks.ping();
    }
    let due = this.#lastAnswered + this.#heartbeatMs;
    const pinged = this.#pingedAt;
    if (pinged !== undefined) {
      const { pongTimeoutMs } = this.#options;
      // Its answer may stand behind much that was on its way already.
      due = Math.min(Math.max(pinged, this.#lastHeard) + pongTimeoutMs, pinged + pongTimeoutMs * BEHIND_FACTOR);
      if (now >= due) return this.abandon();
    }
    this.#timer = setTimeout(() => this.#listen(), due - now + 1);
  }

  #probe(): void {
    if (this.#pingedAt === undefined) {
      this.#pingedAt = performance.now();
      this.#hooks.ping();
    }
    this.#listen();
  }

  /** A connection that had a welcome is gone. */
  #lost(end: End, again: "again" | "not again"): void {
    if (this.#closed) return;
    this.#drop();
    const final = this.#final(end);
    if (final) return this.#finish(final);
    if (performance.now() - this.#upSince >= STABLE_MS) this.#attempt = 0;
    // What is under way may be what the server ended it for: it is not sent again.
    const blamed = end.code === 1002 || end.code === 1003 || end.code === 1007 || end.code === 1009;
    this.#hooks.lost(blamed ? "not again" : again);
    this.#retry(end);
  }

  /** Why connecting again does not help, if it does not. */
  #final({ code, reason }: End): ShardcastError | undefined {
    // A token that was good when it was made gets a successor.
    if (code === 4003 && this.#options.token && this.#tokenRefusals === 0) this.#tokenRefusals = 1;
    else if (isTerminal(code)) return ofClose(code, reason);
    return undefined;
  }

  #retry(end: End): void {
    if (end.status === 401 || end.status === 403) {
      // Not the end: it may be the word of a network that asks for a login.
      const code = end.status === 401 ? "unauthorized" : "forbidden";
      this.#hooks.failed(new ShardcastError(code, `the event stream is refused with ${end.status}`, { retryable: true }));
    }
    const told = this.#comeBackAt;
    this.#comeBackAt = undefined;
    const delay = backoff(this.#attempt++, this.#options.backoff);
    if (told !== undefined) this.#wait(Math.max(0, told - performance.now()), "server");
    else if (end.retryAfterMs !== undefined) this.#wait(end.retryAfterMs + delay, "server");
    else this.#wait(delay, "backoff");
  }

  #wait(ms: number, why: "backoff" | "server"): void {
    this.#waiting = why;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#connect(), ms);
    this.#hooks.waits(this.#attempt, ms);
  }

  #finish(error: ShardcastError): void {
    if (this.#closed) return;
    void this.close();
    this.#hooks.ended(error);
  }

  /** Hears nothing more of this connection, and lets go of its timers. */
  #drop(): void {
    this.#try++;
    this.#up = false;
    this.#pingedAt = undefined;
    clearTimeout(this.#timer);
    clearTimeout(this.#drainTimer);
    const transport = this.#transport;
    this.#transport = undefined;
    if (!transport) return;
    const closing = transport.close().finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }
}
