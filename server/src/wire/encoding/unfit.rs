//! Why a value cannot be read as a type, in the words that clients know.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{self, Error as _, Expected, Unexpected};
use std::fmt::{self, Display};

/// Why a value is not of the type.
#[derive(Debug)]
pub(crate) struct Unfit(String);

impl std::error::Error for Unfit {}

impl Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl de::Error for Unfit {
    fn custom<T: Display>(message: T) -> Unfit {
        Unfit(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Unfit {
        match found {
            // As clients know it.
            Unexpected::Unit => Unfit(format!("invalid type: null, expected {expected}")),
            found => Unfit(format!("invalid type: {found}, expected {expected}")),
        }
    }
}

/// The bytes of a text in base64 (RFC 4648 §4), padded or not.
pub(super) fn bytes_of(text: &str) -> Result<Vec<u8>, Unfit> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let decoded = LENIENT.decode(text);
    decoded.map_err(|_| Unfit::invalid_value(Unexpected::Str(text), &"bytes in base64"))
}
