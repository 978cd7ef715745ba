//! Which driver the servers of the tests run on: the one that the host has, or the one that the
//! environment asks for, so that one suite is run on each.

use shardcast_engine::DriverChoice;

/// `DRIVER_UNDER_TEST`: auto (so is nothing), uring or portable.
///
/// # Panics
/// It is none of these.
pub fn driver() -> DriverChoice {
    match std::env::var("DRIVER_UNDER_TEST") {
        Ok(name) => name.parse().expect("DRIVER_UNDER_TEST"),
        Err(_) => DriverChoice::Auto,
    }
}
