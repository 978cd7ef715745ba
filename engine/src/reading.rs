//! What is measured, as it is read, and how a set of measures is declared: one line for each, from
//! its increment to the page of metrics. Used by `counters` and the drivers.

use crate::histogram::Histogram;

/// One count or distribution, read.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// Its name; members of a family share it.
    pub name: &'static str,
    /// What tells a member of a family from the others: key and value.
    pub label: Option<(&'static str, &'static str)>,
    /// What it counts; the same for a complete family.
    pub help: &'static str,
    /// Just now.
    pub value: Measured<'a>,
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub enum Measured<'a> {
    /// It only grows.
    Count(u64),
    /// It goes up and down.
    Gauge(u64),
    /// Times, recorded in microseconds; the name ends with the unit that is shown, which is
    /// seconds.
    Times(&'a Histogram),
    /// Sizes, of what the name says.
    Sizes(&'a Histogram),
}

/// First the name of the set, and perhaps other sets that stand last in it. Then `count name;`
/// (or `gauge`, `times`, `sizes`: [`Measured`]), or `count field of family { key = "value" };` for
/// a member of a family. Members stand together.
macro_rules! counters {
    ($(#[doc = $about:literal])* $set:ident $({ $($(#[doc = $inner_doc:literal])* $inner:ident: $inner_set:ty),* $(,)? })?;
     $($(#[doc = $doc:literal])* $kind:ident $name:ident $(of $family:ident { $key:ident = $value:literal })?;)*) => {
        $(#[doc = $about])*
        #[derive(Debug, Default)]
        pub struct $set {
            $($(#[doc = $doc])* pub $name: $crate::reading::measure!($kind),)*
            $($($(#[doc = $inner_doc])* pub $inner: std::sync::Arc<$inner_set>,)*)?
        }
        impl $set {
            /// Every counter, members of a family one after the other.
            pub fn each<'a>(&'a self, mut visit: impl FnMut($crate::reading::Reading<'a>)) {
                $(visit($crate::reading::Reading {
                    name: $crate::reading::first!($(stringify!($family),)? stringify!($name)),
                    label: $crate::reading::first!($(Some((stringify!($key), $value)),)? None),
                    help: concat!($($doc),*),
                    value: $crate::reading::measured!($kind, self.$name),
                });)*
                $($(self.$inner.each(&mut visit);)*)?
            }

            /// Nothing is, of what goes up and down.
            #[allow(dead_code, reason = "not all sets belong to something that begins anew")]
            pub(crate) fn clear_gauges(&self) {
                $($crate::reading::cleared!($kind, self.$name);)*
            }
        }
    };
}

/// What keeps a measure of this kind.
macro_rules! measure {
    (count) => {
        $crate::counter::Counter
    };
    (gauge) => {
        $crate::counter::Counter
    };
    (times) => {
        $crate::histogram::Histogram
    };
    (sizes) => {
        $crate::histogram::Histogram
    };
}

/// Its reading.
macro_rules! measured {
    (count, $field:expr) => {
        $crate::reading::Measured::Count($field.get())
    };
    (gauge, $field:expr) => {
        $crate::reading::Measured::Gauge($field.get())
    };
    (times, $field:expr) => {
        $crate::reading::Measured::Times(&$field)
    };
    (sizes, $field:expr) => {
        $crate::reading::Measured::Sizes(&$field)
    };
}

/// A gauge begins at 0 again.
macro_rules! cleared {
    (gauge, $field:expr) => {
        $field.set(0)
    };
    ($kind:ident, $field:expr) => {};
}

macro_rules! first {
    ($first:expr $(, $rest:expr)*) => {
        $first
    };
}

pub(crate) use {cleared, counters, first, measure, measured};
