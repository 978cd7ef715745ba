//! One subscription: who hears a room, by callback or by iterating.
//!
//! Invariant: it hears nothing before its `joined`, and nothing after its end. Made by the rooms.

import { ShardcastError, wrap } from "./errors.js";
import { Stream, type BufferOptions } from "./stream.js";
import type { Item, Joined, Position } from "./wire.js";

export type Handler = (item: Item) => unknown;

export interface SubscribeOptions extends BufferOptions {
  /** What of the room the caller has already: the room is asked for what came since. */
  since?: Position;
  /** What the other members are shown, in rooms with `presence_events`: at most 1 KiB as JSON. */
  presence?: unknown;
  /** The room's own token, or who gives one. */
  token?: string | (() => string | Promise<string>);
}

/** What a subscription is to its user. */
export interface Subscription extends AsyncIterable<Item> {
  /** Different for each subscription of a client. */
  readonly id: number;
  readonly room: string;
  /** Settles with the first `joined`, or rejects with why there is none. */
  readonly joined: Promise<Joined>;
  /** What has been heard of a room with history, for `since` of a later subscription. */
  readonly position: Position | undefined;
  /** Items that wait to be read. */
  readonly buffered: number;
  /** Hears nothing more. The room is left with its last subscription. */
  unsubscribe(): void;
}

/** What a subscription needs of its room. */
export interface Owner {
  readonly name: string;
  readonly position: Position | undefined;
  remove(subscription: Sub): void;
  failed(error: ShardcastError): void;
}

export class Sub implements Subscription {
  readonly joined: Promise<Joined>;
  /** Has heard `joined`. */
  active = false;
  readonly #owner: Owner;
  readonly #handler: Handler | undefined;
  readonly #stream: Stream | undefined;
  #over = false;
  #resolve!: (joined: Joined) => void;
  #reject!: (error: ShardcastError) => void;

  constructor(
    readonly id: number,
    owner: Owner,
    handler: Handler | undefined,
    readonly options: SubscribeOptions,
  ) {
    this.#owner = owner;
    this.#handler = handler;
    if (!handler) {
      const { items, bytes, whenFull } = options;
      const given = { ...(items && { items }), ...(bytes && { bytes }), ...(whenFull && { whenFull }) };
      this.#stream = new Stream(owner.name, given, () => this.unsubscribe());
    }
    this.joined = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.joined.catch(() => {});
  }

  get room(): string {
    return this.#owner.name;
  }

  get position(): Position | undefined {
    return this.#owner.position;
  }

  get buffered(): number {
    return this.#stream?.length ?? 0;
  }

  unsubscribe(): void {
    this.end();
  }

  [Symbol.asyncIterator](): AsyncIterator<Item> {
    if (!this.#stream) throw new TypeError("a subscription with a handler is not iterated");
    return this.#stream;
  }

  begin(joined: Joined): void {
    if (this.active || this.#over) return;
    this.active = true;
    this.#resolve(joined);
    this.hear(joined, 0);
  }

  hear(item: Item, bytes: number): void {
    if (this.#over || !this.active) return;
    if (this.#stream) return this.#stream.push(item, bytes);
    try {
      const result = this.#handler!(item);
      if (typeof (result as PromiseLike<unknown> | undefined)?.then === "function") {
        Promise.resolve(result).catch((thrown) => this.#threw(thrown));
      }
    } catch (thrown) {
      this.#threw(thrown);
    }
  }

  /** Ends it for itself, or for an error. */
  end(error?: ShardcastError): void {
    if (this.#over) return;
    if (error && this.#handler) {
      this.active = true;
      this.hear({ type: "error", room: this.room, error }, 0);
    }
    this.#over = true;
    this.#reject(error ?? new ShardcastError("closed", "the subscription has ended"));
    this.#stream?.end(error);
    this.#owner.remove(this);
  }

  #threw(thrown: unknown): void {
    this.#owner.failed(wrap("handler_threw", thrown));
  }
}
