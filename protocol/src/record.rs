//! Records of TLS 1.3 once the handshake is over, without the cryptography (RFC 8446 §4.6.3, §5,
//! §6): where one ends, what stands behind its padding, and what that means for its reader.
//!
//! Invariant: what is kept between records is less than one message of five bytes. The decisions
//! are those of rustls (`engine/src/egress/tls/tests`). Called by the engine's sessions.

/// Of a record: type, version, length (§5.1).
pub const HEADER_BYTES: usize = 5;
/// Longest plaintext of a record (§5.1).
pub const PLAINTEXT_BYTES_MAX: usize = 1 << 14;
/// Longest payload that is awaited, as rustls and OpenSSL have it: TLS 1.2's, whose ciphers add up
/// to 2,048 bytes. What is longer than §5.2 allows is refused once it is decrypted.
const PAYLOAD_BYTES_MAX: usize = PLAINTEXT_BYTES_MAX + 2047;

/// What a record holds (§5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ContentType {
    /// Left over from TLS 1.2 (§5): no more after the handshake.
    ChangeCipherSpec = 20,
    /// Level and description (§6).
    Alert = 21,
    /// Messages, of which only key updates are left.
    Handshake = 22,
    /// The application's bytes.
    ApplicationData = 23,
}

/// Descriptions of the alerts that are sent (§6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Alert {
    /// Nothing more is sent; the only one that is no error.
    CloseNotify = 0,
    /// Not at this point.
    UnexpectedMessage = 10,
    /// It cannot be decrypted.
    BadRecordMac = 20,
    /// Longer than a record may be.
    RecordOverflow = 22,
    /// A field has a value that none may have.
    IllegalParameter = 47,
    /// It cannot be read.
    DecodeError = 50,
}

impl Alert {
    /// The payload of its record.
    pub fn encode(self) -> [u8; 2] {
        let level = match self {
            Alert::CloseNotify => LEVEL_WARNING,
            _ => LEVEL_FATAL,
        };
        [level, self as u8]
    }
}

/// Whether who updates its keys wants the other side to do so, too (§4.6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum KeyUpdate {
    /// Only its own.
    NotRequested = 0,
    /// The other side's before its next record of application data.
    Requested = 1,
}

impl KeyUpdate {
    /// The payload of its record.
    pub fn encode(self) -> [u8; KEY_UPDATE_BYTES] {
        [MESSAGE_KEY_UPDATE, 0, 0, 1, self as u8]
    }
}

/// What a record said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordContent<'a> {
    /// The application's bytes, perhaps none.
    Data(&'a [u8]),
    /// The peer's next record is under its next key.
    KeyUpdate(KeyUpdate),
    /// The peer sends nothing more (§6.1).
    Closed,
    /// Nothing, or not all of it yet.
    Nothing,
}

/// How a peer broke the record protocol. Nothing can be read after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Type, version or length of no record.
    #[error("a header that no record has")]
    Header,
    /// Damaged, replayed, out of order, or not encrypted.
    #[error("a record that does not decrypt")]
    Undecryptable,
    /// More plaintext than a record may have.
    #[error("a record that is too long")]
    Overflow,
    /// All of it is padding.
    #[error("a record without a type")]
    Untyped,
    /// Of a type that there is, in a place where it must not be.
    #[error("a message that is not expected")]
    Unexpected,
    /// A record of another type between the parts of a message.
    #[error("a record within a message of the handshake")]
    Interleaved,
    /// A type that there is not, or a message of a wrong length.
    #[error("a message that cannot be read")]
    Undecodable,
    /// A value that a field must not have.
    #[error("a message with a value that there is not")]
    IllegalValue,
    /// Longer than any message of a handshake.
    #[error("a handshake message that is too long")]
    MessageTooLong,
    /// One after the other.
    #[error("too many empty records")]
    EmptyRecords,
    /// Without any data between.
    #[error("too many key updates")]
    KeyUpdates,
    /// They mean nothing, and come again and again.
    #[error("too many warnings")]
    Warnings,
    /// The peer's own alert that says what it did not understand.
    #[error("the peer ended it with alert {0}")]
    AlertReceived(u8),
    /// A warning that TLS 1.3 does not know (§6).
    #[error("alert {0} as a warning")]
    WarningReceived(u8),
    /// Neither a warning nor fatal.
    #[error("alert {0} of a level that there is not")]
    AlertLevel(u8),
}

impl RecordError {
    /// What the peer is told. Floods, and what an alert of the peer's has ended, are not answered.
    pub fn alert(self) -> Option<Alert> {
        match self {
            RecordError::Header | RecordError::Undecodable | RecordError::WarningReceived(_) => {
                Some(Alert::DecodeError)
            }
            RecordError::Undecryptable => Some(Alert::BadRecordMac),
            RecordError::Overflow => Some(Alert::RecordOverflow),
            RecordError::Unexpected => Some(Alert::UnexpectedMessage),
            RecordError::IllegalValue | RecordError::AlertLevel(_) => Some(Alert::IllegalParameter),
            RecordError::Untyped
            | RecordError::Interleaved
            | RecordError::MessageTooLong
            | RecordError::EmptyRecords
            | RecordError::KeyUpdates
            | RecordError::Warnings
            | RecordError::AlertReceived(_) => None,
        }
    }
}

/// Bytes of the record at the start of `bytes`, header and all; `None` while its header is not
/// complete.
///
/// # Errors
/// No record begins so. It is said at the first byte that shows it.
pub fn record_bytes(bytes: &[u8]) -> Result<Option<usize>, RecordError> {
    if let Some(kind) = bytes.first()
        && !(20..=24).contains(kind)
    {
        return Err(RecordError::Header);
    }
    // §5.1: the version is ignored. rustls ignores those that it has a name for.
    if let Some(&[_, high, low]) = bytes.first_chunk()
        && !matches!((high, low), (3, _) | (0, 2) | (0xfe, 0xfc | 0xfd | 0xff))
    {
        return Err(RecordError::Header);
    }
    let Some(&[kind, _, _, high, low]) = bytes.first_chunk() else {
        return Ok(None);
    };
    let payload_bytes = usize::from(u16::from_be_bytes([high, low]));
    let is_data = kind == ContentType::ApplicationData as u8;
    if payload_bytes > PAYLOAD_BYTES_MAX || (payload_bytes == 0 && !is_data) {
        return Err(RecordError::Header);
    }
    Ok(Some(HEADER_BYTES + payload_bytes))
}

/// What one side has read of a connection, apart from its keys.
#[derive(Debug)]
pub struct RecordReader {
    /// The beginning of a message of the handshake, which goes on in the next record.
    message: [u8; KEY_UPDATE_BYTES],
    message_bytes: u8,
    /// Records without a byte since the last that had one.
    empty: u8,
    /// Since the last record of data.
    key_updates: u8,
    warnings: u8,
}

impl Default for RecordReader {
    fn default() -> RecordReader {
        RecordReader::new()
    }
}

impl RecordReader {
    /// Consecutive, as BoringSSL has it.
    pub const EMPTY_RECORDS_MAX: u8 = 32;
    /// Without data between, as BoringSSL has it.
    pub const KEY_UPDATES_MAX: u8 = 32;
    /// Of a connection, as BoringSSL has it.
    pub const WARNINGS_MAX: u8 = 4;

    /// Nothing was read.
    pub const fn new() -> RecordReader {
        RecordReader {
            message: [0; KEY_UPDATE_BYTES],
            message_bytes: 0,
            empty: 0,
            key_updates: 0,
            warnings: 0,
        }
    }

    /// Says why a record is not decrypted at all, whose header this is and whose payload follows:
    /// a change of ciphers, which no peer sends after the handshake (§5). One within a message is
    /// taken for a record that does not decrypt, as every other that is not encrypted.
    ///
    /// # Errors
    /// It is such a record.
    pub fn refuse_plain(&self, record: &[u8]) -> Result<(), RecordError> {
        let is_change = record.first() == Some(&(ContentType::ChangeCipherSpec as u8));
        match record.get(HEADER_BYTES..) {
            Some([1]) if is_change && self.message_bytes == 0 => Err(RecordError::Unexpected),
            Some(_) if is_change && self.message_bytes == 0 => Err(RecordError::Undecodable),
            _ => Ok(()),
        }
    }

    /// Reads what a record was decrypted to (§5.2): content, type, padding.
    ///
    /// # Errors
    /// The peer broke the protocol.
    pub fn read<'a>(&mut self, inner: &'a [u8]) -> Result<RecordContent<'a>, RecordError> {
        if inner.len() > PLAINTEXT_BYTES_MAX + 1 {
            return Err(RecordError::Overflow);
        }
        // §5.4: the last byte that is not zero is the type.
        let end = inner.iter().rposition(|&byte| byte != 0);
        let (kind, content) = match end {
            Some(end) => (inner[end], &inner[..end]),
            None => return Err(RecordError::Untyped),
        };
        if kind == ContentType::ChangeCipherSpec as u8 {
            return Err(RecordError::Unexpected);
        }
        if content.len() > PLAINTEXT_BYTES_MAX {
            return Err(RecordError::Overflow);
        }
        // §5.1: between the parts of a message there is nothing else.
        if self.message_bytes > 0 && kind != ContentType::Handshake as u8 {
            return Err(RecordError::Interleaved);
        }
        self.empty = match content.is_empty() {
            true if self.empty == Self::EMPTY_RECORDS_MAX => return Err(RecordError::EmptyRecords),
            true => self.empty + 1,
            false => 0,
        };
        match kind {
            kind if kind == ContentType::ApplicationData as u8 => {
                self.key_updates = 0;
                Ok(RecordContent::Data(content))
            }
            kind if kind == ContentType::Alert as u8 => self.read_alert(content),
            kind if kind == ContentType::Handshake as u8 => self.read_message(content),
            _ => Err(RecordError::Undecodable),
        }
    }

    fn read_alert(&mut self, content: &[u8]) -> Result<RecordContent<'static>, RecordError> {
        let &[level, description] = content else {
            return Err(RecordError::Undecodable);
        };
        match level {
            LEVEL_WARNING | LEVEL_FATAL if description == Alert::CloseNotify as u8 => {
                Ok(RecordContent::Closed)
            }
            LEVEL_WARNING if self.warnings == Self::WARNINGS_MAX => Err(RecordError::Warnings),
            LEVEL_WARNING => {
                self.warnings += 1;
                match description {
                    // §6.1: it is followed by a close_notify.
                    DESCRIPTION_USER_CANCELED => Ok(RecordContent::Nothing),
                    _ => Err(RecordError::WarningReceived(description)),
                }
            }
            LEVEL_FATAL => Err(RecordError::AlertReceived(description)),
            _ => Err(RecordError::AlertLevel(description)),
        }
    }

    /// A key update is the only message that a client sends after the handshake, and five bytes
    /// long. So every other is refused at its header, and no more is kept than one.
    fn read_message(&mut self, mut content: &[u8]) -> Result<RecordContent<'static>, RecordError> {
        let begun = usize::from(self.message_bytes);
        let taken = content.len().min(KEY_UPDATE_BYTES - begun);
        self.message[begun..begun + taken].copy_from_slice(&content[..taken]);
        self.message_bytes += taken as u8;
        content = &content[taken..];
        if usize::from(self.message_bytes) < MESSAGE_HEADER_BYTES {
            return Ok(RecordContent::Nothing);
        }
        let [kind, lengths @ .., request] = self.message;
        match lengths {
            [1..=255, _, _] => return Err(RecordError::MessageTooLong),
            _ if kind != MESSAGE_KEY_UPDATE => return Err(RecordError::Unexpected),
            [0, 0, 1] => {}
            _ => return Err(RecordError::Undecodable),
        }
        if usize::from(self.message_bytes) < KEY_UPDATE_BYTES {
            return Ok(RecordContent::Nothing);
        }
        // §5.1: what follows is under another key, so it stands in another record.
        if !content.is_empty() {
            return Err(RecordError::Unexpected);
        }
        if self.key_updates == Self::KEY_UPDATES_MAX {
            return Err(RecordError::KeyUpdates);
        }
        self.key_updates += 1;
        self.message_bytes = 0;
        match request {
            0 => Ok(RecordContent::KeyUpdate(KeyUpdate::NotRequested)),
            1 => Ok(RecordContent::KeyUpdate(KeyUpdate::Requested)),
            _ => Err(RecordError::IllegalValue),
        }
    }
}

const LEVEL_WARNING: u8 = 1;
const LEVEL_FATAL: u8 = 2;
const DESCRIPTION_USER_CANCELED: u8 = 90;
const MESSAGE_KEY_UPDATE: u8 = 24;
/// Type and length (§4).
const MESSAGE_HEADER_BYTES: usize = 4;
const KEY_UPDATE_BYTES: usize = 5;
