//! The tidy test: reads every source file of the workspace and refuses what CONTRIBUTING.md rules
//! out. It looks at tokens, so strings and comments never count. Exceptions stand by name, with a
//! reason, in [`EXCEPTIONS`]; one that is no longer needed fails too.

#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/tokens.rs"]
mod tokens;

use imports::Source;
use proc_macro2::TokenStream;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use tokens::{Token, body, closing, contains, flatten, positions, test_modules};

/// Lines outside `#[cfg(test)]` modules.
const FILE_LINES_MAX: usize = 500;
/// From the signature to the closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// Of a comment, its indentation included.
const COMMENT_COLUMNS_MAX: usize = 100;

/// Where a rule does not hold: rule, file (or a folder, ending in `/`), reason.
const EXCEPTIONS: &[(Rule, &str, &str)] = &[
    (
        Rule::Unsafe,
        "engine/src/allocator.rs",
        "asks the allocators to give memory back, for which there is no safe interface",
    ),
    (
        Rule::Unsafe,
        "engine/src/driver/uring.rs",
        "pushes entries whose memory the driver keeps",
    ),
    (
        Rule::Unsafe,
        "engine/src/driver/uring/accept.rs",
        "reads the address that the kernel wrote",
    ),
    (
        Rule::Unsafe,
        "engine/src/driver/uring/buffers.rs",
        "owns the memory that the kernel receives into",
    ),
    (
        Rule::Unsafe,
        "engine/src/driver/uring/capabilities.rs",
        "submits to a ring in order to test it",
    ),
    (
        Rule::Unsafe,
        "engine/src/driver/uring/ring.rs",
        "submission entries point at memory that the kernel reads",
    ),
    (
        Rule::Unsafe,
        "engine/src/driver/uring/ring_set.rs",
        "arms accepts, which point at the address that the kernel writes",
    ),
    (
        Rule::Unsafe,
        "engine/src/driver/uring/waking.rs",
        "arms a receive on a ring of its own, to find out whether that wakes another",
    ),
    (
        Rule::Unsafe,
        "engine/tests/allocations/counting.rs",
        "an allocator that counts: GlobalAlloc is an unsafe trait, and the standard library counts nothing",
    ),
    (
        Rule::Clock,
        "engine/src/driver/uring.rs",
        "where time enters: once a tick, with the completions",
    ),
    (
        Rule::Clock,
        "engine/src/driver/portable.rs",
        "where time enters: once a tick, with the completions",
    ),
    (
        Rule::Clock,
        "engine/src/run/drain.rs",
        "the drain's deadline, on the caller's thread",
    ),
    (
        Rule::Clock,
        "engine/src/run/supervision.rs",
        "how often shards were restarted, and how long one waits for the others: between two lives",
    ),
    (
        Rule::Clock,
        "engine/src/topic/traces.rs",
        "when steps of traces begin and end: read for publications that are recorded, which are few",
    ),
    (
        Rule::Lock,
        "engine/src/run/supervision.rs",
        "the restarts of all shards: locked where one has panicked",
    ),
    (
        Rule::Clock,
        "engine/src/run/watch.rs",
        "for how long a shard is stuck, on the watcher's thread",
    ),
    (
        Rule::Lock,
        "engine/src/run/handle.rs",
        "a shard's waker, which a restart replaces: other threads look at it, for a shard that sleeps",
    ),
    (
        Rule::Lock,
        "engine/src/topic/busiest.rs",
        "what the last window had, for other threads: tried once in ten seconds, and never waited for",
    ),
    (
        Rule::Platform,
        "engine/src/driver/contract/",
        "runs the tests of the contract on every driver",
    ),
    (
        Rule::Platform,
        "engine/src/driver.rs",
        "says which platform an engine runs on unless told otherwise",
    ),
    (
        Rule::Platform,
        "engine/src/driver/uring.rs",
        "is the platform",
    ),
    (
        Rule::Platform,
        "engine/src/driver/uring/",
        "is the platform",
    ),
    (
        Rule::BoolParameter,
        "protocol/src/dialect/push.rs",
        "appends a value that is true or false",
    ),
    (
        Rule::FunctionLines,
        "protocol/tests/dialect/native_json.rs",
        "a table with a row per refusal, which rustfmt spreads",
    ),
    (
        Rule::FunctionLines,
        "protocol/tests/native_validity.rs",
        "a table with a row per invalid value, which rustfmt spreads",
    ),
];

const BANNED_NAMES: &[&str] = &[
    "util", "utils", "helper", "helpers", "common", "manager", "managers", "misc",
];

/// Token sequences that the engine does without: a shard has no clock, no lock and no queue without
/// an end.
const ENGINE_BANS: &[(Rule, &[&str])] = &[
    (Rule::Clock, &["Instant", "::", "now"]),
    (Rule::Clock, &["SystemTime"]),
    (Rule::Clock, &["thread", "::", "sleep"]),
    (Rule::Lock, &["Mutex"]),
    (Rule::Lock, &["RwLock"]),
    (Rule::Lock, &["Condvar"]),
    (Rule::UnboundedQueue, &["unbounded"]),
    (Rule::UnboundedQueue, &["unbounded_channel"]),
    (Rule::UnboundedQueue, &["mpsc", "::", "channel"]),
    // An engine runs on any platform.
    (Rule::Platform, &["uring"]),
    (Rule::Platform, &["io_uring"]),
];

/// Which packages of the workspace a package may name in its Cargo.toml; the first prefix of the
/// folder that fits decides.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    // Every package's tests wait with it, so it knows none.
    ("tests/patience", &[]),
    ("tests/seeds", &[]),
    (
        "engine",
        &[
            "shardcast-protocol",
            "shardcast-patience",
            "shardcast-seeds",
        ],
    ),
    (
        "server",
        &[
            "shardcast-engine",
            "shardcast-protocol",
            "shardcast-patience",
            "shardcast-seeds",
        ],
    ),
    ("client", &["shardcast-protocol", "shardcast-patience"]),
    // Parsers of the product are tried, too.
    (
        "tools/trials",
        &["shardcast", "shardcast-protocol", "shardcast-patience"],
    ),
    // The ruler is not made from the thing measured.
    ("tools/", &["shardcast-protocol", "shardcast-patience"]),
    ("fuzz", &["shardcast-trials"]),
    // A peer that is compared with us owes us nothing.
    ("bench/peers/", &[]),
    (
        "bench",
        &[
            "shardcast-client",
            "shardcast-engine",
            "shardcast-protocol",
            "shardcast-load",
            "shardcast-patience",
            "shardcast",
        ],
    ),
    (
        "tests",
        &[
            "shardcast-bench",
            "shardcast-client",
            "shardcast-engine",
            "shardcast-protocol",
            "shardcast-load",
            "shardcast-patience",
            "shardcast-seeds",
            "shardcast",
        ],
    ),
];

const REQUIRED_FILES: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "tuning.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "deny.toml",
    "clippy.toml",
    ".ci/run",
    "tests/run",
    "fuzz/run",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rule {
    Header,
    FileLines,
    FunctionLines,
    Unsafe,
    ForbidUnsafe,
    Name,
    Clock,
    Lock,
    UnboundedQueue,
    Platform,
    Unfinished,
    MachinePath,
    Import,
    Circle,
    TypeName,
    CommentColumns,
    BoolParameter,
}

#[test]
fn the_workspace_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package stands in the workspace");
    let mut findings = Findings::default();
    let mut sources: BTreeMap<String, Vec<(String, Vec<Token>)>> = BTreeMap::new();
    for path in files(root) {
        let name = path
            .strip_prefix(root)
            .expect("found below the root")
            .to_string_lossy()
            .replace('\\', "/");
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        check_machine_paths(&name, &text, &mut findings);
        if name.ends_with("Cargo.toml") {
            check_imports(&name, &text, &mut findings);
        } else if name.ends_with(".rs") {
            let tokens = check_source(&name, &text, &mut findings);
            if let Some((folder, _)) = name.split_once("/src/") {
                let sources = sources.entry(folder.to_owned()).or_default();
                sources.push((name.clone(), tokens));
            }
        }
    }
    for sources in sources.values() {
        check_crate(sources, &mut findings);
    }
    for file in REQUIRED_FILES {
        if !root.join(file).is_file() {
            findings
                .lines
                .push(format!("{file}: required, but missing"));
        }
    }
    findings.stale_exceptions(root);
    assert!(
        findings.lines.is_empty(),
        "{} findings:\n{}",
        findings.lines.len(),
        findings.lines.join("\n")
    );
}

/// What was found, and which exceptions were of use.
#[derive(Default)]
struct Findings {
    lines: Vec<String>,
    used: RefCell<BTreeSet<usize>>,
}

impl Findings {
    fn add(&mut self, rule: Rule, file: &str, line: usize, what: &str) {
        if !self.excepted(rule, file) {
            self.lines.push(format!("{file}:{line}: {rule:?}: {what}"));
        }
    }

    fn excepted(&self, rule: Rule, file: &str) -> bool {
        let fits = |place: &str| place == file || (place.ends_with('/') && file.starts_with(place));
        let found = EXCEPTIONS
            .iter()
            .position(|&(of, place, _)| of == rule && fits(place));
        self.used.borrow_mut().extend(found);
        found.is_some()
    }

    fn stale_exceptions(&mut self, root: &Path) {
        for (index, (rule, place, _)) in EXCEPTIONS.iter().enumerate() {
            if !root.join(place).exists() || !self.used.borrow().contains(&index) {
                self.lines.push(format!(
                    "{place}: the exception from {rule:?} is not needed"
                ));
            }
        }
    }
}

/// Every text file that could be tracked; build output and version control are left out.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a readable folder").flatten() {
            let (path, name) = (
                entry.path(),
                entry.file_name().to_string_lossy().into_owned(),
            );
            match path.is_dir() {
                // In a second work tree of the same repository it is a file.
                _ if name == ".git" => {}
                true if name == "target" || name == "node_modules" => {}
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    found
}

fn check_machine_paths(file: &str, text: &str, findings: &mut Findings) {
    if file.starts_with(".ci/") || file.starts_with("tests/") {
        return;
    }
    for (number, line) in text.lines().enumerate() {
        for banned in ["/work/", "../shared", "/tmp/w/"] {
            if line.contains(banned) {
                findings.add(
                    Rule::MachinePath,
                    file,
                    number + 1,
                    &format!("names {banned}"),
                );
            }
        }
    }
}

fn check_imports(file: &str, text: &str, findings: &mut Findings) {
    let folder = file.strip_suffix("/Cargo.toml").unwrap_or("");
    if folder.is_empty() {
        return;
    }
    let Some((_, allowed)) = MAY_IMPORT
        .iter()
        .find(|(prefix, _)| folder == *prefix || folder.starts_with(prefix))
    else {
        findings.add(
            Rule::Import,
            file,
            1,
            "the package has no row in MAY_IMPORT",
        );
        return;
    };
    // A package names itself to test with another of its features.
    let own = text.lines().find_map(|line| line.strip_prefix("name = "));
    let own = own.map_or("", |name| name.trim_matches('"'));
    for name in imports(text).into_iter().filter(|name| name != own) {
        if name.starts_with("shardcast") && !allowed.contains(&name.as_str()) {
            findings.add(Rule::Import, file, 1, &format!("may not depend on {name}"));
        }
    }
}

/// The packages named in any dependency table.
fn imports(manifest: &str) -> Vec<String> {
    let mut in_dependencies = false;
    let mut names = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            in_dependencies = table.ends_with("dependencies");
            // [dependencies.name]
            names.extend(
                table
                    .split_once("dependencies.")
                    .map(|(_, name)| name.to_owned()),
            );
        } else if in_dependencies && !line.starts_with('#') {
            names.extend(
                line.split_once(['=', '.', ' '])
                    .map(|(name, _)| name.trim().to_owned()),
            );
        }
    }
    names
}

fn check_source(file: &str, text: &str, findings: &mut Findings) -> Vec<Token> {
    let first = text
        .lines()
        .find(|line| !line.starts_with("#!"))
        .unwrap_or("");
    if !first.starts_with("//!") {
        findings.add(
            Rule::Header,
            file,
            1,
            "the first line says what the file owns: //! …",
        );
    }
    check_names(file, findings);
    let tokens = match text.parse::<TokenStream>() {
        Ok(stream) => flatten(stream),
        Err(error) => panic!("{file}: {error}"),
    };
    let tests = test_modules(&tokens);
    let is_test_file = file
        .split('/')
        .any(|part| part == "tests" || part == "tests.rs");
    let lines = text.lines().count() - tests.iter().map(|module| module.lines.len()).sum::<usize>();
    if lines > FILE_LINES_MAX && !is_test_file {
        findings.add(
            Rule::FileLines,
            file,
            1,
            &format!("{lines} lines outside tests, at most {FILE_LINES_MAX}"),
        );
    }
    check_functions(file, &tokens, findings);
    check_tokens(file, &tokens, findings);
    let is_root = ["src/lib.rs", "src/main.rs"]
        .iter()
        .any(|end| file.ends_with(end))
        || file.contains("/src/bin/");
    if is_root
        && !file.starts_with("engine/")
        && !contains(&tokens, &["forbid", "(", "unsafe_code", ")"])
    {
        findings.add(
            Rule::ForbidUnsafe,
            file,
            1,
            "#![forbid(unsafe_code)] is missing",
        );
    }
    if file.starts_with("engine/src/") {
        for &(rule, words) in ENGINE_BANS {
            let outside_tests =
                |index: &usize| !tests.iter().any(|module| module.tokens.contains(index));
            for index in positions(&tokens, words).filter(outside_tests) {
                findings.add(rule, file, tokens[index].line, &words.concat());
            }
        }
    }
    check_comments(file, text, findings);
    if file.contains("/src/") {
        check_parameters(file, &tokens, findings);
    }
    tokens
}

/// A line that is one long word, such as an address, cannot be broken.
fn check_comments(file: &str, text: &str, findings: &mut Findings) {
    for (number, line) in text.lines().enumerate() {
        let is_comment = line.trim_start().starts_with("//");
        let columns = line.chars().count();
        if is_comment && columns > COMMENT_COLUMNS_MAX && line.split_whitespace().count() > 2 {
            let what = format!("{columns} columns, at most {COMMENT_COLUMNS_MAX}");
            findings.add(Rule::CommentColumns, file, number + 1, &what);
        }
    }
}

fn check_parameters(file: &str, tokens: &[Token], findings: &mut Findings) {
    let tests = test_modules(tokens);
    for start in positions(tokens, &["fn"]) {
        let words = ["const", "async", "unsafe"];
        let before = tokens[..start].iter().rev();
        let visibility = before
            .map(|token| token.text.as_str())
            .find(|word| !words.contains(word));
        if visibility != Some("pub") || tests.iter().any(|test| test.tokens.contains(&start)) {
            continue;
        }
        let Some(open) = (start..tokens.len()).find(|at| tokens[*at].text == "(") else {
            continue;
        };
        let parameters = &tokens[open..closing(tokens, open)];
        if contains(parameters, &[":", "bool"]) {
            let what = format!("fn {} takes a bool", tokens[start + 1].text);
            findings.add(Rule::BoolParameter, file, tokens[start].line, &what);
        }
    }
}

/// What holds for all files of a crate together: none import each other, directly or around a
/// circle, and a type name exists once.
fn check_crate(files: &[(String, Vec<Token>)], findings: &mut Findings) {
    let sources = files.iter().map(|(file, tokens)| Source { file, tokens });
    let sources: Vec<Source<'_>> = sources.collect();
    for circle in imports::circles(&sources) {
        let what = format!("import each other: {}", circle.join(", "));
        findings.add(Rule::Circle, &circle[0], 1, &what);
    }
    let mut known: BTreeMap<&str, &str> = BTreeMap::new();
    let tests = imports::test_sources(&sources);
    for (file, tokens) in files
        .iter()
        .filter(|(file, _)| !tests.contains(file.as_str()))
    {
        for at in type_names(tokens) {
            let name = tokens[at].text.as_str();
            if let Some(other) = known.insert(name, file) {
                let what = format!("{name} is a type of {other}, too");
                findings.add(Rule::TypeName, file, tokens[at].line, &what);
            }
        }
    }
}

fn is_name(tokens: &[Token], index: usize) -> bool {
    let first = tokens
        .get(index)
        .and_then(|token| token.text.chars().next());
    first.is_some_and(char::is_alphabetic)
}

/// Where types are named that are declared at the top of a file.
fn type_names(tokens: &[Token]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        match tokens[index].text.as_str() {
            "(" | "[" | "{" => index = closing(tokens, index) + 1,
            "struct" | "enum" | "trait" | "union" | "type" if is_name(tokens, index + 1) => {
                found.push(index + 1);
                index += 2;
            }
            _ => index += 1,
        }
    }
    found
}

fn check_names(file: &str, findings: &mut Findings) {
    for part in file.split('/') {
        let stem = part.strip_suffix(".rs").unwrap_or(part);
        if BANNED_NAMES.contains(&stem) {
            findings.add(Rule::Name, file, 1, &format!("`{stem}` says nothing"));
        }
    }
}

fn check_functions(file: &str, tokens: &[Token], findings: &mut Findings) {
    for start in positions(tokens, &["fn"]) {
        // A pointer type (`fn(u8)`) has no name and no body.
        if tokens.get(start + 1).is_none_or(|name| name.text == "(") {
            continue;
        }
        let Some(open) = body(tokens, start) else {
            continue;
        };
        let lines = tokens[closing(tokens, open)].line + 1 - tokens[start].line;
        if lines > FUNCTION_LINES_MAX {
            let what = format!(
                "fn {} has {lines} lines, at most {FUNCTION_LINES_MAX}",
                tokens[start + 1].text
            );
            findings.add(Rule::FunctionLines, file, tokens[start].line, &what);
        }
    }
}

fn check_tokens(file: &str, tokens: &[Token], findings: &mut Findings) {
    for index in positions(tokens, &["unsafe"]) {
        findings.add(
            Rule::Unsafe,
            file,
            tokens[index].line,
            "unsafe stands only in the engine's listed files",
        );
    }
    for words in [
        &["todo", "!"][..],
        &["unimplemented", "!"],
        &["#", "[", "ignore"],
    ] {
        for index in positions(tokens, words) {
            findings.add(Rule::Unfinished, file, tokens[index].line, &words.concat());
        }
    }
    for banned in BANNED_NAMES {
        for index in positions(tokens, &["mod", banned]) {
            findings.add(
                Rule::Name,
                file,
                tokens[index].line,
                &format!("`{banned}` says nothing"),
            );
        }
    }
}

fn findings_of(file: &str, text: &str) -> Vec<String> {
    let mut findings = Findings::default();
    check_source(file, text, &mut findings);
    findings.lines
}

/// A file, its text, and what is found in it.
const CASES: &[(&str, &str, &[&str])] = &[
    (
        "engine/src/a.rs",
        "//! H\nfn f() { let s = \"unsafe todo!()\"; } // unsafe\n",
        &[],
    ),
    (
        "engine/src/a.rs",
        "fn f() {}\n",
        &["engine/src/a.rs:1: Header: the first line says what the file owns: //! …"],
    ),
    (
        "engine/src/a.rs",
        "//! H\nfn f() { unsafe { g() } }\n",
        &["engine/src/a.rs:2: Unsafe: unsafe stands only in the engine's listed files"],
    ),
    (
        "engine/src/a.rs",
        "//! H\nfn f() {\n todo!() }\n",
        &["engine/src/a.rs:3: Unfinished: todo!"],
    ),
    (
        "engine/src/a.rs",
        "//! H\n#[ignore = \"slow\"]\nfn f() {}\n",
        &["engine/src/a.rs:2: Unfinished: #[ignore"],
    ),
    (
        "engine/src/a.rs",
        "//! H\nfn f() { Instant::now(); }\n",
        &["engine/src/a.rs:2: Clock: Instant::now"],
    ),
    (
        "engine/src/a.rs",
        "//! H\n#[cfg(test)]\nmod tests { fn f() { Instant::now(); } }\n",
        &[],
    ),
    (
        "engine/src/a.rs",
        "//! H\n#[cfg(test)]\nfn f() { Instant::now(); }\n",
        &["engine/src/a.rs:3: Clock: Instant::now"],
    ),
    (
        "server/src/a.rs",
        "//! H\nfn f() { Instant::now(); }\n",
        &[],
    ),
    (
        "engine/src/a.rs",
        "//! H\nuse std::sync::Mutex;\n",
        &["engine/src/a.rs:2: Lock: Mutex"],
    ),
    (
        "engine/src/a.rs",
        "//! H\npub(crate) fn f(a: bool) {}\npub const fn g(a: &str, b: bool) {}\npub fn h(i: impl Fn() -> bool) {}\n",
        &["engine/src/a.rs:3: BoolParameter: fn g takes a bool"],
    ),
    (
        "tools/load/src/a.rs",
        "//! H\npub fn f(a: bool) {}\n#[cfg(test)]\npub(crate) mod tests { pub fn g(a: bool) {} }\n",
        &["tools/load/src/a.rs:2: BoolParameter: fn f takes a bool"],
    ),
    ("tests/tests/a.rs", "//! H\npub fn f(a: bool) {}\n", &[]),
    (
        "engine/src/utils.rs",
        "//! H\n",
        &["engine/src/utils.rs:1: Name: `utils` says nothing"],
    ),
    (
        "engine/src/a.rs",
        "//! H\nmod helpers {}\n",
        &["engine/src/a.rs:2: Name: `helpers` says nothing"],
    ),
    (
        "server/src/main.rs",
        "//! H\n",
        &["server/src/main.rs:1: ForbidUnsafe: #![forbid(unsafe_code)] is missing"],
    ),
    (
        "server/src/main.rs",
        "//! H\n#![forbid(unsafe_code)]\n",
        &[],
    ),
];

#[test]
fn each_rule_can_fail() {
    for (file, text, expected) in CASES {
        assert_eq!(findings_of(file, text), *expected, "{file}: {text}");
    }
}

#[test]
fn comments_are_narrow() {
    for (columns, found) in [(100, 0), (101, 1)] {
        let text = format!("//! H\n// two {}\n", "a".repeat(columns - "// two ".len()));
        for file in [
            "engine/src/a.rs",
            "bench/peers/a/src/a.rs",
            "tests/tests/a.rs",
        ] {
            assert_eq!(findings_of(file, &text).len(), found, "{file}: {text}");
        }
    }
    let address = format!("//! H\n// https://{}\n", "a".repeat(120));
    assert_eq!(findings_of("engine/src/a.rs", &address), [""; 0]);
}

fn findings_in_crate(files: &[(&str, &str)]) -> Vec<String> {
    let parse = |text: &str| flatten(text.parse::<TokenStream>().unwrap());
    let files = files
        .iter()
        .map(|(file, text)| (format!("engine/src/{file}"), parse(text)));
    let mut findings = Findings::default();
    check_crate(&files.collect::<Vec<_>>(), &mut findings);
    findings.lines
}

#[test]
fn circles_are_found_through_exports_and_not_through_tests() {
    let lib = ("lib.rs", "mod a; mod b; pub use a::A; pub use b::B;");
    let one_way = [
        lib,
        ("a.rs", "use crate::B; struct A(B);"),
        ("b.rs", "struct B;"),
    ];
    assert_eq!(findings_in_crate(&one_way), [""; 0]);
    let circle = "engine/src/a.rs:1: Circle: import each other: engine/src/a.rs, engine/src/b.rs";
    for back in [
        "use crate::A; struct B(A);",
        "struct B(super::a::A);",
        "use crate::{a::A as Other};",
    ] {
        let files = [lib, ("a.rs", "use crate::B; struct A(B);"), ("b.rs", back)];
        assert_eq!(findings_in_crate(&files), [circle], "{back}");
    }
    for visibility in ["", "pub ", "pub(crate) ", "pub(in crate::b) "] {
        let tested = format!("struct B; #[cfg(test)] {visibility}mod tests {{ use crate::A; }}");
        let files = [
            lib,
            ("a.rs", "use crate::B; struct A(B);"),
            ("b.rs", &tested),
        ];
        assert_eq!(findings_in_crate(&files), [""; 0], "{tested}");
    }
    // What stands behind a test's own import is no test.
    let imported = "struct B; #[cfg(test)] use std::fmt; mod c { use crate::A; }";
    let files = [
        lib,
        ("a.rs", "use crate::B; struct A(B);"),
        ("b.rs", imported),
    ];
    assert_eq!(findings_in_crate(&files), [circle]);
    let captured = "struct B; fn f<'b>() -> impl Sized + use<'b> { g(|| { 1; 2 }) }";
    let files = [
        lib,
        ("a.rs", "use crate::B; struct A(B);"),
        ("b.rs", captured),
    ];
    assert_eq!(findings_in_crate(&files), [""; 0]);
    let parent = [
        ("lib.rs", "mod a;"),
        ("a.rs", "pub use c::C; struct A(C); mod c;"),
        ("a/c.rs", "use super::A; pub struct C;"),
    ];
    let circle = "engine/src/a.rs:1: Circle: import each other: engine/src/a.rs, engine/src/a/c.rs";
    assert_eq!(findings_in_crate(&parent), [circle]);
}

#[test]
fn a_type_has_its_name_for_itself() {
    let files = [
        (
            "a.rs",
            "struct Same; impl T for Same { type Lease = u8; } mod tests { struct Local; }",
        ),
        ("b.rs", "enum Same {} fn f() { struct Local; }"),
        ("a/tests.rs", "struct Same;"),
    ];
    let expected = "engine/src/b.rs:1: TypeName: Same is a type of engine/src/a.rs, too";
    assert_eq!(findings_in_crate(&files), [expected]);
}

#[test]
fn sizes_are_limited() {
    let lines = FUNCTION_LINES_MAX - 1;
    let function = format!("//! H\nfn long() {{\n{}}}\n", "    f();\n".repeat(lines));
    let expected = ["server/src/a.rs:2: FunctionLines: fn long has 71 lines, at most 70"];
    assert_eq!(findings_of("server/src/a.rs", &function), expected);
    let file = format!("//! H\n{}", "const A: u8 = 1;\n".repeat(FILE_LINES_MAX));
    let expected = ["server/src/a.rs:1: FileLines: 501 lines outside tests, at most 500"];
    assert_eq!(findings_of("server/src/a.rs", &file), expected);
    assert_eq!(findings_of("server/src/a/tests.rs", &file), [""; 0]);
    let tested = format!("{}#[cfg(test)]\nmod tests {{}}\n", &file[..file.len() - 17]);
    assert_eq!(findings_of("server/src/a.rs", &tested), [""; 0]);
}

#[test]
fn imports_are_read_from_every_dependency_table() {
    let manifest = "[package]\nname = \"shardcast-x\"\n[dependencies]\n# shardcast-a = 1\nshardcast-b.workspace = true\nserde = \"1\"\n\
                    [target.'cfg(loom)'.dev-dependencies]\nshardcast-c = { path = \"c\" }\n[build-dependencies.shardcast-d]\npath = \"d\"\n";
    assert_eq!(
        imports(manifest),
        ["shardcast-b", "serde", "shardcast-c", "shardcast-d"]
    );
    let mut findings = Findings::default();
    check_imports(
        "tools/load/Cargo.toml",
        "[dependencies]\nshardcast-engine.workspace = true\nshardcast-protocol.workspace = true\n",
        &mut findings,
    );
    assert_eq!(
        findings.lines,
        ["tools/load/Cargo.toml:1: Import: may not depend on shardcast-engine"]
    );
}
