//! What the server says and what the client makes of it: the messages of docs/protocol.md and
//! docs/delivery.md as types.
//!
//! Invariant: keys are those of the wire, so that the protocol's pages describe them. Used by every
//! other file.

import type { ShardcastError } from "./errors.js";

/** A place in a room's order. */
export interface Position {
  epoch: string;
  offset: number;
}

/** Somebody published to a room, or, without `room`, to a user or to everyone. */
export interface Message {
  type: "message";
  room?: string;
  from: string;
  /** In rooms with history. */
  offset?: number;
  data: any;
  redelivered?: boolean;
}

/** The server's application has something to tell. */
export interface ServerEvent {
  type: "event";
  event: string;
  room?: string;
  offset?: number;
  data: any;
}

/** Messages of the room that this client does not get: it reads too slowly for what the room keeps. */
export interface Missed {
  type: "missed";
  room: string;
  count: number;
  reason: string;
}

/** Another member joined, left, is away or came back; or how many there are. */
export interface PresenceEvent {
  type: "presence";
  room: string;
  event: "join" | "leave" | "away" | "back" | "count" | (string & {});
  connection?: string;
  user?: string | null;
  data?: any;
  members?: number;
}

/** The subscription hears the room from here on: what follows lies behind `offset`. */
export interface Joined {
  type: "joined";
  room: string;
  members: number;
  epoch?: string;
  offset?: number;
}

/** The room was joined again. What it said meanwhile follows. */
export interface Recovered {
  type: "recovered";
  room: string;
  /**
   * Messages that follow. Exactly so many where offsets count messages; at most so many where they skip,
   * for rooms that NATS orders: there each place of the order that had not come with the answer may have
   * one, and may have none.
   */
  missed: number;
  members: number;
}

/**
 * Something is missing here. `why` is the server's reason (`epoch_changed`, `trimmed_by_size`,
 * `trimmed_by_age`, `limit`), `no_history` after a reconnect to a room that keeps none or none that
 * this client may read, or `buffer` where nobody took `count` items in time.
 */
export interface Lost {
  type: "lost";
  room: string;
  why: "epoch_changed" | "trimmed_by_size" | "trimmed_by_age" | "limit" | "no_history" | "buffer" | (string & {});
  count?: number;
}

/** The room cannot be joined, or the client was closed for an error. The subscription has ended. */
export interface Failed {
  type: "error";
  room: string;
  error: ShardcastError;
}

/** What a subscription hears, in order. */
export type Item = Message | ServerEvent | Missed | PresenceEvent | Joined | Recovered | Lost | Failed;

/** What a publish is answered with. */
export interface Receipt {
  epoch?: string;
  offset?: number;
  /** An earlier publish with the same key has this place; this one was not sent to anybody. */
  duplicate?: boolean;
  /** Of a publish to several rooms: those that keep history. */
  rooms?: { room: string; epoch: string; offset: number; duplicate?: boolean }[];
  /** With `report`. */
  delivered?: number;
  queued?: number;
  dropped?: number;
  conflated?: number;
  catching_up?: number;
}

export interface History extends Position {
  room: string;
  messages: { offset: number; from?: string; event?: string; data: any }[];
  recovered?: boolean;
  reason?: string;
}

export interface Presence {
  room: string;
  total: number;
  members: { connection?: string; user: string | null; data?: any; away?: boolean }[];
  /** There are more: ask again with it. */
  cursor?: string;
}

export interface Status {
  connection: string;
  user: string | null;
  rooms: string[];
  connected_ms: number;
  shard: number;
}

export interface Welcome {
  type: "welcome";
  connection: string;
  server: string;
  heartbeat_ms: number;
  max_message_bytes: number;
}

/** What a connection is, once its token is accepted. */
export interface Authenticated {
  user?: string | null;
  roles?: string[];
  expires_ms?: number;
}

/** Any message of the server, before anybody has looked at it. */
export type Raw = { type: string; id?: unknown; room?: string; offset?: number } & Record<string, any>;

/** One message, if it is one: a JSON object with a type. */
export function parse(text: string): Raw | undefined {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null && typeof value.type === "string" ? value : undefined;
  } catch {
    return undefined;
  }
}
