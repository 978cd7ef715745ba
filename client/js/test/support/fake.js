//! A server in this process: a WebSocket that is none, and whose other end the test plays.
//!
//! Invariant: what each side says arrives in order, in a later turn, as with a real one.

export class Fake {
  /** Every socket that was opened. */
  sockets = [];
  /** What all of them sent, parsed. */
  sent = [];
  /** Answers a message of the client; may be replaced. */
  answer = (socket, message) => socket.say(answerTo(message));
  /** What happens to a new socket; may be replaced. */
  open = (socket) => socket.welcome();
  maxMessageBytes = 65_536;
  heartbeatMs = 25_000;

  get WebSocket() {
    const fake = this;
    return class {
      readyState = 0;
      constructor(url, protocols) {
        Object.assign(this, { url, protocols });
        fake.sockets.push(this);
        queueMicrotask(() => {
          if (this.readyState !== 0) return;
          this.readyState = 1;
          this.onopen?.({});
          fake.open(this);
        });
      }
      send(text) {
        if (this.readyState !== 1) return;
        const message = JSON.parse(text);
        fake.sent.push(message);
        queueMicrotask(() => this.readyState === 1 && fake.answer(this, message));
      }
      close(code = 1005) {
        if (!this.stuck) this.end(code, "");
      }
      terminate() {
        this.end(1006, "");
      }
      /** The server says. */
      say(message) {
        if (this.readyState === 1) this.onmessage?.({ data: typeof message === "string" ? message : JSON.stringify(message) });
      }
      welcome() {
        this.say({
          type: "welcome", connection: `c${fake.sockets.length}`, server: "fake", heartbeat_ms: fake.heartbeatMs,
          max_message_bytes: fake.maxMessageBytes,
        });
      }
      /** It ends, by whomever. */
      end(code, reason = "") {
        if (this.readyState === 3) return;
        this.readyState = 3;
        queueMicrotask(() => this.onclose?.({ code, reason, wasClean: code !== 1006 }));
      }
    };
  }

  get socket() {
    return this.sockets.at(-1);
  }
}

/** What a server with history says to everything. */
export function answerTo(message) {
  const { type, id, room, rooms } = message;
  if (type === "join_room") {
    const joined = (name, since) => ({
      room: name, members: 1, epoch: "e1", offset: since?.offset ?? 0, ...(since && { recovered: true }),
    });
    if (rooms) return { type: "joined", id, rooms: rooms.map((name) => joined(name, message.since?.[name])) };
    return { type: "joined", id, ...joined(room, message.since) };
  }
  if (type === "leave_room") return rooms ? { type: "left", id, rooms } : { type: "left", id, room };
  if (type === "ping") return { type: "pong", id };
  if (type === "publish" || type === "broadcast") return { type: "ack", id, epoch: "e1", offset: 1 };
  if (type === "auth" || type === "refresh") return { type: "authenticated", id, user: "ann", roles: [] };
  if (type === "status") return { type: "status", id, connection: "c", user: "ann", rooms: [], connected_ms: 1, shard: 0 };
  return { type: "result", id, data: null };
}
