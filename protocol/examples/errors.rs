//! Writes `docs/errors.md` from the table of codes.

fn main() -> std::io::Result<()> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md");
    std::fs::write(path, shardcast_protocol::problem::markdown())
}
