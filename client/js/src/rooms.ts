//! Which rooms the client wants to be in, and the joins and leaves that bring the server to it: in as
//! few messages as may be, since all rooms of a client are joined again after each reconnect.
//!
//! Invariant: a room is joined once, however many subscriptions it has, and left with the last. The
//! server joins all rooms of a request or none, so a request that it refuses is asked again in halves
//! until only the refused rooms are left. Used by the client.

import { backoff, type Backoff } from "./backoff.js";
import type { ShardcastError } from "./errors.js";
import { within, wrap } from "./errors.js";
import { utf8Bytes } from "./queue.js";
import type { Requests } from "./requests.js";
import { Room, type JoinAnswer } from "./room.js";
import { Sub, type Handler, type SubscribeOptions, type Subscription } from "./subscription.js";
import type { Raw } from "./wire.js";

/** Joins and leaves that wait for their answers. */
const UNDER_WAY_MAX = 8;

/** Messages of all rooms that came before the join of theirs was answered, and their bytes. */
const HELD_MAX = 4_096;
const HELD_BYTES_MAX = 4 << 20;

/** What surrounds the rooms of a request: type, id and keys. */
const ENVELOPE_BYTES = 160;

export interface RoomsHooks {
  requests: Requests;
  backoff: Backoff;
  timeoutMs: number;
  /** All rooms that were to be joined again are. */
  settled(): void;
  /** It is not known any more what the server has: the connection is to be made anew. */
  confused(error: ShardcastError): void;
  failed(error: ShardcastError): void;
}

type Asked = "join_room" | "leave_room";

interface Batch {
  asked: Asked;
  rooms: Room[];
  presence: unknown;
  token: string | undefined;
}

export class Rooms {
  readonly #hooks: RoomsHooks;
  readonly #rooms = new Map<string, Room>();
  /** Those whose membership may have to change. */
  readonly #dirty = new Set<Room>();
  #batches: Batch[] = [];
  #underWay = 0;
  #tokens = 0;
  #up = false;
  #generation = 0;
  #scheduled = false;
  #held = 0;
  #heldBytes = 0;
  #lastId = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #retryAt = Infinity;

  constructor(hooks: RoomsHooks) {
    this.#hooks = hooks;
  }

  get size(): number {
    return this.#rooms.size;
  }

  subscribe(name: string, handler: Handler | undefined, options: SubscribeOptions): Subscription {
    let room = this.#rooms.get(name);
    if (!room) {
      room = new Room(name, (room) => this.#removed(room), this.#hooks.failed);
      this.#rooms.set(name, room);
    }
    const sub = new Sub(++this.#lastId, room, handler, options);
    room.add(sub);
    this.#change(room);
    return sub;
  }

  /** The session stands. Whether rooms of an earlier one are being joined again. */
  connected(): boolean {
    this.#up = true;
    for (const room of this.#rooms.values()) this.#dirty.add(room);
    this.#reconcile();
    if (!this.#busy()) return false;
    for (const room of this.#rooms.values()) if (room.known) return true;
    return false;
  }

  disconnected(): void {
    this.#up = false;
    this.#generation++;
    this.#batches = [];
    this.#underWay = this.#tokens = this.#held = this.#heldBytes = 0;
    this.#stopRetry();
    for (const room of this.#rooms.values()) {
      room.disconnected();
      if (room.subs.size === 0) this.#rooms.delete(room.name);
    }
    this.#dirty.clear();
  }

  /** Takes a message that names a room; whether the room is one of ours. */
  heard(message: Raw, bytes: number): boolean {
    const room = this.#rooms.get(message.room!);
    if (!room) return false;
    if (room.membership === "joining") this.#hold(room, message, bytes);
    else if (room.membership === "in" && !room.overflowed) room.hear(message, bytes);
    return true;
  }

  close(error?: ShardcastError): void {
    this.disconnected();
    for (const room of [...this.#rooms.values()]) for (const sub of [...room.subs.values()]) sub.end(error);
    this.#rooms.clear();
  }

  #busy(): boolean {
    return this.#underWay + this.#batches.length + this.#tokens > 0;
  }

  #removed(room: Room): void {
    if (room.subs.size > 0) return;
    if (!this.#up || room.membership === "out") {
      if (this.#rooms.get(room.name) === room) this.#rooms.delete(room.name);
      this.#dirty.delete(room);
    } else this.#change(room);
  }

  /** Looks at it once the caller gives way, with all others that change meanwhile. */
  #change(room: Room): void {
    this.#dirty.add(room);
    if (this.#scheduled || !this.#up) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      if (this.#up) this.#reconcile();
    });
  }

  #reconcile(): void {
    const now = performance.now();
    const leave: Room[] = [];
    const join: Room[] = [];
    for (const room of this.#dirty) {
      const wanted = room.subs.size > 0;
      const { membership } = room;
      // What is asked comes back when it is answered.
      const change = (membership === "in" && (!wanted || room.overflowed)) || (membership === "out" && wanted);
      if (!change) continue;
      if (room.notBefore > now) this.#wakeAt(room.notBefore);
      else (membership === "in" ? leave : join).push(room);
    }
    this.#dirty.clear();
    for (const room of leave) room.membership = "leaving";
    for (const rooms of this.#chunks(leave)) {
      this.#batches.push({ asked: "leave_room", rooms, presence: undefined, token: undefined });
    }
    this.#join(join);
    this.#pump();
  }

  #join(rooms: Room[]): void {
    const groups = new Map<string, { presence: unknown; rooms: Room[] }>();
    for (const room of rooms) {
      room.membership = "joining";
      const { presence, token } = room.options;
      if (token !== undefined) {
        void this.#joinWithToken(room, presence, token);
        continue;
      }
      const key = JSON.stringify(presence) ?? "";
      const group = groups.get(key) ?? { presence, rooms: [] };
      groups.set(key, group);
      group.rooms.push(room);
    }
    for (const { presence, rooms } of groups.values()) {
      for (const chunk of this.#chunks(rooms)) {
        this.#batches.push({ asked: "join_room", rooms: chunk, presence, token: undefined });
      }
    }
  }

  async #joinWithToken(room: Room, presence: unknown, token: NonNullable<SubscribeOptions["token"]>): Promise<void> {
    const generation = this.#generation;
    this.#tokens++;
    try {
      const text = typeof token === "string" ? token : await within(this.#hooks.timeoutMs, token());
      if (generation !== this.#generation) return;
      this.#tokens--;
      this.#batches.push({ asked: "join_room", rooms: [room], presence, token: text });
      this.#pump();
    } catch (thrown) {
      if (generation !== this.#generation) return;
      this.#tokens--;
      const error = wrap("no_token", thrown, { retryable: true });
      this.#hooks.failed(error);
      this.#later("join_room", [room], error);
      this.#check();
    }
  }

  /** Rooms in as few requests as fit into messages. */
  #chunks(rooms: Room[]): Room[][] {
    const chunks: Room[][] = [];
    const max = this.#hooks.requests.bytesMax - ENVELOPE_BYTES - 1_024;
    let bytes = Infinity;
    for (const room of rooms) {
      const name = utf8Bytes(JSON.stringify(room.name)) + 1;
      const { position } = room;
      const cost = position ? 2 * name + 1 + utf8Bytes(JSON.stringify(position)) : name;
      if (bytes + cost > max || chunks.at(-1)!.length >= room.together) {
        chunks.push([]);
        bytes = 0;
      }
      chunks.at(-1)!.push(room);
      bytes += cost;
    }
    return chunks;
  }

  #pump(): void {
    while (this.#underWay < UNDER_WAY_MAX) {
      const batch = this.#batches.shift();
      if (!batch) break;
      this.#underWay++;
      const generation = this.#generation;
      const treatment = { timeoutMs: this.#hooks.timeoutMs, control: true };
      // At once: what stands behind a join's answer belongs to a room that is joined.
      this.#hooks.requests.call(
        message(batch),
        treatment,
        (answer) => {
          if (generation !== this.#generation) return;
          this.#underWay--;
          this.#done(batch, answer);
          this.#check();
        },
        (error: ShardcastError) => {
          if (generation !== this.#generation) return;
          this.#underWay--;
          this.#refused(batch, error);
          this.#check();
        },
      );
    }
  }

  #check(): void {
    this.#pump();
    if (this.#dirty.size > 0) this.#reconcile();
    if (!this.#busy()) this.#hooks.settled();
  }

  #done(batch: Batch, answer: Raw): void {
    if (batch.asked === "leave_room") return this.#left(batch.rooms);
    const answers = new Map<string, JoinAnswer>();
    if (Array.isArray(answer.rooms)) for (const one of answer.rooms) answers.set(one.room, one);
    else answers.set(batch.rooms[0]!.name, answer as unknown as JoinAnswer);
    for (const room of batch.rooms) {
      const one = answers.get(room.name) ?? { members: 0 };
      this.#hooks.requests.learn(room.name, one.epoch === undefined ? "no" : "maybe");
      this.#release(room);
      if (room.overflowed) room.membership = "in";
      else room.joined(one);
      this.#dirty.add(room);
    }
  }

  #left(rooms: Room[]): void {
    for (const room of rooms) {
      room.membership = "out";
      // Left to be joined by itself, it goes on from where it was.
      if (!room.overflowed) room.forget();
      room.overflowed = false;
      if (room.subs.size > 0) this.#dirty.add(room);
      else if (this.#rooms.get(room.name) === room) this.#rooms.delete(room.name);
    }
  }

  #refused(batch: Batch, error: ShardcastError): void {
    const { asked, rooms } = batch;
    if (error.code === "timeout" || error.code === "closed") return this.#hooks.confused(error);
    for (const room of rooms) {
      this.#release(room);
      room.held = [];
    }
    const alone = rooms.length === 1;
    if (error.retryable && (alone || error.code !== "room_full")) return this.#later(asked, rooms, error);
    if (asked === "leave_room" && (alone || error.code !== "not_joined")) {
      // The application made us leave; of anything else it is not known what the server has.
      return error.code === "not_joined" ? this.#left(rooms) : this.#hooks.confused(error);
    }
    if (!alone) {
      const half = rooms.length >> 1;
      this.#batches.unshift({ ...batch, rooms: rooms.slice(0, half) }, { ...batch, rooms: rooms.slice(half) });
      return;
    }
    const room = rooms[0]!;
    if (error.code === "bad_request" && room.asked && !room.anew) {
      // The room keeps no history any more.
      room.anew = true;
      this.#batches.unshift({ ...batch });
      return;
    }
    room.membership = "out";
    room.refused(error);
    if (error.code === "room_limit") this.#noMoreRooms(error);
  }

  /** The connection is in as many rooms as it may be: those that are still to be joined cannot be. */
  #noMoreRooms(error: ShardcastError): void {
    const joins = this.#batches.filter((batch) => batch.asked === "join_room");
    this.#batches = this.#batches.filter((batch) => batch.asked !== "join_room");
    for (const { rooms } of joins) {
      for (const room of rooms) {
        room.membership = "out";
        room.refused(error);
      }
    }
  }

  /** Refused for now: asked again with backoff, or when the server said. */
  #later(asked: Asked, rooms: Room[], error: ShardcastError): void {
    const delay = error.retryAfterMs ?? backoff(rooms[0]!.refusals, this.#hooks.backoff);
    for (const room of rooms) {
      room.membership = asked === "join_room" ? "out" : "in";
      room.refusals++;
      // A rate that grants fewer at once than these would refuse them for ever.
      room.together = Math.max(1, rooms.length >> 1);
      room.notBefore = performance.now() + delay;
      this.#dirty.add(room);
    }
    this.#wakeAt(rooms[0]!.notBefore);
  }

  #wakeAt(at: number): void {
    if (at >= this.#retryAt) return;
    this.#stopRetry();
    this.#retryAt = at;
    this.#retry = setTimeout(() => {
      this.#retryAt = Infinity;
      for (const room of this.#rooms.values()) this.#dirty.add(room);
      this.#reconcile();
    }, Math.max(0, at - performance.now()) + 1);
  }

  #stopRetry(): void {
    clearTimeout(this.#retry);
    this.#retryAt = Infinity;
  }

  #hold(room: Room, item: Raw, bytes: number): void {
    if (room.overflowed) return;
    if (this.#held >= HELD_MAX || this.#heldBytes + bytes > HELD_BYTES_MAX) {
      this.#release(room);
      room.held = [];
      room.overflowed = true;
      return;
    }
    room.held.push({ item, bytes });
    this.#held++;
    this.#heldBytes += bytes;
  }

  /** What a room holds does not count any more. */
  #release(room: Room): void {
    this.#held -= room.held.length;
    for (const { bytes } of room.held) this.#heldBytes -= bytes;
  }
}

/** The request of a batch. */
function message(batch: Batch): Record<string, unknown> {
  const { asked, rooms, presence, token } = batch;
  const one = rooms.length === 1 ? rooms[0]! : undefined;
  const request: Record<string, unknown> = { type: asked };
  if (one) request.room = one.name;
  else request.rooms = rooms.map((room) => room.name);
  if (asked === "leave_room") return request;
  // Without a prototype, for a room may have any name.
  const since: Record<string, unknown> = Object.create(null);
  for (const room of rooms) {
    room.asked = room.anew ? undefined : room.position;
    if (room.asked) since[room.name] = room.asked;
  }
  if (one?.asked) request.since = one.asked;
  else if (!one && Object.keys(since).length > 0) request.since = since;
  if (presence !== undefined) request.presence = presence;
  if (token !== undefined) request.token = token;
  return request;
}
