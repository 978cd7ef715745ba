// Clients that are simulated: they join a room, publish at a rate, and count what they get.
// So many at most, and so much together; whoever is not let in is counted with the reason.

import { hello, open, received } from './dialects.js';

export const CLIENTS_MAX = 200;
/** Publishes a second of all together. */
const PUBLISHES_MAX = 1_000;
/** Clients that connect at a time. */
const CONNECTING_MAX = 10;
const STEP_MS = 20;
/** So long after the last publish, while nothing comes, what is missing does not come. */
const QUIET_MS = 2_000;
/** Someone who is not in the room by then is not let in. */
const JOIN_MS = 15_000;
/** Times that are kept for percentiles. */
const TIMES_MAX = 50_000;

export class Crowd {
  #run = crypto.randomUUID();
  #clients = [];
  #ended = false;
  #stopped = false;
  #times = [];
  #last = 0;
  counts = { asked: 0, joined: 0, published: 0, accepted: 0, received: 0, expected: 0 };
  /** What was refused or closed, by reason. */
  reasons = new Map();
  stage = 'connecting';

  constructor(dialect, base, options) {
    Object.assign(this, { dialect, base, options });
    this.counts.asked = Math.min(options.clients, CLIENTS_MAX);
  }

  /** Publishes no more; what is under way is waited for. */
  stop() {
    this.#stopped = true;
  }

  /** From connecting to the end. */
  async run() {
    let next = 0;
    const connect = async () => {
      while (next < this.counts.asked && !this.#stopped) {
        next += 1;
        await this.#connect(next - 1);
      }
    };
    await Promise.all(Array.from({ length: CONNECTING_MAX }, connect));
    if (!this.#stopped && this.counts.joined) await this.#publish();
    this.stage = 'waiting for the last';
    this.#last = performance.now();
    while (this.#outstanding() && performance.now() - this.#last < QUIET_MS) await pause(STEP_MS);
    this.#ended = true;
    this.stage = this.#stopped ? 'stopped' : 'done';
    for (const { socket } of this.#clients) socket.close(1000, 'the simulation ends');
  }

  /** Percentiles of how long a message took from its publisher to a member, in microseconds. */
  times() {
    const sorted = Float64Array.from(this.#times).sort();
    const at = (share) => (sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] * 1000 : null);
    return { p50: at(0.5), p99: at(0.99), max: at(1) };
  }

  /** How many messages the clients got: the fewest and the most. */
  each() {
    const got = this.#clients.filter(({ in: is }) => is).map((client) => client.received);
    return got.length ? [Math.min(...got), Math.max(...got)] : [0, 0];
  }

  #outstanding() {
    const answers = this.#clients.some((client) => client.waits.size > 0);
    return answers || this.counts.received < this.counts.expected;
  }

  #count(reason) {
    this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + 1);
  }

  #connect(number) {
    return new Promise((settled) => {
      const { dialect, options } = this;
      const client = { number, received: 0, in: false, ids: 0, waits: new Map() };
      const late = setTimeout(() => {
        this.#count('not in the room in time');
        client.socket.close();
        settled();
      }, JOIN_MS);
      const done = () => {
        clearTimeout(late);
        settled();
      };
      client.socket = open(dialect, this.base, options);
      this.#clients.push(client);
      const join = () => this.#ask(client, 'join', { room: options.room }, (failed) => {
        if (!failed) {
          client.in = true;
          this.counts.joined += 1;
        }
        done();
      });
      client.socket.onopen = () => {
        const first = hello(dialect, options);
        if (!first) return join();
        return this.#ask(client, first[0], first[1], (failed) => (failed ? done() : join()));
      };
      client.socket.onmessage = ({ data }) => this.#hear(client, data);
      client.socket.onclose = ({ code, reason }) => {
        if (!this.#ended) this.#count(`closed ${code}${reason && ` ${reason}`}`);
        if (client.in) this.counts.joined -= 1;
        client.in = false;
        client.waits.clear();
        done();
      };
    });
  }

  #ask(client, what, fields, answered) {
    if (client.socket.readyState !== WebSocket.OPEN) return;
    client.ids += 1;
    client.waits.set(client.ids, answered);
    client.socket.send(this.dialect.write(this.dialect.ask(client.ids, what, fields)));
  }

  #hear(client, data) {
    const { values, problem } = received(this.dialect, data);
    if (problem) this.#count(`not understood: ${problem}`);
    for (const value of values) {
      const told = this.dialect.tell(value);
      if (told.ping) client.socket.send('{}');
      const answered = client.waits.get(told.id);
      if (answered) {
        client.waits.delete(told.id);
        if (told.error !== undefined) this.#count(`${told.code}: ${told.error}`);
        answered(told.error !== undefined);
      }
      if (told.data?.crowd === this.#run) {
        client.received += 1;
        this.counts.received += 1;
        this.#last = performance.now();
        if (this.#times.length < TIMES_MAX) this.#times.push(this.#last - told.data.at);
      }
    }
  }

  /** The clients take turns. */
  async #publish() {
    this.stage = 'publishing';
    const { rate, seconds, bytes, room } = this.options;
    const members = this.#clients.filter((client) => client.in);
    const perSecond = Math.min(rate * members.length, PUBLISHES_MAX);
    const begun = performance.now();
    const pad = 'x'.repeat(bytes);
    let turn = 0;
    for (;;) {
      const passed = Math.min(seconds, (performance.now() - begun) / 1000);
      const due = Math.floor(perSecond * passed);
      while (turn < due && !this.#stopped) {
        const client = members[turn % members.length];
        turn += 1;
        if (!client.in) continue;
        this.counts.published += 1;
        const data = { crowd: this.#run, from: client.number, at: performance.now(), pad };
        this.#ask(client, 'publish', { room, data }, (failed) => {
          if (failed) return;
          this.counts.accepted += 1;
          this.counts.expected += this.counts.joined;
        });
      }
      if (passed >= seconds || this.#stopped) return;
      await pause(STEP_MS);
    }
  }
}

const pause = (ms) => new Promise((over) => setTimeout(over, ms));
