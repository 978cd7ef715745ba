//! What a publication changes of the one before it, for subscriptions with deltas.
//!
//! Invariant: deltas are made of what clients have, byte for byte: the content of a string in JSON,
//! or the bytes. Used by `push` and `reply`.

use super::body::{WireNotation, content_of};
use super::form::DataForm;
use crate::delta::{DeltaUnit, delta};
use crate::dialect::value::Value;

/// What `value` changes of `base`, if that is shorter than all of it.
pub(super) fn change_of<N: WireNotation>(base: Value<'_>, value: Value<'_>) -> Option<DataForm> {
    let unit = match N::IS_JSON {
        true => DeltaUnit::Characters,
        false => DeltaUnit::Bytes,
    };
    let delta = delta(&content_of::<N>(base), &content_of::<N>(value), unit)?;
    Some(DataForm::Delta(delta))
}
