//! What must hold for any input: the bodies of the fuzz targets. A body panics where a promise is
//! broken, and returns otherwise; it has no state and does no I/O. Called by `fuzz/fuzz_targets/*`,
//! one each, and by this package's tests over the committed corpus and mutations of it.
#![forbid(unsafe_code)]

mod centrifuge;
mod cluster_envelope;
mod configuration;
mod delta;
mod envelope;
mod extensions;
mod forwarded;
mod frames;
mod head;
mod inflate;
mod json_rpc;
mod messagepack;
mod pieces;
mod proxy;
mod records;
mod response;
mod stored;
mod stream;
mod token;
mod translation;
mod values;

pub use centrifuge::{centrifuge_json, centrifuge_protobuf, cf_connect, emulation, filter};
pub use cluster_envelope::cluster_envelope;
pub use configuration::configuration;
pub use delta::{apply_delta, delta};
pub use envelope::envelope;
pub use extensions::extensions;
pub use forwarded::forwarded;
pub use frames::frames;
pub use head::head;
pub use inflate::inflate;
pub use json_rpc::json_rpc;
pub use messagepack::messagepack;
pub use pieces::pieces;
pub use proxy::proxy;
pub use records::records;
pub use response::response;
pub use stored::stored;
pub use token::token;
pub use translation::translation;

/// A target: its name (of the binary, the corpus folder and the dictionary), and its body.
pub type Trial = (&'static str, fn(&[u8]));

/// Every target.
pub const TRIALS: [Trial; 23] = [
    ("frames", frames),
    ("pieces", pieces),
    ("head", head),
    ("extensions", extensions),
    ("forwarded", forwarded),
    ("proxy", proxy),
    ("records", records),
    ("inflate", inflate),
    ("response", response),
    ("envelope", envelope),
    ("json_rpc", json_rpc),
    ("messagepack", messagepack),
    ("translation", translation),
    ("centrifuge_json", centrifuge_json),
    ("centrifuge_protobuf", centrifuge_protobuf),
    ("emulation", emulation),
    ("cf_connect", cf_connect),
    ("filter", filter),
    ("delta", delta),
    ("stored", stored),
    ("token", token),
    ("configuration", configuration),
    ("cluster_envelope", cluster_envelope),
];
