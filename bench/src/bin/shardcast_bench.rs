//! `shardcast-bench`: measures servers side by side (`compare`), puts the newest results into the
//! README (`readme`) and runs on a page (`report`), counts the instructions of the micro-benches
//! (`instructions`), fills one server with connections (`scale`), and says what the host lacks
//! (`host`).
#![forbid(unsafe_code)]

use clap::{Args, Parser, Subcommand};
use shardcast_bench::advice;
use shardcast_bench::catalogue;
use shardcast_bench::compare::compare;
use shardcast_bench::drivers::drivers;
use shardcast_bench::host::Host;
use shardcast_bench::instructions::{Counts, TOLERANCE, Verdict};
use shardcast_bench::journal::{Journal, newest};
use shardcast_bench::namespace::Namespace;
use shardcast_bench::own_works::OwnWork;
use shardcast_bench::page::page;
use shardcast_bench::plan::{Plan, Set};
use shardcast_bench::prepare::{Places, build, prepare};
use shardcast_bench::record::Line;
use shardcast_bench::report;
use shardcast_bench::results::Results;
use shardcast_bench::run::Runner;
use shardcast_bench::scale::{self, Scale};
use shardcast_bench::server::{FLOOR, Program, Server};
use shardcast_bench::servers;
use shardcast_bench::table::{replace_section, section};
use shardcast_bench::work::{Setting, Work};
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
    /// Put results into README.md, between its markers, into bench/results/latest.md, and on a page
    /// for browsers, report.html in the target folder.
    Readme {
        /// These, as one, instead of the newest.
        #[arg(long, value_name = "FILE")]
        results: Vec<PathBuf>,
    },
    /// Print what epoll costs beside io_uring, from what `compare --set drivers` found.
    Drivers {
        /// These, as one, instead of the newest.
        #[arg(long, value_name = "FILE")]
        results: Vec<PathBuf>,
    },
    /// Count the instructions of every micro-bench under callgrind; fails when one grew since the
    /// kept counts.
    Instructions {
        /// Keep these counts, in bench/results/instructions.json.
        #[arg(long)]
        write: bool,
    },
    /// Hold very many connections in one server process, and broadcast to all of them.
    Scale {
        /// Connections.
        #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=4_000_000))]
        connections: u32,
        /// Rooms that they are spread over.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        rooms: u32,
        /// Shards of the server.
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
        shards: u16,
    },
    #[command(flatten)]
    OwnWork(OwnWork),
    /// Say what is not set on this host as measuring wants it.
    Host,
    /// Show runs on one self-contained HTML page.
    Report(report::command::ReportArguments),
}

#[derive(Args)]
struct Compare {
    /// Works and servers to begin with.
    #[arg(long, value_enum, default_value = "all")]
    set: Set,
    /// Of these works only those.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = parse_work)]
    works: Vec<&'static Work>,
    /// Of these servers only those.
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
    /// Another build of raw-server, to be measured beside this one in turns.
    #[arg(long, value_name = "PATH")]
    against: Option<PathBuf>,
    /// Run in a network namespace that receives on the load generator's core (needs root).
    #[arg(long)]
    netns: bool,
    /// Go on with the comparison of this file: rounds that it has are not repeated.
    #[arg(long = "continue", value_name = "FILE")]
    continued: Option<PathBuf>,
    /// Only say what would be run, and how long it would take.
    #[arg(long)]
    dry_run: bool,
    /// Then do what `readme` does.
    #[arg(long)]
    write_readme: bool,
}

/// What the command line asks for, in full.
impl From<&Compare> for Plan {
    fn from(arguments: &Compare) -> Plan {
        let setting = if arguments.netns {
            Setting::Rps
        } else {
            Setting::Plain
        };
        let mut plan = Plan {
            rounds: arguments.rounds,
            seconds: arguments.seconds,
            ..Plan::new(arguments.set, &arguments.works, &arguments.servers, setting)
        };
        // Who has no other build at hand is not told each time that it is missing.
        plan.retain(|server| server.program != Program::Against || arguments.against.is_some());
        plan
    }
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
            let Some(path) = run_compare(&arguments, repository, &results)? else {
                return Ok(());
            };
            let read = Results::read(&[&path])?;
            println!("{}\n{}", section(&read), drivers(&read));
            eprintln!("kept in {}", path.display());
            if arguments.write_readme {
                readme(repository, &[path])?;
            }
            Ok(())
        }
        Subcommands::Readme { results: files } if files.is_empty() => {
            readme(repository, &[newest(&results)?])
        }
        Subcommands::Readme { results: files } => readme(repository, &files),
        Subcommands::Drivers { results: files } => {
            let files = match files[..] {
                [] => vec![newest(&results)?],
                _ => files,
            };
            print!("{}", drivers(&Results::read(&files)?));
            Ok(())
        }
        Subcommands::Instructions { write } => {
            instructions(repository, &results.join("instructions.json"), write)
        }
        Subcommands::Scale {
            connections,
            rooms,
            shards,
        } => {
            let scale = Scale {
                connections,
                rooms,
                shards,
            };
            run_scale(scale, repository, &results)
        }
        Subcommands::OwnWork(work) => {
            print!("{}", work.measure(places(repository, None, None)?)?);
            Ok(())
        }
        Subcommands::Host => {
            print!("{}", advice::to_text(&advice::advice(Path::new("/"))));
            Ok(())
        }
        Subcommands::Report(arguments) => {
            println!("{}", arguments.obey(|| newest(&results))?);
            Ok(())
        }
    }
}

/// The outcome is kept even when something was lost.
fn run_scale(scale: Scale, repository: &Path, results: &Path) -> Result<(), Box<dyn Error>> {
    eprint!("{}", advice::to_text(&advice::advice(Path::new("/"))));
    let places = places(repository, None, None)?;
    for program in ["shardcast", "shardcast-load"] {
        build(program, program, &places)?;
    }
    let outcome = scale::scale(scale, &places, Host::observe(repository))?;
    let path = results.join("scale.json");
    fs::write(&path, serde_json::to_string(&outcome)? + "\n")?;
    print!("{}", outcome.to_text());
    eprintln!("kept in {}", path.display());
    if outcome.is_whole() {
        Ok(())
    } else {
        Err("not everything arrived".into())
    }
}

/// The binaries that are measured stand beside this one, in the release profile whatever this one's
/// is.
fn places(
    repository: &Path,
    floor: Option<PathBuf>,
    against: Option<PathBuf>,
) -> Result<Places, Box<dyn Error>> {
    let executable = std::env::current_exe()?;
    let target = executable
        .parent()
        .and_then(Path::parent)
        .ok_or("the executable stands in a target folder")?;
    Ok(Places {
        repository: repository.to_owned(),
        target: target.to_owned(),
        floor,
        against,
    })
}

/// The file that holds the results; none when nothing was to be run.
fn run_compare(
    arguments: &Compare,
    repository: &Path,
    results: &Path,
) -> Result<Option<PathBuf>, Box<dyn Error>> {
    let mut plan = Plan::from(arguments);
    if arguments.dry_run {
        plan.retain(|server| server != FLOOR || arguments.floor.is_some());
        announce(&plan);
        return Ok(None);
    }
    // Before anything is built: it fails at once or not at all.
    eprint!("{}", advice::to_text(&advice::advice(Path::new("/"))));
    let namespace = arguments.netns.then(Namespace::new).transpose()?;
    let places = places(
        repository,
        arguments.floor.clone(),
        arguments.against.clone(),
    )?;
    let absences = prepare(&mut plan, &places)?;
    for absence in &absences {
        eprintln!("{} takes no part: {}", absence.server, absence.absent);
    }
    if plan.entries.is_empty() {
        return Err("no work is left that one of these servers does".into());
    }
    announce(&plan);
    let host = Host::observe(repository);
    let mut journal = match &arguments.continued {
        Some(path) => Journal::open(path, &plan)?,
        None => Journal::create(results, &host)?,
    };
    for absence in absences {
        journal.append(&Line::Absence(absence))?;
    }
    let mut runner = Runner::new(places, namespace);
    compare(&plan, &mut runner, &host, &mut journal)?;
    Ok(Some(journal.path().to_owned()))
}

fn announce(plan: &Plan) {
    for entry in &plan.entries {
        let keys: Vec<&str> = entry.servers.iter().map(|server| server.key).collect();
        eprintln!("{:20} {}", entry.work.name, keys.join(", "));
    }
    let minutes = plan.duration().as_secs().div_ceil(60);
    eprintln!(
        "{} runs, {} rounds of {} s: about {minutes} minutes",
        plan.runs(),
        plan.rounds,
        plan.seconds
    );
}

fn instructions(repository: &Path, kept: &Path, write: bool) -> Result<(), Box<dyn Error>> {
    let counts = Counts::take(repository)?;
    if write {
        let mut text = serde_json::to_string_pretty(&counts)?;
        text.push('\n');
        return Ok(fs::write(kept, text)?);
    }
    let before: Counts = serde_json::from_str(&fs::read_to_string(kept)?)?;
    if before.made_with != counts.made_with {
        let (before, now) = (before.made_with, counts.made_with);
        println!("not compared: kept with {before:?}, counted with {now:?}");
        return Ok(());
    }
    let rows = counts.against(&before);
    rows.iter().for_each(|row| println!("{row}"));
    let worse = rows.iter().filter(|row| row.verdict() == Verdict::Worse);
    match worse.count() {
        0 => Ok(()),
        count => Err(format!(
            "{count} pieces take over {} % more instructions; if they must, keep the counts with --write and say why",
            100.0 * TOLERANCE
        )
        .into()),
    }
}

/// The README's table, the page with every figure, and the report that a browser shows.
fn readme(repository: &Path, files: &[PathBuf]) -> Result<(), Box<dyn Error>> {
    let results = &Results::read(files)?;
    let path = repository.join("README.md");
    let section = format!(
        "{}\n\n[Every figure, work by work](bench/results/latest.md).",
        section(results).trim()
    );
    let text = replace_section(&fs::read_to_string(&path)?, &section)
        .map_err(|problem| format!("README.md {problem}"))?;
    fs::write(path, text)?;
    fs::write(repository.join("bench/results/latest.md"), page(results))?;
    let target = places(repository, None, None)?.target;
    let report = report::command::ReportArguments::everything(files, target.join("report.html"));
    eprintln!("{}", report.obey(|| unreachable!("files are named"))?);
    Ok(())
}

fn parse_work(name: &str) -> Result<&'static Work, String> {
    catalogue::find(name).ok_or_else(|| format!("no such work; there are {}", catalogue::names()))
}

fn parse_server(key: &str) -> Result<Server, String> {
    servers::find(key).ok_or_else(|| format!("no such server; there are {}", servers::keys()))
}
