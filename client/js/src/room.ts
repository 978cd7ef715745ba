//! One room: its subscriptions, what of it was heard, and whether the server has this client as a
//! member.
//!
//! Invariant: no message is handed on twice, and none is left out without an item that says so. Made
//! by the rooms.

import type { ShardcastError } from "./errors.js";
import { Sub, type Owner, type SubscribeOptions } from "./subscription.js";
import type { Item, Joined, Position, Raw } from "./wire.js";

/**
 * What the server knows of it: `out`, no member; `joining` and `leaving`, asked and not answered;
 * `in`, a member.
 */
export type Membership = "out" | "joining" | "in" | "leaving";

/** Of `joined`, for one room. */
export interface JoinAnswer {
  members: number;
  epoch?: string;
  offset?: number;
  recovered?: boolean;
  reason?: string;
}

export class Room implements Owner {
  readonly subs = new Map<number, Sub>();
  membership: Membership = "out";
  /** Messages that came while the join was not answered, with their bytes. */
  held: { item: Raw; bytes: number }[] = [];
  /** Too many came: the room is left and joined by itself, from the position of before. */
  overflowed = false;
  /** Not before, in milliseconds of the clock that does not jump; 0: at once. */
  notBefore = 0;
  /** Joins that were refused for now, one after the other. */
  refusals = 0;
  /** Rooms that its next join names at the most: fewer where many at a time were too many. */
  together = Infinity;
  /** What the server is told to recover from. */
  asked: Position | undefined;
  /** Its place was refused: it is joined without. */
  anew = false;
  #epoch: string | undefined;
  /** The last message that was handed on, 0: none under this epoch. */
  #seen = 0;
  /** Where the room was at the first join. */
  #base = 0;
  #members = 0;
  /** It was joined for these subscriptions before. */
  known = false;

  constructor(
    readonly name: string,
    private readonly removed: (room: Room, sub: Sub) => void,
    readonly failed: (error: ShardcastError) => void,
  ) {}

  /** Of what was heard; of what the first subscription has, before. */
  get position(): Position | undefined {
    if (this.#epoch !== undefined) return { epoch: this.#epoch, offset: this.#seen || this.#base };
    return this.options.since;
  }

  /** Those of the first subscription that says something. */
  get options(): SubscribeOptions {
    const options: SubscribeOptions = {};
    for (const sub of this.subs.values()) {
      const { since, presence, token } = sub.options;
      if (since && !this.known) options.since ??= since;
      if (presence !== undefined) options.presence ??= presence;
      if (token) options.token ??= token;
    }
    return options;
  }

  add(sub: Sub): void {
    this.subs.set(sub.id, sub);
    // Behind what the caller does before it gives way.
    if (this.membership === "in" && !this.overflowed) queueMicrotask(() => this.#greet(sub));
  }

  remove(sub: Sub): void {
    this.subs.delete(sub.id);
    this.removed(this, sub);
  }

  /** Nobody hears it, and it is left: it begins anew the next time. */
  forget(): void {
    this.#epoch = undefined;
    this.#seen = this.#base = 0;
    this.known = false;
  }

  /** The connection is gone. */
  disconnected(): void {
    this.membership = "out";
    this.held = [];
    this.overflowed = false;
    this.notBefore = this.refusals = 0;
    this.together = Infinity;
  }

  /** The server has this client as a member. */
  joined(answer: JoinAnswer): void {
    this.membership = "in";
    this.refusals = 0;
    this.together = Infinity;
    this.#members = answer.members;
    const asked = this.asked;
    const again = this.known || this.anew || asked !== undefined;
    const news: Item | undefined = again ? this.#change(answer, asked) : undefined;
    if (!news || news.type === "lost") {
      this.#epoch = answer.epoch;
      this.#seen = 0;
      this.#base = answer.offset ?? 0;
    } else if (asked) {
      this.#epoch = answer.epoch ?? asked.epoch;
      this.#seen = asked.offset;
    }
    this.known = true;
    this.anew = false;
    const heard = [...this.subs.values()].filter((sub) => sub.active || sub.options.since);
    for (const sub of [...this.subs.values()]) this.#greet(sub);
    // Who has come since hears of no gap: it begins here.
    if (news) for (const sub of heard) sub.hear(news, 0);
    const held = this.held;
    this.held = [];
    for (const { item, bytes } of held) this.hear(item, bytes);
  }

  /** A message, an event, or what the server says about them. */
  hear(item: Raw, bytes: number): void {
    if (typeof item.offset === "number") {
      if (item.offset <= this.#seen) return;
      this.#seen = item.offset;
    }
    if (item.type === "presence" && typeof item.members === "number") this.#members = item.members;
    for (const sub of [...this.subs.values()]) sub.hear(item as unknown as Item, bytes);
  }

  /** It cannot be joined: all its subscriptions end. */
  refused(error: ShardcastError): void {
    for (const sub of [...this.subs.values()]) sub.end(error);
  }

  #greet(sub: Sub): void {
    if (this.membership !== "in" || !this.subs.has(sub.id)) return;
    const joined: Joined = { type: "joined", room: this.name, members: this.#members };
    if (this.#epoch !== undefined) {
      joined.epoch = this.#epoch;
      joined.offset = this.#seen || this.#base;
    }
    sub.begin(joined);
  }

  #change(answer: JoinAnswer, asked: Position | undefined): Item {
    const { members, recovered, reason, offset } = answer;
    if (asked && recovered) {
      return { type: "recovered", room: this.name, missed: this.#missed(asked.offset, offset ?? 0), members };
    }
    return { type: "lost", room: this.name, why: reason ?? "no_history" };
  }

  /**
   * Messages behind `since` up to `last`: those that came before the answer are counted, and behind them
   * each place may have one.
   */
  #missed(since: number, last: number): number {
    let count = 0;
    for (const { item: { offset } } of this.held) {
      if (typeof offset !== "number" || offset <= since || offset > last) continue;
      count++;
      since = offset;
    }
    return count + Math.max(0, last - since);
  }
}
