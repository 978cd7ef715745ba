//! What RFC 6455, RFC 7692 and HTTP demand of a server, one row per rule, over bare sockets. A row
//! names its clauses (`tools/clauses/`), so the list of rules without a test is short: it is what
//! `shardcast-clauses` refuses.

#![forbid(unsafe_code)]

mod close;
mod control;
mod deflate;
mod exchange;
mod fragmentation;
mod framing;
mod handshake;
mod http;
mod masking;
mod utf8;
