//! What a subscription received and nobody took yet, as an async iterator.
//!
//! Invariant: at most `items` and `bytes` wait (one item always may), and where some were left out
//! an item says so in their place. Used by the subscriptions.

import { ShardcastError } from "./errors.js";
import { Queue } from "./queue.js";
import type { Item } from "./wire.js";

/** What becomes of items for which there is no room. */
export type WhenFull = "drop_oldest" | "drop_newest" | "fail";

export interface BufferOptions {
  /** Items that may wait: 1 or more; 1,024 unless said. */
  items?: number;
  /** Bytes that they may have, as they were received; 1 MiB unless said. */
  bytes?: number;
  /** Leave out the oldest (the default) or the newest, or end the subscription with `buffer_full`. */
  whenFull?: WhenFull;
}

type Waiter = { resolve(result: IteratorResult<Item>): void; reject(error: unknown): void };

export class Stream implements AsyncIterableIterator<Item> {
  readonly #room: string;
  readonly #options: Required<BufferOptions>;
  readonly #left: () => void;
  readonly #queue = new Queue<Item>();
  #waiter: Waiter | undefined;
  /** Left out before the first that waits, and behind the last. */
  #before = 0;
  #behind = 0;
  #ended = false;
  #error: unknown;

  /** `left` is called when the reader wants no more. */
  constructor(room: string, options: BufferOptions, left: () => void) {
    this.#room = room;
    this.#options = { items: 1_024, bytes: 1 << 20, whenFull: "drop_oldest", ...options };
    this.#left = left;
  }

  /** Items that wait. */
  get length(): number {
    return this.#queue.length;
  }

  push(item: Item, bytes: number): void {
    if (this.#ended) return;
    if (this.#waiter) return this.#hand({ value: item, done: false });
    const { items, whenFull } = this.#options;
    const full = () =>
      this.#queue.length > 0 && (this.#queue.length >= items || this.#queue.bytes + bytes > this.#options.bytes);
    if (whenFull === "drop_oldest") {
      for (; full(); this.#before++) this.#queue.shift();
    } else if (full()) {
      if (whenFull === "drop_newest") this.#behind++;
      else {
        this.end(new ShardcastError("buffer_full", `nobody took what ${this.#room} said`));
        this.#left();
      }
      return;
    }
    if (this.#behind > 0) {
      this.#queue.push(this.#lost(this.#behind), 0);
      this.#behind = 0;
    }
    this.#queue.push(item, bytes);
  }

  /** What waits can still be read; then the end, or the error. */
  end(error?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    if (!this.#waiter) return;
    if (error === undefined) this.#hand({ value: undefined, done: true });
    else {
      this.#waiter.reject(error);
      this.#waiter = undefined;
    }
  }

  async next(): Promise<IteratorResult<Item>> {
    if (this.#waiter) throw new TypeError("next() is already waited for");
    const value = this.#take();
    if (value) return { value, done: false };
    if (this.#ended) {
      const error = this.#error;
      this.#error = undefined;
      if (error !== undefined) throw error;
      return { value: undefined, done: true };
    }
    return new Promise((resolve, reject) => (this.#waiter = { resolve, reject }));
  }

  async return(): Promise<IteratorResult<Item>> {
    this.#queue.clear();
    this.#before = this.#behind = 0;
    this.#error = undefined;
    this.end();
    this.#left();
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #take(): Item | undefined {
    if (this.#before > 0) {
      const count = this.#before;
      this.#before = 0;
      return this.#lost(count);
    }
    const item = this.#queue.shift();
    if (item || this.#behind === 0) return item;
    const count = this.#behind;
    this.#behind = 0;
    return this.#lost(count);
  }

  #lost(count: number): Item {
    return { type: "lost", room: this.#room, why: "buffer", count };
  }

  #hand(result: IteratorResult<Item>): void {
    const waiter = this.#waiter!;
    this.#waiter = undefined;
    waiter.resolve(result);
  }
}
