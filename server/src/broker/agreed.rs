//! A hash that all nodes of a cluster agree on, of all versions and on all machines: by it they
//! choose streams, partitions and who of them does something.

/// FNV-1a of 64 bits.
pub(crate) fn agreed_hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    let bytes = bytes.into_iter();
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The same with bits that all depend on all others, as MurmurHash3 ends: FNV's low ones of names
/// that are alike do not.
pub(crate) fn mixed(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of the algorithm's authors.
    #[test]
    fn it_is_what_all_others_compute() {
        assert_eq!(agreed_hash([]), 0xcbf2_9ce4_8422_2325);
        assert_eq!(agreed_hash(*b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(agreed_hash(*b"foobar"), 0x8594_4171_f739_67e8);
    }
}
