//! What `shardcast-bench` is made of: the works, the servers that do them, runs as child processes,
//! and what is made of their figures. Servers are measured from outside, by the CPU time that the
//! kernel accounts to them; nothing here runs inside one.
#![forbid(unsafe_code)]

pub mod advice;
mod backend;
mod backends;
mod batches;
mod caller;
pub mod catalogue;
mod child;
pub mod cluster;
pub mod command;
pub mod compare;
mod deltas;
pub mod drivers;
pub mod figures;
pub mod format;
pub mod goal;
pub mod host;
pub mod identity;
pub mod instructions;
mod joins;
pub mod journal;
pub mod load;
pub mod namespace;
mod observed;
mod operator;
pub mod own_works;
pub mod page;
pub mod plan;
pub mod portable;
pub mod prepare;
pub mod product;
pub mod record;
mod recovery;
pub mod report;
pub mod results;
pub mod run;
pub mod scale;
mod scraped;
pub mod server;
pub mod servers;
mod stalled;
pub mod statistics;
pub mod storm;
mod subject;
pub mod table;
mod threads;
pub mod tokens;
mod uploads;
pub mod work;
pub mod works;
