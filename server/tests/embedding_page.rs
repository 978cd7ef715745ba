//! What a newcomer copies from `docs/embedding.md` into a `Cargo.toml` is all that the page's code
//! uses, in versions that this repository builds with. (The code itself compiles as doc-tests.)

use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../docs/embedding.md");
const LOCK: &str = include_str!("../../Cargo.lock");

/// The first fenced block in this language.
fn blocks(language: &str) -> impl Iterator<Item = &'static str> {
    let is_of = move |block: &&str| block.lines().next().unwrap_or("").starts_with(language);
    let fenced = PAGE.split("```").skip(1).step_by(2);
    fenced
        .filter(is_of)
        .map(|block| block.split_once('\n').expect("a first line").1)
}

/// Names with their versions, where the page gives one.
fn dependencies() -> Vec<(&'static str, Option<&'static str>)> {
    let first = blocks("toml").next().expect("the page has one");
    let lines = first.lines().filter_map(|line| line.split_once(" = "));
    let quoted = |text: &'static str| text.split('"').nth(1);
    lines
        .map(|(name, value)| match value.split_once("version = ") {
            Some((_, version)) => (name, quoted(version)),
            None if value.starts_with('"') => (name, quoted(value)),
            None => (name, None),
        })
        .collect()
}

#[test]
fn every_crate_that_the_page_uses_is_among_its_dependencies() {
    let names = dependencies().into_iter().map(|(name, _)| name);
    let listed: BTreeSet<String> = names.map(|name| name.replace('-', "_")).collect();
    let mut used = BTreeSet::new();
    for line in blocks("rust").flat_map(str::lines) {
        let path = line.trim_start().strip_prefix("use ");
        let attribute = line.trim_start().strip_prefix("#[");
        let path = path.or(attribute).unwrap_or(line.trim_start());
        let Some((root, _)) = path.split_once("::") else {
            continue;
        };
        if root.chars().all(|c| c.is_ascii_lowercase() || c == '_') && root != "std" {
            used.insert(root.to_owned());
        }
    }
    assert!(
        used.contains("shardcast") && used.contains("tokio"),
        "{used:?}"
    );
    let missing: Vec<_> = used.difference(&listed).collect();
    assert!(
        missing.is_empty(),
        "{missing:?} of {used:?}, listed: {listed:?}"
    );
}

#[test]
fn the_versions_are_those_that_the_lock_file_has() {
    let versions = dependencies().into_iter();
    let versions: Vec<_> = versions
        .filter_map(|(name, version)| Some((name, version?)))
        .collect();
    assert!(versions.len() > 3, "{versions:?}");
    for (name, version) in versions {
        let entry = format!("\nname = \"{name}\"\nversion = \"{version}.");
        assert!(LOCK.contains(&entry), "{name} {version}");
    }
}
