//! The figures of a run that tables show and ratios divide: name, unit, which way is better, and
//! where it comes from. A constant table.

use crate::report::measured::Measured;
use crate::report::number::Unit;
use crate::work::Figure;

/// A figure that a run has or has not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quantity {
    /// At the head of a column.
    pub(crate) name: &'static str,
    pub(crate) unit: Unit,
    pub(crate) better: Better,
    pub(crate) of: fn(&Measured) -> Option<f64>,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Lower,
    Higher,
    /// It only says what happened.
    Neither,
}

/// Server CPU by message.
pub(crate) const CPU: Quantity = Quantity {
    name: "CPU per message",
    unit: Unit::CpuMicroseconds,
    better: Better::Lower,
    of: Measured::cpu_us_per_message,
};

/// Resident memory by connection.
pub(crate) const MEMORY: Quantity = Quantity {
    name: "Memory per connection",
    unit: Unit::Bytes,
    better: Better::Lower,
    of: Measured::bytes_per_connection,
};

/// Server CPU by connection made.
pub(crate) const CONNECT: Quantity = Quantity {
    name: "CPU per connect",
    unit: Unit::CpuMicroseconds,
    better: Better::Lower,
    of: Measured::cpu_us_per_connect,
};

/// A late one, which most users meet.
pub(crate) const P99: Quantity = latency("p99", |run| run.latency_us(0.99));

/// In the order of columns.
pub(crate) const QUANTITIES: &[Quantity] = &[
    CPU,
    latency("p50", |run| run.latency_us(0.5)),
    latency("p90", |run| run.latency_us(0.9)),
    P99,
    latency("p99.9", |run| run.latency_us(0.999)),
    latency("p99.99", |run| run.latency_us(0.9999)),
    latency("max", |run| run.latency_us(1.0)),
    Quantity {
        name: "Rate",
        unit: Unit::PerSecond,
        better: Better::Higher,
        of: Measured::rate_per_s,
    },
    Quantity {
        name: "Messages",
        unit: Unit::Count,
        better: Better::Neither,
        of: Measured::messages,
    },
    CONNECT,
    MEMORY,
    Quantity {
        name: "Kernel memory per connection",
        unit: Unit::Bytes,
        better: Better::Lower,
        of: Measured::kernel_bytes_per_connection,
    },
];

/// What a work of `compare` is about.
pub(crate) fn of_work(figure: Figure) -> Quantity {
    match figure {
        Figure::CpuPerMessage => CPU,
        Figure::BytesPerConnection => MEMORY,
        Figure::CpuPerConnect => CONNECT,
        Figure::P99 => P99,
    }
}

const fn latency(name: &'static str, of: fn(&Measured) -> Option<f64>) -> Quantity {
    Quantity {
        name,
        unit: Unit::Microseconds,
        better: Better::Lower,
        of,
    }
}
