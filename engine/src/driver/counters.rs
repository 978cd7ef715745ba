//! What a driver counts: part of its shard's counters. A driver without rings leaves theirs at 0.

use crate::reading::counters;

counters! {
    /// One driver's counters.
    DriverCounters;
    /// io_uring_enter calls.
    count enters;
    /// Completions reaped (completions / enters is completions per enter).
    count completions;
    /// Times the receive buffers ran out (ENOBUFS).
    count receive_starved;
    /// Completions that the kernel had to keep in its overflow list.
    count completion_overflows;
    /// Further rings that the host refused, for want of open files or locked memory.
    count rings_refused;
    /// Receives and sends that were cancelled and begun anew, so that the kernel releases closed
    /// sockets (Linux 6.12 and older).
    count rotated;
    /// Rings in use.
    gauge rings;
    /// How long a tick of the shard takes, without the time that it waits for the kernel.
    times tick_seconds;
    /// How many completions a tick takes in.
    sizes tick_completions;
}
