//! What rooms may be called: how long, and of which characters. Asked for every room that a request
//! names.

use std::ops::RangeInclusive;

/// What the rooms of a namespace may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameRules {
    /// Longest name in bytes, prefix and colon included, within [`NameRules::BYTES`]. The engine
    /// has a limit of its own for all rooms; the lower one counts.
    pub bytes_max: usize,
    /// Of what a name may consist, behind prefix and colon.
    pub characters: Characters,
}

impl NameRules {
    /// Bytes of a name, as the engine takes them (`shardcast_engine::Config::room_name_bytes_max`).
    pub const BYTES: RangeInclusive<usize> = 1..=4_096;
    /// Bytes that a name may have by default.
    pub const BYTES_MAX_DEFAULT: usize = 255;

    /// The shortest limit under which a room can have a name: the prefix, the colon and one byte.
    pub(crate) fn bytes_least(prefix: &str) -> usize {
        match prefix.len() {
            0 => 1,
            bytes => bytes + 2,
        }
    }
}

impl Default for NameRules {
    fn default() -> NameRules {
        NameRules {
            bytes_max: NameRules::BYTES_MAX_DEFAULT,
            characters: Characters::Any,
        }
    }
}

/// Of what a room's name may consist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Characters {
    /// Any but control characters (Unicode category Cc). Names that look alike may differ.
    #[default]
    Any,
    /// Printable ASCII: U+0020 to U+007E.
    Ascii,
    /// `A-Z a-z 0-9 _ . -`: nothing that needs an escape anywhere.
    Alphanumeric,
}

impl Characters {
    /// Whether the text consists of them.
    pub fn include(self, text: &str) -> bool {
        let alphanumeric =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        match self {
            Characters::Any => !text.chars().any(char::is_control),
            Characters::Ascii => text.bytes().all(|byte| matches!(byte, b' '..=b'~')),
            Characters::Alphanumeric => text.bytes().all(alphanumeric),
        }
    }
}
