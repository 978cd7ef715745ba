//! The simulation driver.
