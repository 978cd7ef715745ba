//! Files and streams that are read whole, and no further than a length: configuration, secrets,
//! keys, sets of keys, and what the admin port keeps.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Reads a file that has at most so many bytes.
///
/// # Errors
/// It is longer, or cannot be read. The error does not name the file.
pub(crate) fn read_file(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    read_all(File::open(path)?, bytes_max)
}

/// Reads to the end, which comes after at most so many bytes.
///
/// # Errors
/// It does not, or reading fails.
pub(crate) fn read_all(from: impl Read, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let length = from.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if length as u64 > bytes_max {
        let why = format!("it is longer than {bytes_max} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_told_apart_from_what_fits() {
        for (length, bytes_max, fits) in [(0, 0, true), (3, 3, true), (4, 3, false)] {
            let bytes = vec![b'x'; length];
            let read = read_all(&bytes[..], bytes_max);
            assert_eq!(read.is_ok(), fits, "{length} of {bytes_max}");
            if let Err(error) = read {
                assert_eq!(error.to_string(), "it is longer than 3 bytes");
            }
        }
        // A device without an end ends here.
        let endless = read_file(Path::new("/dev/zero"), 1 << 16);
        let kind = endless.expect_err("no end").kind();
        assert_eq!(kind, io::ErrorKind::FileTooLarge);
    }
}
