//! One count, and how a set of counts is declared: one writer (the shard), any reader, relaxed.
//! Used by `counters` and the drivers.

use std::sync::atomic::{AtomicU64, Ordering};

/// A count with one writer: adding is a load and a store, no locked instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds; only the owning shard calls this.
    pub fn add(&self, n: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(n),
            Ordering::Relaxed,
        );
    }
    /// Subtracts (gauges).
    pub fn sub(&self, n: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_sub(n),
            Ordering::Relaxed,
        );
    }
    /// Sets (gauges).
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }
    /// Reads, from any thread.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One counter, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Its name; members of a family share it.
    pub name: &'static str,
    /// What tells a member of a family from the others: key and value.
    pub label: Option<(&'static str, &'static str)>,
    /// What it counts; the same for a complete family.
    pub help: &'static str,
    /// It goes up and down.
    pub is_gauge: bool,
    /// Just now.
    pub value: u64,
}

/// First the name of the set, and perhaps another set that stands last in it. Then `count name;`,
/// or `count field of family { key = "value" };` for a member of a family. Members stand together.
macro_rules! counters {
    ($(#[doc = $about:literal])* $set:ident $({ $(#[doc = $inner_doc:literal])* $inner:ident: $inner_set:ty })?;
     $($(#[doc = $doc:literal])* $kind:ident $name:ident $(of $family:ident { $key:ident = $value:literal })?;)*) => {
        $(#[doc = $about])*
        #[derive(Debug, Default)]
        pub struct $set {
            $($(#[doc = $doc])* pub $name: Counter,)*
            $($(#[doc = $inner_doc])* pub $inner: std::sync::Arc<$inner_set>,)?
        }
        impl $set {
            /// Every counter, members of a family one after the other.
            pub fn each(&self, mut visit: impl FnMut(Reading)) {
                $(visit(Reading {
                    name: first!($(stringify!($family),)? stringify!($name)),
                    label: first!($(Some((stringify!($key), $value)),)? None),
                    help: concat!($($doc),*),
                    is_gauge: matches!(stringify!($kind).as_bytes(), b"gauge"),
                    value: self.$name.get(),
                });)*
                $(self.$inner.each(&mut visit);)?
            }
        }
    };
}

macro_rules! first {
    ($first:expr $(, $rest:expr)*) => {
        $first
    };
}

pub(crate) use {counters, first};
