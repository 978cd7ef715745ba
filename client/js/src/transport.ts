//! Text messages both ways, over a WebSocket.
//!
//! Invariant: `ended` is called at most once, and nothing after it or after `close`. Used by the link;
//! `eventstream.ts` is the other transport.

/** What a transport tells. */
export interface Hears {
  text(text: string): void;
  /** A sign of life that is no message. */
  alive(): void;
  ended(end: End): void;
}

export interface End {
  /** A close code; 1006 where there was none. */
  code: number;
  reason: string;
  /** Of HTTP, where a stream was refused. */
  status?: number;
  retryAfterMs?: number;
}

export interface Transport {
  send(text: string): void;
  /** Ends it; resolves once the other side has agreed, or cannot be waited for any longer. */
  close(): Promise<void>;
}

/** What this package needs of a WebSocket: that of browsers and Node, and npm `ws`. */
export interface WebSocketLike {
  onopen: any;
  onmessage: any;
  onerror: any;
  onclose: any;
  readonly readyState: number;
  send(text: string): void;
  close(code?: number, reason?: string): void;
  /** npm `ws`: without a handshake. */
  terminate?(): void;
}

export type WebSocketConstructor = new (url: string, protocols: string[]) => WebSocketLike;

/** How long `close` waits for the other side's close. */
const CLOSE_MS = 1_000;

export function overWebSocket(make: WebSocketConstructor, url: string, protocols: string[], hears: Hears): Transport {
  const socket = new make(url, protocols);
  let over = false;
  let closed = (): void => {};
  socket.onmessage = (event: { data: unknown }) => {
    if (!over && typeof event.data === "string") hears.text(event.data);
  };
  // What is wrong is in `close`, which follows; without a listener npm `ws` throws.
  socket.onerror = () => {};
  socket.onclose = (event: { code: number; reason: string }) => {
    closed();
    if (over) return;
    over = true;
    hears.ended({ code: event.code, reason: event.reason });
  };
  return {
    send: (text) => socket.send(text),
    close() {
      over = true;
      const ended = new Promise<void>((resolve) => {
        let timer = setTimeout(() => {
          // It tells its end as well; who knows no such thing is not waited for.
          if (socket.terminate) timer = setTimeout(resolve, CLOSE_MS);
          else resolve();
          socket.terminate?.();
        }, CLOSE_MS);
        closed = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      try {
        socket.close(1000);
      } catch {
        closed();
      }
      if (socket.readyState === 3) closed();
      return ended;
    },
  };
}
