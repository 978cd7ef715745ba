//! The data of publications. Made by embedders, held by `topic/publication.rs`.

/// The data of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data<'a> {
    /// UTF-8 text.
    Text(&'a str),
    /// Binary.
    Binary(&'a [u8]),
}

impl<'a> Data<'a> {
    /// Its bytes.
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Data::Text(text) => text.as_bytes(),
            Data::Binary(bytes) => bytes,
        }
    }
}

/// How the data of a publication is written: an index that only the application gives a meaning to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DataEncoding(pub u8);
