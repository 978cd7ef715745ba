//! What the nodes of a cluster know of each other's rooms, users and members: each tells all others
//! its own share, as changes in a row, and all of it page by page where somebody has missed one. So
//! a number or a list that holds for all nodes is answered by any of them without asking another.

pub(crate) mod elsewhere;
pub(crate) mod occupancy;
pub(crate) mod others;
pub(crate) mod own;
pub(crate) mod placing;
pub(crate) mod seating;
pub(crate) mod seats;
pub(crate) mod sharing;
#[cfg(test)]
mod simulation;
pub(crate) mod turning;
pub(crate) mod word;
