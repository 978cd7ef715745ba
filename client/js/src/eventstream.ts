//! The same over two plain HTTP requests (docs/protocol.md, "Without WebSocket"): an event stream
//! down, posts up, one after the other. It reads the stream with `fetch`, not with `EventSource`,
//! which reconnects by itself, hides the server's heartbeats and the HTTP status, and is not in Node.
//!
//! Invariant: posts leave in the order of `send`, none before the one before it was taken. Used by the
//! link where a WebSocket cannot be had.

import type { End, Hears, Transport } from "./transport.js";

/** Of one event; a server that sends more is none of ours. */
const EVENT_CHARACTERS_MAX = 64 << 20;

/** The stream's parser: bytes in any pieces, events out. */
export class EventParser {
  #rest = "";
  #event = "";
  #data: string[] = [];
  #held = 0;

  /** `on` hears each event, and a comment as `:`. */
  constructor(private readonly on: (event: string, data: string) => void) {}

  push(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop()!;
    for (const line of lines) this.#line(line.endsWith("\r") ? line.slice(0, -1) : line);
    if (this.#held + this.#rest.length > EVENT_CHARACTERS_MAX) throw new RangeError("an event is too large");
  }

  #line(line: string): void {
    if (line === "") {
      if (this.#data.length > 0) this.on(this.#event || "message", this.#data.join("\n"));
      this.#event = "";
      this.#data = [];
      this.#held = 0;
      return;
    }
    if (line.startsWith(":")) return this.on(":", "");
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (name === "event") this.#event = value;
    else if (name === "data") {
      this.#data.push(value);
      this.#held += value.length;
    }
  }
}

const LOST: End = { code: 1006, reason: "" };

class EventStream implements Transport {
  readonly #abort = new AbortController();
  /** Bounded by whoever sends: what it has under way. */
  #posts: string[] = [];
  #posting = false;
  #token = "";
  #over = false;
  #wait: { timer: ReturnType<typeof setTimeout>; resolve(): void } | undefined;

  constructor(
    private readonly fetch: typeof globalThis.fetch,
    private readonly url: string,
    private readonly hears: Hears,
    headers: Record<string, string>,
  ) {
    void this.#read(headers);
  }

  send(text: string): void {
    this.#posts.push(text);
    if (!this.#posting) void this.#post();
  }

  async close(): Promise<void> {
    this.#end();
  }

  async #read(headers: Record<string, string>): Promise<void> {
    try {
      const answer = await this.fetch.call(globalThis, this.url, {
        headers: { Accept: "text/event-stream", ...headers },
        cache: "no-store",
        credentials: "omit",
        signal: this.#abort.signal,
      });
      if (answer.status !== 200 || !answer.body) return this.#end(refusal(answer));
      const parser = new EventParser((event, data) => this.#heard(event, data));
      const decoder = new TextDecoder();
      const reader = answer.body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        parser.push(decoder.decode(value, { stream: true }));
      }
      this.#end(LOST);
    } catch {
      this.#end(LOST);
    }
  }

  #heard(event: string, data: string): void {
    if (this.#over) return;
    if (event === "message") this.hears.text(data);
    else if (event === "session") this.#token = data;
    else if (event === "close") this.#end(closeOf(data));
    else this.hears.alive();
  }

  async #post(): Promise<void> {
    this.#posting = true;
    const url = new URL(this.url);
    url.searchParams.set("session", this.#token);
    try {
      while (this.#posts.length > 0 && !this.#over) {
        // A body of type text is a simple request: no preflight.
        const { signal } = this.#abort;
        const init = { method: "POST", body: this.#posts[0]!, credentials: "omit", signal } as const;
        const answer = await this.fetch.call(globalThis, url.href, init);
        await answer.arrayBuffer();
        if (answer.status === 204) this.#posts.shift();
        else if (answer.status === 429 || answer.status === 503) await this.#pause(retryAfterMs(answer) ?? 1_000);
        else this.#end(answer.status === 413 ? { code: 1009, reason: "" } : LOST);
      }
    } catch {
      // Whether the message was taken is unknown, as with a connection that breaks.
      this.#end(LOST);
    }
    this.#posting = false;
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => (this.#wait = { timer: setTimeout(resolve, ms), resolve }));
  }

  #end(end?: End): void {
    if (this.#over) return;
    this.#over = true;
    this.#posts = [];
    this.#abort.abort();
    if (this.#wait) {
      clearTimeout(this.#wait.timer);
      this.#wait.resolve();
    }
    if (end) this.hears.ended(end);
  }
}

function closeOf(data: string): End {
  try {
    const { code, reason } = JSON.parse(data);
    return { code: Number(code), reason: String(reason ?? "") };
  } catch {
    return LOST;
  }
}

function refusal(answer: Response): End {
  const end: End = { ...LOST, status: answer.status };
  const after = retryAfterMs(answer);
  if (after !== undefined) end.retryAfterMs = after;
  return end;
}

/** Of `Retry-After` in seconds, at most five minutes. */
function retryAfterMs(answer: Response): number | undefined {
  const seconds = Number(answer.headers.get("Retry-After") ?? NaN);
  return seconds >= 0 ? Math.min(seconds, 300) * 1_000 : undefined;
}

/** `headers` go with the stream's request, not with posts. */
export function overEventStream(
  fetch: typeof globalThis.fetch,
  url: string,
  headers: Record<string, string>,
  hears: Hears,
): Transport {
  return new EventStream(fetch, url, hears, headers);
}
