//! permessage-deflate at the boundary of the crate: negotiation, inflating and deflating against
//! zlib, the reader of a connection that agreed, and clients that keep a window against what was
//! agreed.

mod may_refer;
mod negotiation;
mod reader;
mod streams;

/// JSON as people send it, different for every seed.
fn json(bytes: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut text = String::from(r#"{"type":"message","room":"café","data":["#);
    while text.len() < bytes {
        let (id, x) = (random.u32(..100_000), random.f64());
        text += &format!(r#"{{"id":{id},"x":{x:.3},"text":"hello {id}"}},"#);
    }
    text.truncate(text.floor_char_boundary(bytes));
    text.into_bytes()
}

/// The flush's tail, which is not sent.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// A message compressed by zlib with a sync flush, as most peers do.
fn zlib(compress: &mut flate2::Compress, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() * 2 + 100);
    let status = compress.compress_vec(message, &mut out, flate2::FlushCompress::Sync);
    assert!(status.is_ok() && out.ends_with(&TAIL));
    out.truncate(out.len() - TAIL.len());
    out
}

fn zlib_once(message: &[u8]) -> Vec<u8> {
    zlib(
        &mut flate2::Compress::new(flate2::Compression::default(), false),
        message,
    )
}

/// What a peer with zlib makes of a payload: it inflates the bytes and the tail, and goes on with
/// the same stream. Many peers do (undici, Tornado, Beast, aiohttp before 3.14), and a final block
/// would end it for good.
fn unzlib(decompress: &mut flate2::Decompress, payload: &[u8]) -> Vec<u8> {
    let input = [payload, &TAIL].concat();
    let mut out = Vec::with_capacity(1 << 20);
    let before = decompress.total_in();
    let status = decompress
        .decompress_vec(&input, &mut out, flate2::FlushDecompress::Sync)
        .unwrap();
    assert_eq!(status, flate2::Status::Ok, "a final block");
    assert_eq!(decompress.total_in() - before, input.len() as u64);
    out
}
