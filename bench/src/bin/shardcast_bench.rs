//! `shardcast-bench`: measures servers side by side (`compare`) and puts the newest result into the README (`readme`).
#![forbid(unsafe_code)]

use clap::{Args, Parser, Subcommand};
use shardcast_bench::compare::{Plan, build, compare, newest};
use shardcast_bench::record;
use shardcast_bench::run::{Programs, Runner};
use shardcast_bench::table::{replace_section, section};
use shardcast_bench::work::{Server, WORKS, Work, find};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "Measures servers side by side")]
struct Arguments {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Subcommand)]
enum Subcommands {
    /// Run every work on every server, in turns, and write results and tables.
    Compare(Compare),
    /// Put the newest results into README.md, between its markers.
    Readme {
        /// Other results than the newest.
        #[arg(long, value_name = "FILE")]
        results: Option<PathBuf>,
    },
}

#[derive(Args)]
struct Compare {
    /// Works to run; all without it.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = parse_work)]
    works: Vec<&'static Work>,
    /// Servers to run: raw, raw2, native, tungstenite, tungstenite-each, floor; all without it.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = parse_server)]
    servers: Vec<Server>,
    /// How often each server does each work.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Measured time of a run, in seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// The prototype's binary; it takes part when given.
    #[arg(long, value_name = "PATH")]
    floor: Option<PathBuf>,
    /// Then do what `readme` does.
    #[arg(long)]
    write_readme: bool,
}

fn main() -> ExitCode {
    match obey(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("shardcast-bench: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn obey(command: Subcommands) -> Result<(), Box<dyn Error>> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or("the package stands in the repository")?;
    let results = repository.join("bench/results");
    match command {
        Subcommands::Compare(arguments) => {
            let write_readme = arguments.write_readme;
            let path = run_compare(arguments, repository, &results)?;
            println!("{}", section(&record::parse(&fs::read_to_string(&path)?)?));
            if write_readme {
                readme(repository, &path)?;
            }
            Ok(())
        }
        Subcommands::Readme {
            results: Some(path),
        } => readme(repository, &path),
        Subcommands::Readme { results: None } => readme(repository, &newest(&results)?),
    }
}

fn run_compare(
    arguments: Compare,
    repository: &Path,
    results: &Path,
) -> Result<PathBuf, Box<dyn Error>> {
    let Compare {
        mut works,
        mut servers,
        rounds,
        seconds,
        floor,
        write_readme: _,
    } = arguments;
    if works.is_empty() {
        works = WORKS.iter().collect();
    }
    if servers.is_empty() {
        servers = Server::ALL.to_vec();
    }
    servers.retain(|server| *server != Server::Floor || floor.is_some());
    let plan = Plan {
        works,
        servers,
        rounds,
        seconds,
    };
    // The binaries that are measured stand beside this one, in the release profile whatever this one's is.
    let executable = std::env::current_exe()?;
    let target = executable
        .parent()
        .and_then(Path::parent)
        .ok_or("the executable stands in a target folder")?;
    build(&plan, repository, target)?;
    let release = target.join("release");
    let mut runner = Runner::new(Programs { release, floor });
    Ok(compare(&plan, &mut runner, repository, results)?)
}

fn readme(repository: &Path, results: &Path) -> Result<(), Box<dyn Error>> {
    let records = record::parse(&fs::read_to_string(results)?)?;
    let path = repository.join("README.md");
    let text = replace_section(&fs::read_to_string(&path)?, &section(&records))
        .map_err(|problem| format!("README.md {problem}"))?;
    Ok(fs::write(path, text)?)
}

fn parse_work(name: &str) -> Result<&'static Work, String> {
    let names = || {
        WORKS
            .iter()
            .map(|work| work.name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    find(name).ok_or_else(|| format!("no such work; there are {}", names()))
}

fn parse_server(name: &str) -> Result<Server, String> {
    match name {
        "raw" => Ok(Server::Raw),
        "raw2" => Ok(Server::RawTwoShards),
        "native" => Ok(Server::Native),
        "tungstenite" => Ok(Server::Tungstenite),
        "tungstenite-each" => Ok(Server::TungsteniteEach),
        "floor" => Ok(Server::Floor),
        _ => Err(
            "no such server; there are raw, raw2, native, tungstenite, tungstenite-each, floor"
                .to_owned(),
        ),
    }
}
