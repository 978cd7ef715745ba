//! What `shardcast-bench` is made of: the works, the servers that do them, runs as child processes, and what is made of their figures.
//! Servers are measured from outside, by the CPU time that the kernel accounts to them; nothing here runs inside one.
#![forbid(unsafe_code)]

pub mod compare;
pub mod host;
pub mod record;
pub mod run;
pub mod statistics;
pub mod table;
pub mod work;
