//! The client: what its user calls, and how connection, requests and rooms play together.
//!
//! Invariant: `state` follows the table of `state.ts`; after `close` nothing of it is left but its
//! state: no connection, timer, listener or promise that is not settled.

import { Emitter } from "./emitter.js";
import { ShardcastError, wrap } from "./errors.js";
import { Link } from "./link.js";
import { settle, type Options, type Settled } from "./options.js";
import { Requests, type Treatment } from "./requests.js";
import { Rooms } from "./rooms.js";
import { next, type State, type StateEvent } from "./state.js";
import type { Handler, SubscribeOptions, Subscription } from "./subscription.js";
import type {
  Authenticated, History, Message, Position, Presence, Raw, Receipt, ServerEvent, Status, Welcome,
} from "./wire.js";

export interface StateChange {
  state: State;
  previous: State;
  /** Why, where there is a reason: the end, or a connection that is lost. */
  error?: ShardcastError;
}

export interface Events {
  state: StateChange;
  /** The next try to connect comes in so many milliseconds. */
  waiting: { attempt: number; retryInMs: number };
  welcome: Welcome;
  authenticated: Authenticated;
  /** To this client's user or to everyone, or of a room that nobody here subscribed to. */
  message: Message;
  event: ServerEvent;
  /** What nobody waits for: handlers that threw, tokens that could not be had or refreshed. */
  error: ShardcastError;
}

export interface RequestOptions {
  /** For the answer; `requestTimeoutMs` of the client unless said. */
  timeoutMs?: number;
  signal?: AbortSignal;
  /** Whether the request may be sent twice, where the connection goes before the answer. */
  resend?: boolean;
}

export interface PublishOptions {
  /** `false`: not to the sender. */
  echo?: boolean;
  /** Counts what became of the copies. */
  report?: boolean;
  /** Under this key a newer publish may stand for this one. */
  conflate?: string;
  /** A publish to the room with the same key again is none. One is made unless given; `false`: none. */
  key?: string | false;
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** Whom a publish goes to. */
export type Target = string | string[] | { user: string } | { everyone: true };

/** How long before its end a token is asked for again after a failure. */
const REFRESH_RETRY_MS = 2_000;

export class Client {
  /** Settles with the end: with the reason if it was not `close`. Never rejects. */
  readonly closed: Promise<ShardcastError | undefined>;
  readonly #settled: Settled;
  readonly #events = new Emitter<Events>((thrown) => this.#failed(wrap("handler_threw", thrown)));
  readonly #requests: Requests;
  readonly #rooms: Rooms;
  readonly #link: Link;
  #state: State = "connecting";
  #connection: string | undefined;
  #user: string | null = null;
  #signedIn = false;
  #refreshing = false;
  #refreshTimer: ReturnType<typeof setTimeout> | undefined;
  #keyPrefix = "";
  #keys = 0;
  #idle: (() => void) | undefined;
  #resolveClosed!: (error: ShardcastError | undefined) => void;
  #forget: (() => void) | undefined;

  constructor(url: string | URL, options: Options = {}) {
    this.#settled = settle(url, options);
    this.closed = new Promise((resolve) => (this.#resolveClosed = resolve));
    const { queue, link, requestTimeoutMs } = this.#settled;
    this.#requests = new Requests(queue, () => this.#idle?.());
    this.#rooms = new Rooms({
      requests: this.#requests,
      backoff: link.backoff,
      timeoutMs: requestTimeoutMs,
      settled: () => this.#enter(this.#signedIn ? "rejoined_as_user" : "rejoined"),
      confused: () => this.#link.abandon(),
      failed: (error) => this.#failed(error),
    });
    this.#link = new Link(link, {
      welcomed: (welcome, token) => this.#welcomed(welcome, token),
      heard: (message, bytes) => this.#heard(message, bytes),
      lost: (again) => this.#lost(again),
      waits: (attempt, retryInMs) => this.#events.emit("waiting", { attempt, retryInMs }),
      ended: (error) => this.#end(error),
      ping: () => void this.#control({ type: "ping" }).catch(() => {}),
      failed: (error) => this.#failed(error),
    });
    // Behind what the caller does before it gives way: its listeners hear the first change.
    if (this.#settled.autoConnect) queueMicrotask(() => this.connect());
  }

  get state(): State {
    return this.#state;
  }

  /** What others see as `from`, while connected. */
  get connection(): string | undefined {
    return this.#connection;
  }

  /** Who the server takes this client for. */
  get user(): string | null {
    return this.#user;
  }

  get transport(): "websocket" | "eventstream" | undefined {
    return this.#link.transport;
  }

  /** Requests that are not answered yet. */
  get pending(): number {
    return this.#requests.pending;
  }

  /** Connects, unless it did already. */
  connect(): void {
    if (this.#state === "closed") return;
    this.#forget ??= this.#attend();
    this.#link.start();
  }

  /** Listens until the returned function is called. */
  on<E extends keyof Events>(event: E, listener: (event: Events[E]) => unknown): () => void {
    return this.#events.on(event, listener);
  }

  /** Hears a room: each item by the handler, or, without one, by iterating over what is returned. */
  subscribe(room: string, options?: SubscribeOptions): Subscription;
  subscribe(room: string, handler: Handler, options?: SubscribeOptions): Subscription;
  subscribe(room: string, first?: Handler | SubscribeOptions, second?: SubscribeOptions): Subscription {
    if (this.#state === "closed") throw this.#closedError();
    if (typeof first === "function") return this.#rooms.subscribe(room, first, second ?? {});
    return this.#rooms.subscribe(room, undefined, first ?? {});
  }

  /** Publishes. Where a room keeps history, a retry after a reconnect is not a second message. */
  publish(to: Target, data: unknown, options: PublishOptions = {}): Promise<Receipt> {
    const { key: given, timeoutMs, signal, ...rest } = options;
    const treatment = this.#treatment({ ...(timeoutMs && { timeoutMs }), ...(signal && { signal }) });
    let message: Record<string, unknown>;
    if (typeof to === "string") {
      message = { type: "publish", room: to, data, ...rest };
      if (given !== false) treatment.key = { room: to, key: given ?? this.#newKey(), automatic: given === undefined };
    } else {
      const target = Array.isArray(to) ? { type: "publish", rooms: to } : { type: "broadcast" };
      message = { ...target, ...("user" in to && { user: to.user }), data, ...rest };
      if (given) {
        message.key = given;
        treatment.resend = true;
      }
    }
    return this.#asked(message, treatment, strip<Receipt>);
  }

  /** Calls a handler of the server's application: its answer. */
  request<T = any>(type: string, data?: unknown, options: RequestOptions = {}): Promise<T> {
    return this.#asked({ type, data }, this.#treatment(options), (answer) => answer.data as T);
  }

  /** Any request of the protocol, without `id`: the answer as it comes. */
  ask(message: { type: string } & Record<string, unknown>, options: RequestOptions = {}): Promise<Raw> {
    return this.#requests.ask(message, this.#treatment(options));
  }

  /** The way there and back, in milliseconds. */
  ping(options: RequestOptions = {}): Promise<number> {
    const start = performance.now();
    return this.#read({ type: "ping" }, options, () => performance.now() - start);
  }

  /** What a room keeps. */
  history(
    room: string,
    options: RequestOptions & { since?: Position; limit?: number; reverse?: boolean } = {},
  ): Promise<History> {
    const { since, limit, reverse, ...rest } = options;
    return this.#read({ type: "history", room, since, limit, reverse }, rest, strip<History>);
  }

  /** Who is in a room. */
  presence(room: string, options: RequestOptions & { limit?: number; cursor?: string } = {}): Promise<Presence> {
    const { limit, cursor, ...rest } = options;
    return this.#read({ type: "presence", room, limit, cursor }, rest, strip<Presence>);
  }

  /** What the server knows of this connection. */
  status(options: RequestOptions = {}): Promise<Status> {
    return this.#read({ type: "status" }, options, strip<Status>);
  }

  /**
   * Ends it. With `drainMs`, requests that wait get so long to be sent and answered. Everything that
   * is not settled then is refused with `closed`.
   */
  async close(options: { drainMs?: number } = {}): Promise<void> {
    const { drainMs = 0 } = options;
    if (drainMs > 0 && this.#state !== "closed" && this.#requests.pending > 0) {
      this.#requests.refuse(this.#closedError());
      this.#enter("drained");
      let timer: ReturnType<typeof setTimeout> | undefined;
      await new Promise<void>((resolve) => {
        timer = setTimeout(resolve, drainMs);
        this.#idle = resolve;
        void this.closed.then(() => resolve());
      });
      clearTimeout(timer);
    }
    this.#end(undefined);
    await this.#link.close();
  }

  #welcomed(welcome: Welcome, token: string | undefined): void {
    this.#connection = welcome.connection;
    this.#requests.attach((text) => this.#link.send(text), welcome.max_message_bytes);
    this.#enter("welcomed");
    this.#events.emit("welcome", welcome);
    if (this.#link.transport === undefined) return;
    if (token === undefined) this.#begin(false);
    else void this.#authenticate(token);
  }

  /** Shows the token; or hears what the server made of the one that came with the connection. */
  async #authenticate(token: string): Promise<void> {
    const connection = this.#connection;
    try {
      const first = this.#settled.link.tokenIn === "message" ? { type: "auth", token } : { type: "status" };
      const answer = await this.#control(first);
      if (connection !== this.#connection) return;
      this.#link.accepted();
      const known = first.type === "auth" || typeof answer.user === "string";
      if (known) this.#authenticated(answer);
      this.#begin(known);
    } catch (thrown) {
      const error = thrown as ShardcastError;
      if (connection !== this.#connection || error.code === "connection_lost" || error.code === "closed") return;
      if (!error.retryable) return this.#link.tokenRefused(error);
      this.#failed(error);
      this.#link.abandon();
    }
  }

  #authenticated({ user = null, roles, expires_ms }: Raw): void {
    this.#user = user;
    this.#events.emit("authenticated", { user, ...(roles && { roles }), ...(expires_ms && { expires_ms }) });
  }

  /** The session stands: rooms first, then what waits. */
  #begin(signedIn: boolean): void {
    this.#signedIn = signedIn;
    if (signedIn) this.#enter("accepted");
    if (this.#rooms.connected()) this.#enter("rejoining");
    this.#requests.ready();
  }

  #heard(message: Raw, bytes: number): void {
    const { type } = message;
    if ("id" in message && type !== "message" && type !== "event") {
      this.#link.answered();
      this.#requests.answered(message);
      return;
    }
    if (message.room !== undefined && this.#rooms.heard(message, bytes)) return;
    if (type === "message") this.#events.emit("message", message as unknown as Message);
    else if (type === "event") this.#events.emit("event", message as unknown as ServerEvent);
    else if (type === "expiring") void this.#refresh(Number(message.in_ms) || 0);
    else if (type === "closing") {
      this.#requests.hold();
      this.#link.draining(Number(message.reconnect_ms) || 0);
      this.#enter("drained");
    }
  }

  /** A new token before the old one ends; tried again until then. */
  async #refresh(inMs: number): Promise<void> {
    const provider = this.#settled.link.token;
    if (!provider || this.#refreshing) return;
    const connection = this.#connection;
    const until = performance.now() + inMs;
    this.#refreshing = true;
    try {
      const token = await provider();
      if (connection !== this.#connection) return;
      const answer = await this.#control({ type: "refresh", token });
      if (connection === this.#connection) this.#authenticated(answer);
    } catch (thrown) {
      if (connection !== this.#connection) return;
      this.#failed(wrap("no_token", thrown, { retryable: true }));
      const left = until - performance.now() - REFRESH_RETRY_MS;
      if (left <= 0) return;
      this.#refreshTimer = setTimeout(() => void this.#refresh(left), REFRESH_RETRY_MS);
    } finally {
      this.#refreshing = false;
    }
  }

  #lost(again: "again" | "not again"): void {
    clearTimeout(this.#refreshTimer);
    this.#connection = undefined;
    this.#signedIn = false;
    this.#rooms.disconnected();
    this.#requests.detach(again);
    this.#enter("lost");
  }

  #end(error: ShardcastError | undefined): void {
    if (this.#state === "closed") return;
    clearTimeout(this.#refreshTimer);
    this.#forget?.();
    this.#connection = undefined;
    this.#enter("ended", error);
    void this.#link.close();
    this.#rooms.close(error);
    this.#requests.close(error ?? this.#closedError());
    this.#resolveClosed(error);
  }

  #enter(event: StateEvent, error?: ShardcastError): void {
    const previous = this.#state;
    this.#state = next(previous, event);
    if (this.#state === previous) return;
    this.#events.emit("state", { state: this.#state, previous, ...(error && { error }) });
  }

  #failed(error: ShardcastError): void {
    if (!this.#events.emit("error", error)) console.error(error);
  }

  #closedError(): ShardcastError {
    return new ShardcastError("closed", "the client is closed");
  }

  #treatment({ timeoutMs, signal, resend }: RequestOptions): Treatment {
    const treatment: Treatment = { timeoutMs: timeoutMs ?? this.#settled.requestTimeoutMs, resend: resend ?? false };
    if (signal) treatment.signal = signal;
    return treatment;
  }

  /** A request that changes nothing: it may be sent twice. */
  #read<T>(message: Record<string, unknown>, options: RequestOptions, read: (answer: Raw) => T): Promise<T> {
    return this.#asked(message, this.#treatment({ resend: true, ...options }), read);
  }

  /** Who does not look at the promise hears of no rejection that nobody handled. */
  #asked<T>(message: Record<string, unknown>, treatment: Treatment, read: (answer: Raw) => T): Promise<T> {
    const promise = this.#requests.ask(message, treatment).then(read);
    promise.catch(() => {});
    return promise;
  }

  #control(message: Record<string, unknown>): Promise<Raw> {
    return this.#requests.ask(message, { timeoutMs: this.#settled.requestTimeoutMs, control: true });
  }

  /** Different for each publish of any client. */
  #newKey(): string {
    if (this.#keyPrefix === "") {
      // Unlike `randomUUID` it is there for pages without TLS, too.
      const bytes = crypto.getRandomValues(new Uint8Array(12));
      this.#keyPrefix = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    }
    return `${this.#keyPrefix}-${++this.#keys}`;
  }

  /** Looks at the network and the page, where there are such; ends by the returned function. */
  #attend(): () => void {
    const page = globalThis as { addEventListener?: typeof addEventListener; document?: Document };
    const ended = new AbortController();
    const listen = (target: Pick<EventTarget, "addEventListener"> | undefined, event: string, heard: () => void) =>
      target?.addEventListener(event, heard, { signal: ended.signal });
    if (typeof page.addEventListener === "function") {
      const target = page as Pick<EventTarget, "addEventListener">;
      listen(target, "online", () => this.#link.wake("online"));
      listen(target, "offline", () => this.#link.wake("offline"));
      listen(target, "pageshow", () => this.#link.wake("visible"));
    }
    listen(page.document, "visibilitychange", () => {
      if (page.document?.visibilityState === "visible") this.#link.wake("visible");
    });
    return () => ended.abort();
  }
}

/** An answer without what only the wire needs. */
function strip<T>(answer: Raw): T {
  const { type, id, ...rest } = answer;
  return rest as T;
}
