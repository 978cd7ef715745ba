//! What the package gives its users. Made into one module by `build.js`.

export { Client } from "./client.js";
export type { Events, PublishOptions, RequestOptions, StateChange, Target } from "./client.js";
export { backoff, type Backoff } from "./backoff.js";
export { ShardcastError, type Code } from "./errors.js";
export type { TokenIn } from "./link.js";
export type { Options } from "./options.js";
export type { QueueOptions } from "./requests.js";
export { next, type State, type StateEvent } from "./state.js";
export type { BufferOptions, WhenFull } from "./stream.js";
export type { Handler, SubscribeOptions, Subscription } from "./subscription.js";
export type { WebSocketConstructor, WebSocketLike } from "./transport.js";
export type * from "./wire.js";
