//! The README's example is the example that is built.

use std::fs;
use std::path::Path;

#[test]
fn the_readme_shows_the_chat_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = fs::read_to_string(root.join("README.md")).expect("a README");
    let example = fs::read_to_string(root.join("engine/examples/chat.rs")).expect("the example");
    let (_, example) = example
        .split_once("#![forbid(unsafe_code)]\n\n")
        .expect("its header");
    assert!(
        readme.contains(&format!("```rust\n{example}```")),
        "README.md shows another program"
    );
}
