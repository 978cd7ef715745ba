//! Requests: those that wait to be sent and those that wait for their answers.
//!
//! Invariant: each settles exactly once: by its answer, its timeout, its signal, or the end of the
//! client. What waits is bounded by `QueueOptions`, what is under way by `UNDER_WAY_MAX` and
//! `UNDER_WAY_BYTES_MAX`. Used by the client, its rooms and its link.

import { ShardcastError, ofAnswer, wrap } from "./errors.js";
import { Queue, utf8Bytes } from "./queue.js";
import type { Raw } from "./wire.js";

export interface QueueOptions {
  /** Requests that may wait to be sent: 1 or more; 1,000 unless said. */
  count?: number;
  /** Bytes that they may have: 1 MiB unless said. */
  bytes?: number;
  /** Refuse the new one (the default), or drop the oldest; who loses hears `queue_full`. */
  whenFull?: "refuse" | "drop_oldest";
}

/** With joins and pings fewer than the 64 that the server lets a connection wait for. */
export const UNDER_WAY_MAX = 48;

/** More waits, unless nothing is under way. */
const UNDER_WAY_BYTES_MAX = 1 << 20;

/** Rooms of which it is remembered whether they take keys; of more, the oldest is forgotten. */
const KEYED_ROOMS_MAX = 1_000;

/** How a request is treated. */
export interface Treatment {
  timeoutMs: number;
  signal?: AbortSignal;
  /** Whether it is sent again where the connection goes before the answer. */
  resend?: boolean;
  /** It goes before all others, also before the session stands; it dies with its connection. */
  control?: boolean;
  /** A publish to this room, with this key unless the room takes none. */
  key?: { room: string; key: string; automatic: boolean };
}

interface Entry {
  id: number;
  /** The message up to where a key goes, without the closing brace. */
  head: string;
  bytes: number;
  treatment: Treatment;
  key: string | undefined;
  timer: ReturnType<typeof setTimeout> | undefined;
  aborted: (() => void) | undefined;
  resolve(answer: Raw): void;
  reject(error: unknown): void;
}

export class Requests {
  readonly #options: Required<QueueOptions>;
  readonly #idle: () => void;
  readonly #control: Entry[] = [];
  readonly #waiting = new Queue<Entry>();
  readonly #underWay = new Map<number, Entry>();
  #underWayBytes = 0;
  #lastId = 0;
  #send: ((text: string) => void) | undefined;
  #ready = false;
  #closed: ShardcastError | undefined;
  /** Of one message; before any welcome it is not known. */
  #bytesMax = Infinity;
  /** Whether a room takes keys, as far as it is known. */
  readonly #keyed = new Map<string, boolean>();

  /** `idle` is called whenever the last request has settled. */
  constructor(options: QueueOptions, idle: () => void) {
    this.#options = { count: 1_000, bytes: 1 << 20, whenFull: "refuse", ...options };
    this.#idle = idle;
  }

  /** Requests that are not settled, without those of the client itself. */
  get pending(): number {
    let count = this.#waiting.length;
    for (const entry of this.#underWay.values()) if (!entry.treatment.control) count++;
    return count;
  }

  get bytesMax(): number {
    return this.#bytesMax;
  }

  /** A connection stands: control requests may go. */
  attach(send: (text: string) => void, bytesMax: number): void {
    this.#send = send;
    this.#bytesMax = bytesMax;
  }

  /** All requests may go. */
  ready(): void {
    this.#ready = true;
    this.#pump();
  }

  /** None may go but the client's own. */
  hold(): void {
    this.#ready = false;
  }

  /** The connection is gone. `again`: whether what was under way may be sent again at all. */
  detach(again: "again" | "not again"): void {
    this.#send = undefined;
    this.#ready = false;
    const back: Entry[] = [];
    const lost: Entry[] = this.#control.splice(0);
    for (const entry of this.#underWay.values()) {
      const { treatment, key } = entry;
      const may = again === "again" && !treatment.control && (treatment.resend || key !== undefined);
      (may ? back : lost).push(entry);
    }
    this.#underWay.clear();
    this.#underWayBytes = 0;
    this.#waiting.unshift(back, (entry) => entry.bytes);
    for (const entry of lost) {
      const details = { retryable: true, mayHaveHappened: true };
      this.#settle(entry, new ShardcastError("connection_lost", "the connection went before the answer came", details));
    }
  }

  /** The end: nothing is sent any more. */
  close(error: ShardcastError): void {
    this.#closed = error;
    this.#send = undefined;
    const sent = [...this.#underWay.values()];
    this.#underWay.clear();
    for (const entry of [...this.#control.splice(0), ...this.#waiting.clear()]) this.#settle(entry, error);
    const { code, message, closeCode } = error;
    const details = closeCode === undefined ? { mayHaveHappened: true } : { closeCode, mayHaveHappened: true };
    for (const entry of sent) this.#settle(entry, new ShardcastError(code, message, details));
  }

  /** No new request is taken, and those that there are go on. */
  refuse(error: ShardcastError): void {
    this.#closed = error;
  }

  /** Asks. The answer is the server's message; a refusal rejects. */
  ask(message: Record<string, unknown>, treatment: Treatment): Promise<Raw> {
    const promise = new Promise<Raw>((resolve, reject) => this.call(message, treatment, resolve, reject));
    // Who does not look at the outcome is not told of it twice.
    promise.catch(() => {});
    return promise;
  }

  /** The same, and what settles it is called before the next message is looked at. */
  call(
    message: Record<string, unknown>,
    treatment: Treatment,
    resolve: (answer: Raw) => void,
    reject: (error: any) => void,
  ): void {
    const id = ++this.#lastId;
    const { type, ...rest } = message;
    const head = headOf({ type, id, ...rest });
    const { key } = treatment;
    const entry: Entry = {
      id, head, bytes: 0, treatment, key: key?.key, timer: undefined, aborted: undefined, resolve, reject,
    };
    if (key?.automatic && this.#keyed.get(key.room) === false) entry.key = undefined;
    entry.bytes = utf8Bytes(textOf(entry));
    const refusal = this.#refusal(entry);
    if (refusal !== undefined) return reject(refusal);
    this.#watch(entry);
    if (treatment.control) this.#control.push(entry);
    else this.#waiting.push(entry, entry.bytes);
    this.#pump();
  }

  /** Takes an answer; whether anybody waited for it. */
  answered(message: Raw): boolean {
    const entry = typeof message.id === "number" ? this.#underWay.get(message.id) : undefined;
    if (!entry) return false;
    this.#underWay.delete(entry.id);
    this.#underWayBytes -= entry.bytes;
    if (!this.#takesNoKey(entry, message)) {
      if (message.type === "error") this.#settle(entry, ofAnswer(message as never));
      else this.#settle(entry, undefined, message);
    }
    this.#pump();
    return true;
  }

  /** What a join or an answer says about a room: without history there are no keys. */
  learn(room: string, takesKeys: "yes" | "no" | "maybe"): void {
    const known = this.#keyed.get(room);
    if (takesKeys === "maybe") {
      if (known === false) this.#keyed.delete(room);
      return;
    }
    if (known === (takesKeys === "yes")) return;
    this.#keyed.delete(room);
    this.#keyed.set(room, takesKeys === "yes");
    if (this.#keyed.size > KEYED_ROOMS_MAX) {
      for (const oldest of this.#keyed.keys()) {
        this.#keyed.delete(oldest);
        break;
      }
    }
  }

  /** Why a request is not taken. */
  #refusal(entry: Entry): unknown {
    const { signal, control } = entry.treatment;
    if (signal?.aborted) return signal.reason;
    if (this.#closed && !control) return this.#closed;
    if (entry.bytes > this.#bytesMax) return this.#tooLarge(entry);
    if (control) return undefined;
    const { count, bytes, whenFull } = this.#options;
    const full = () => this.#waiting.length >= count || this.#waiting.bytes + entry.bytes > bytes;
    while (full()) {
      const refusal = new ShardcastError("queue_full", "as many requests wait as may", { retryable: true });
      const oldest = whenFull === "drop_oldest" ? this.#waiting.shift() : undefined;
      if (!oldest) return refusal;
      this.#settle(oldest, refusal);
    }
    return undefined;
  }

  #tooLarge(entry: Entry): ShardcastError {
    return new ShardcastError("too_large", `a message has ${entry.bytes} bytes, and may have ${this.#bytesMax}`);
  }

  #watch(entry: Entry): void {
    const { signal, timeoutMs } = entry.treatment;
    entry.timer = setTimeout(() => {
      const details = { retryable: true, mayHaveHappened: this.#underWay.has(entry.id) };
      this.#withdraw(entry, new ShardcastError("timeout", `no answer within ${timeoutMs} ms`, details));
    }, timeoutMs);
    if (!signal) return;
    entry.aborted = () => this.#withdraw(entry, signal.reason);
    signal.addEventListener("abort", entry.aborted, { once: true });
  }

  #withdraw(entry: Entry, error: unknown): void {
    if (this.#underWay.delete(entry.id)) this.#underWayBytes -= entry.bytes;
    else if (!this.#waiting.remove(entry)) this.#control.splice(this.#control.indexOf(entry), 1);
    this.#settle(entry, error);
    this.#pump();
  }

  #settle(entry: Entry, error: unknown, answer?: Raw): void {
    clearTimeout(entry.timer);
    if (entry.aborted) entry.treatment.signal?.removeEventListener("abort", entry.aborted);
    if (answer) entry.resolve(answer);
    else entry.reject(error);
    if (this.pending === 0) this.#idle();
  }

  /**
   * Whether a room refused an automatic key. Then the publish goes once more without; nothing of the
   * same room was sent behind it.
   */
  #takesNoKey(entry: Entry, answer: Raw): boolean {
    const { key } = entry.treatment;
    if (!key || entry.key === undefined) return false;
    if (!key.automatic || answer.type !== "error" || answer.code !== "bad_request") {
      if (answer.type === "ack") this.learn(key.room, "yes");
      return false;
    }
    this.learn(key.room, "no");
    entry.key = undefined;
    entry.bytes = utf8Bytes(textOf(entry));
    this.#waiting.unshift([entry], () => entry.bytes);
    return true;
  }

  /** A publish to a room of which it is not known whether it takes keys goes alone. */
  #mustWait(entry: Entry): boolean {
    const { key } = entry.treatment;
    if (!key?.automatic || entry.key === undefined || this.#keyed.get(key.room) === true) return false;
    if (this.#keyed.get(key.room) === false) {
      entry.key = undefined;
      return false;
    }
    for (const other of this.#underWay.values()) if (other.treatment.key?.room === key.room) return true;
    return false;
  }

  #pump(): void {
    while (this.#send) {
      const control = this.#control[0];
      const entry = control ?? (this.#ready ? this.#waiting.peek() : undefined);
      if (!entry) return;
      if (!control) {
        const bytes = this.#underWayBytes + entry.bytes;
        const full = this.#underWay.size >= UNDER_WAY_MAX || (this.#underWay.size > 0 && bytes > UNDER_WAY_BYTES_MAX);
        if (full || this.#mustWait(entry)) return;
      }
      if (control) this.#control.shift();
      else this.#waiting.shift();
      if (entry.bytes > this.#bytesMax) {
        this.#settle(entry, this.#tooLarge(entry));
        continue;
      }
      this.#underWay.set(entry.id, entry);
      this.#underWayBytes += entry.bytes;
      this.#send(textOf(entry));
    }
  }
}

function textOf(entry: Entry): string {
  return entry.key === undefined ? entry.head + "}" : `${entry.head},"key":${JSON.stringify(entry.key)}}`;
}

function headOf(message: Record<string, unknown>): string {
  try {
    return JSON.stringify(message).slice(0, -1);
  } catch (thrown) {
    throw wrap("bad_request", thrown);
  }
}
