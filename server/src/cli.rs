//! The command line: what the user asks for, and the exit code that answers. `main` calls it.
//!
//! Exit codes: 0 done; 1 the server cannot start; 2 the command line or the configuration is wrong;
//! 3 a foreign configuration was imported, but for what has no counterpart. `doctor`'s are its own:
//! 1 something could be better, 2 something keeps the server from serving.

use crate::admin::tls::AdminTls;
use crate::auth::files::{self, ReadKeys};
use crate::config::{self, Given, Settings};
use crate::doctor::{self, Examination};
use crate::gateway::{prepare, replay};
use crate::import::{self, Imported};
use crate::serve::serve;
use crate::tls::{self, Prepared};
use crate::tokens::{self, NewToken};
use crate::traces::prepare as prepare_traces;
use clap::{Args, CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Runs the program with the arguments and the environment of this process.
pub fn run() -> ExitCode {
    let line = CommandLine::parse();
    match line.command.unwrap_or(Command::Serve(line.sources)) {
        Command::Serve(sources) => match sources.check() {
            Ok(Checked {
                settings,
                tls,
                keys,
                ..
            }) => {
                let again = move || sources.settings().map(|(settings, _)| settings);
                serve(&settings, tls, keys, Arc::new(again))
            }
            Err(problems) => refuse(&problems),
        },
        Command::CheckConfig(sources) => match sources.check() {
            Ok(checked) => {
                for warning in checked.warnings() {
                    eprintln!("shardcast: warning: {warning}");
                }
                print(&config::effective_page(&checked.settings, &checked.given))
            }
            Err(problems) => refuse(&problems),
        },
        Command::GenToken { new, sources } => match sources.settings() {
            Ok((settings, _)) => match new.make(settings.auth()) {
                Ok(token) => print(&format!("{token}\n")),
                Err(why) => refuse(&[why]),
            },
            Err(problems) => refuse(&problems),
        },
        Command::CheckToken { token, sources } => check_token(&sources, &token),
        Command::ImportCentrifugo { file } => match import::read(&file) {
            Ok(imported) => import_of(&imported),
            Err(why) => refuse(&[why]),
        },
        Command::ReplayDeadLetters(sources) => replay_dead_letters(&sources),
        Command::Doctor {
            json,
            root,
            sources,
        } => match sources.settings() {
            Ok((settings, _)) => doctor_of(&doctor::examine(&settings, &root), json),
            Err(problems) => refuse(&problems),
        },
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut CommandLine::command(), NAME, &mut script);
            print(&String::from_utf8_lossy(&script))
        }
        Command::ManPages { folder } => match man_pages(&folder) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("shardcast: {}: {error}", folder.display());
                ExitCode::FAILURE
            }
        },
        Command::DefaultConfig => print(&config::default_page()),
        Command::Version => print(concat!("shardcast ", env!("CARGO_PKG_VERSION"), "\n")),
    }
}

/// What the program is called in the shell.
const NAME: &str = "shardcast";

/// Shardcast, a real-time WebSocket server. Without a command it serves.
#[derive(Parser)]
#[command(name = NAME, version, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    sources: Sources,
}

#[derive(Subcommand)]
enum Command {
    /// Serve clients until SIGTERM or SIGINT.
    Serve(Sources),
    /// Print the configuration in force and where it comes from, or everything that is wrong with
    /// it.
    CheckConfig(Sources),
    /// Print a token that one of the keys of the configuration has signed, alone on one line.
    GenToken {
        #[command(flatten)]
        new: Box<NewToken>,
        #[command(flatten)]
        sources: Sources,
    },
    /// Say what a token claims, and whether the server would take it or which rule it breaks. Exit
    /// code 1: the server would not.
    CheckToken {
        /// The token; - reads it from standard input.
        token: String,
        #[command(flatten)]
        sources: Sources,
    },
    /// Print a configuration of Centrifugo (version 5 or 6) as one of ours; what is to be done
    /// besides, and keys without a counterpart, go to standard error. Exit code 3: there are such
    /// keys.
    ImportCentrifugo {
        /// The file: JSON, or TOML if its name ends so.
        file: PathBuf,
    },
    /// Send the application behind the server what it did not take (gateway.dead_letters). Exit
    /// code 1: some of it is left in the file.
    ReplayDeadLetters(Sources),
    /// Examine this host for a server with this configuration: what was found, what is wanted, why,
    /// and the command that mends it. Exit code 1: something could be better; 2: it cannot serve.
    Doctor {
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
        /// Look at the /proc and /sys below this folder.
        #[arg(long, value_name = "FOLDER", default_value = "/", hide = true)]
        root: PathBuf,
        #[command(flatten)]
        sources: Sources,
    },
    /// Print a configuration file with every key, its meaning and its default.
    DefaultConfig,
    /// Print a script that completes this command line in a shell.
    Completions {
        /// Which one.
        shell: clap_complete::Shell,
    },
    /// Write manual pages, one for each command, into a folder that is there.
    ManPages {
        /// Where to.
        folder: PathBuf,
    },
    /// Print the version.
    Version,
}

/// Where the configuration comes from. Flags go before the environment (SHARDCAST_SECTION_KEY),
/// that before the file.
#[derive(Args)]
struct Sources {
    /// Configuration file (TOML); `default-config` prints one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where clients connect: ADDRESS:PORT, unix:PATH, inherited:NAME or none.
    #[arg(long, value_name = "PLACE")]
    listen: Option<String>,
    /// Where operators connect: health, readiness, metrics.
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: Option<String>,
    /// Threads that serve clients: auto (one per core) or a number.
    #[arg(long, value_name = "N")]
    shards: Option<String>,
    /// Cores that the shards are pinned to: none, auto or a list such as 0,2.
    #[arg(long, value_name = "CORES")]
    pin: Option<String>,
    /// What carries the server's work to the kernel: auto, uring (io_uring) or portable (epoll).
    #[arg(long, value_name = "DRIVER")]
    driver: Option<String>,
    /// Permit addresses that other hosts reach although nothing authenticates clients.
    #[arg(long)]
    insecure: bool,
    /// Set any key, such as limits.max_connections=1000; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// A configuration that serves.
struct Checked {
    settings: Settings,
    given: Given,
    tls: Option<Prepared>,
    keys: ReadKeys,
}

impl Checked {
    /// What an operator should know of it.
    fn warnings(&self) -> impl Iterator<Item = String> {
        let tls = self.tls.iter().flat_map(|tls| &tls.warnings);
        let of_files = tls.chain(&self.keys.warnings).cloned();
        of_files.chain(config::warnings(&self.settings))
    }
}

impl Sources {
    /// The values, and then the files that they name.
    fn check(&self) -> Result<Checked, Vec<String>> {
        let (settings, given) = self.settings()?;
        let tls = settings.tls().map(|files| tls::prepare(files, None));
        let tls = tls.transpose().map_err(|faults| lines(&faults));
        let keys = files::read(settings.auth()).map_err(|faults| lines(&faults));
        let (tls, keys) = match (tls, keys) {
            (Ok(tls), Ok(keys)) => (tls, keys),
            (tls, keys) => {
                let faults = [tls.err(), keys.err()];
                return Err(faults.into_iter().flatten().flatten().collect());
            }
        };
        prepare::prepare(&settings).map_err(|why| vec![why])?;
        prepare_traces::prepare(&settings).map_err(|why| vec![why])?;
        let operators = settings.operators();
        operators.token().map_err(|error| vec![error.to_string()])?;
        let admin_tls = operators.tls().map(AdminTls::new).transpose();
        admin_tls.map_err(|error| vec![error.to_string()])?;
        Ok(Checked {
            settings,
            given,
            tls,
            keys,
        })
    }

    /// The values alone.
    fn settings(&self) -> Result<(Settings, Given), Vec<String>> {
        let given = self.given(std::env::vars_os());
        let settings = config::check(&given).map_err(|problems| lines(&problems))?;
        Ok((settings, given))
    }

    fn given(&self, environment: impl Iterator<Item = (OsString, OsString)>) -> Given {
        let mut given = Given::default();
        let flags = [
            ("server.listen", self.listen.as_deref()),
            ("server.admin", self.admin.as_deref()),
            ("server.shards", self.shards.as_deref()),
            ("server.pin", self.pin.as_deref()),
            ("server.driver", self.driver.as_deref()),
            ("server.insecure", self.insecure.then_some("true")),
        ];
        for (name, text) in flags {
            if let Some(text) = text {
                given.flag(name, text);
            }
        }
        // The last of several goes first, as users of command lines expect.
        for assignment in self.set.iter().rev() {
            given.set(assignment);
        }
        given.environment(environment);
        if let Some(path) = &self.config {
            given.file(path);
        }
        given
    }
}

fn replay_dead_letters(sources: &Sources) -> ExitCode {
    let replayed = sources.settings().and_then(|(settings, _)| {
        let options = prepare::prepare(&settings).map_err(|why| vec![why])?;
        replay::replay(options).map_err(|why| vec![why])
    });
    match replayed {
        Ok((page, true)) => print(&page),
        Ok((page, false)) => {
            let _printed = print(&page);
            ExitCode::FAILURE
        }
        Err(problems) => refuse(&problems),
    }
}

fn check_token(sources: &Sources, token: &str) -> ExitCode {
    let checked = sources.settings().and_then(|(settings, _)| {
        let token = tokens::token_of(token).map_err(|why| vec![why])?;
        let state_file = settings.operators().state_file();
        tokens::check(settings.auth(), state_file, &token)
    });
    match checked {
        Ok((page, true)) => print(&page),
        Ok((page, false)) => {
            let _printed = print(&page);
            ExitCode::FAILURE
        }
        Err(problems) => refuse(&problems),
    }
}

fn import_of(imported: &Imported) -> ExitCode {
    for text in &imported.to_do {
        eprintln!("shardcast: to do: {text}");
    }
    for text in &imported.left_out {
        eprintln!("shardcast: no counterpart: {text}");
    }
    let printed = print(&imported.page);
    match imported.left_out.is_empty() {
        true => printed,
        false => ExitCode::from(3),
    }
}

fn doctor_of(examination: &Examination, as_json: bool) -> ExitCode {
    let page = match as_json {
        true => doctor::json(examination),
        false => doctor::text(examination),
    };
    match print(&page) {
        printed if printed != ExitCode::SUCCESS => printed,
        _ => ExitCode::from(examination.exit_code()),
    }
}

fn man_pages(folder: &Path) -> io::Result<()> {
    if !folder.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    clap_mangen::generate_to(CommandLine::command(), folder)
}

/// Prints. A reader that closed its end is no error.
fn print(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // `head`, for one, reads only the beginning.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("shardcast: cannot write to standard output: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

fn lines<T: ToString>(problems: &[T]) -> Vec<String> {
    problems.iter().map(T::to_string).collect()
}

fn refuse(problems: &[String]) -> ExitCode {
    for problem in problems {
        eprintln!("shardcast: configuration: {problem}");
    }
    ExitCode::from(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn the_last_assignment_of_a_key_decides() {
        let line = [
            "shardcast",
            "--set",
            "log.level=warn",
            "--set",
            "log.level=error",
        ];
        let given = CommandLine::try_parse_from(line)
            .ok()
            .unwrap()
            .sources
            .given(std::iter::empty());
        let page = config::effective_page(&config::check(&given).unwrap(), &given);
        assert!(page.contains("level = \"error\" # from --set\n"), "{page}");
    }

    #[test]
    fn without_a_command_the_flags_are_those_of_serve() {
        for (line, want) in [
            (
                &["shardcast", "--listen", "127.0.0.1:1", "--shards", "2"][..],
                true,
            ),
            (
                &[
                    "shardcast",
                    "serve",
                    "--listen",
                    "127.0.0.1:1",
                    "--shards",
                    "2",
                ],
                true,
            ),
            (&["shardcast", "--listen", "127.0.0.1:1", "serve"], false),
            (&["shardcast", "version", "--listen", "127.0.0.1:1"], false),
        ] {
            let sources = CommandLine::try_parse_from(line)
                .ok()
                .map(|line| match line.command {
                    None => line.sources,
                    Some(Command::Serve(sources)) => sources,
                    Some(_) => panic!("another command"),
                });
            let read = sources.map(|sources| (sources.listen, sources.shards));
            assert_eq!(
                read,
                want.then(|| (Some("127.0.0.1:1".to_owned()), Some("2".to_owned()))),
                "{line:?}"
            );
        }
    }
}
