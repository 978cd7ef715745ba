//! Where the repository's Rust sources name a clause, and whether that is code or a test.
//!
//! A citation is an id by its shape, in a comment (`// Clause 6455-5.1-2`) or in the string of a
//! test's table; only ids of known RFCs have the shape, so dates are none. Called by
//! [`crate::Account`].

use crate::RFCS;
use crate::clause::is_id;
use std::io;
use std::path::{Path, PathBuf};

/// Whether what cites a clause obeys it or checks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// It obeys.
    Code,
    /// It checks: a file of tests, or a `mod tests`.
    Test,
}

/// One place that names a clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Citation {
    /// The clause.
    pub id: String,
    /// Path from the repository's root.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// What kind of place.
    pub origin: Origin,
}

/// The Rust sources of a repository: path from its root, text.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// In the order of their paths.
    pub files: Vec<(String, String)>,
}

impl Sources {
    /// Reads them below `root`. This package is left out: its own tests name ids that do not exist.
    ///
    /// # Errors
    /// A folder or file that cannot be read.
    pub fn read(root: &Path) -> io::Result<Sources> {
        let mut files = Vec::new();
        let mut folders: Vec<PathBuf> = vec![root.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder)? {
                let path = entry?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if path.is_dir() {
                    let is_ours =
                        !name.starts_with('.') && name != "target" && name != "node_modules";
                    if is_ours && !path.ends_with("tools/clauses") {
                        folders.push(path);
                    }
                } else if name.ends_with(".rs") {
                    let inside = path.strip_prefix(root).unwrap_or(&path);
                    let inside = inside.to_string_lossy().into_owned();
                    files.push((inside, std::fs::read_to_string(&path)?));
                }
            }
        }
        files.sort();
        Ok(Sources { files })
    }
}

/// Every citation in one file.
pub fn cited(file: &str, text: &str) -> Vec<Citation> {
    let is_test_file = file
        .split('/')
        .any(|part| part == "tests" || part == "tests.rs");
    let (mut found, mut inside_tests, mut announced) = (Vec::new(), false, false);
    for (index, line) in text.lines().enumerate() {
        // As rustfmt writes it, a module of the file begins and ends at the margin.
        match line {
            "#[cfg(test)]" => announced = true,
            "}" => inside_tests = false,
            _ if announced => {
                inside_tests = line.starts_with("mod ") && line.ends_with('{');
                announced = false;
            }
            _ => {}
        }
        let origin = if is_test_file || inside_tests {
            Origin::Test
        } else {
            Origin::Code
        };
        let is_part = |byte: char| byte.is_ascii_alphanumeric() || byte == '-' || byte == '.';
        for word in line.split(|byte| !is_part(byte)) {
            // A full stop may end the sentence.
            let word = word.trim_end_matches('.');
            if RFCS.iter().any(|rfc| is_id(word, rfc.number)) {
                found.push(Citation {
                    id: word.to_owned(),
                    file: file.to_owned(),
                    line: index + 1,
                    origin,
                });
            }
        }
    }
    found
}
