//! `shardcast-clauses`: lists every rule of the RFCs we keep with the places that name it, and
//! fails if one is missing. Reads the repository it was built in, and writes nothing but
//! `docs/conformance.md`, when asked. Called by people; CI runs the same through the tests.
#![forbid(unsafe_code)]

use shardcast_clauses::{Account, Sources, rules};
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: shardcast-clauses [--markdown]";

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(said) => {
            print!("{said}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: impl Iterator<Item = String>) -> Result<String, String> {
    let arguments: Vec<String> = arguments.collect();
    let writes_page = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--markdown"] => true,
        _ => return Err(USAGE.to_owned()),
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let clauses = rules().map_err(|mistakes| {
        mistakes
            .iter()
            .map(|mistake| format!("{mistake}\n"))
            .collect::<String>()
    })?;
    let sources = Sources::read(&root).map_err(|error| format!("{}: {error}", root.display()))?;
    let account = Account::of(clauses, &sources);
    if writes_page {
        let page = root.join("docs/conformance.md");
        std::fs::write(&page, account.markdown())
            .map_err(|error| format!("{}: {error}", page.display()))?;
    }
    let findings = account.findings();
    if findings.is_empty() {
        Ok(account.table())
    } else {
        Err(format!(
            "{}{} findings:\n{}",
            account.table(),
            findings.len(),
            findings.join("\n")
        ))
    }
}
