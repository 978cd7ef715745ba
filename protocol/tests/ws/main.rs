//! RFC 6455 at its boundary: bytes in, events out, and back.

mod events;
mod forwarded;
mod frames;
mod http;
mod messages;
mod mutated;
mod noise;
mod pieces;
mod proxy;
mod round_trips;
mod stream;
mod tungstenite_agrees;
mod upgrade;
mod utf8;
mod violations;
