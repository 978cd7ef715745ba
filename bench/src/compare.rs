//! A comparison: every work, round by round, the servers in turns, so that what disturbs one disturbs its neighbours too. Results are written
//! run by run; a run that fails is reported and leaves a gap. Called by the binary.

use crate::host::Host;
use crate::record::Record;
use crate::run::Runner;
use crate::work::{Server, Work};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What to compare.
#[derive(Debug)]
pub struct Plan {
    /// In this order.
    pub works: Vec<&'static Work>,
    /// Those of a work's servers that take part.
    pub servers: Vec<Server>,
    /// How often each server does each work, at least 1; ratios want 5.
    pub rounds: u32,
    /// Measured time of a run, in seconds.
    pub seconds: u32,
}

impl Plan {
    fn servers_of(&self, work: &Work) -> Vec<Server> {
        work.servers
            .iter()
            .copied()
            .filter(|server| self.servers.contains(server))
            .collect()
    }

    /// The packages of this workspace that take part, with the binary's name.
    fn packages(&self) -> Vec<(&'static str, &'static str)> {
        let takes_part = |server: Server| {
            self.works
                .iter()
                .any(|work| self.servers_of(work).contains(&server))
        };
        let mut packages = vec![("shardcast-load", "shardcast-load")];
        if takes_part(Server::Raw) || takes_part(Server::RawTwoShards) {
            packages.push(("shardcast-bench", "raw-server"));
        }
        if takes_part(Server::Tungstenite) || takes_part(Server::TungsteniteEach) {
            packages.push((
                "shardcast-peer-tokio-tungstenite",
                "shardcast-peer-tokio-tungstenite",
            ));
        }
        if takes_part(Server::Native) {
            packages.push(("shardcast", "shardcast"));
        }
        packages
    }
}

/// Builds what takes part, one package at a time, so that each has the features that its users get.
///
/// # Errors
/// Cargo is missing or fails.
pub fn build(plan: &Plan, repository: &Path, target: &Path) -> io::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    for (package, binary) in plan.packages() {
        let mut command = Command::new(&cargo);
        command.current_dir(repository).args([
            "build",
            "--release",
            "--package",
            package,
            "--bin",
            binary,
        ]);
        let status = command.arg("--target-dir").arg(target).status()?;
        if !status.success() {
            return Err(io::Error::other(format!(
                "building {binary} ended with {status}"
            )));
        }
    }
    Ok(())
}

/// Runs the plan; returns the file that holds its records.
///
/// # Errors
/// The results cannot be written. A run's failure is none: it is told on standard error.
pub fn compare(
    plan: &Plan,
    runner: &mut Runner,
    repository: &Path,
    results: &Path,
) -> io::Result<PathBuf> {
    let host = Host::observe(repository);
    fs::create_dir_all(results)?;
    let path = results.join(file_name(&host));
    let mut file = File::create(&path)?;
    for work in &plan.works {
        for round in 1..=plan.rounds {
            for server in plan.servers_of(work) {
                eprint!(
                    "{:18} round {round}/{} {:28}",
                    work.name,
                    plan.rounds,
                    server.name()
                );
                match runner.run(server, work, plan.seconds) {
                    Ok(load) => {
                        let figure = load
                            .figure(work.figure)
                            .map_or("nothing measured".to_owned(), |value| {
                                format!("{value:.2} {}", work.figure.unit())
                            });
                        let note = if load.is_limited_by_load() {
                            ", limited by the load generator"
                        } else {
                            ""
                        };
                        eprintln!("{figure}, {} faults{note}", load.faults());
                        let (work, server) = (work.name.to_owned(), server.name().to_owned());
                        let record = Record {
                            host: host.clone(),
                            work,
                            server,
                            round,
                            seconds: plan.seconds,
                            load,
                        };
                        writeln!(file, "{}", serde_json::to_string(&record)?)?;
                    }
                    Err(error) => eprintln!("failed: {error}"),
                }
            }
        }
    }
    Ok(path)
}

/// Sorts by time.
fn file_name(host: &Host) -> String {
    let date: String = host
        .date
        .chars()
        .filter(|c| *c != ':' && *c != '-')
        .collect();
    let commit = host.commit.replace('+', "-changed");
    format!("{date}-{commit}.jsonl")
}

/// The newest results.
///
/// # Errors
/// There are none, or the folder cannot be read.
pub fn newest(results: &Path) -> io::Result<PathBuf> {
    let mut newest = None;
    for entry in fs::read_dir(results)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "jsonl")
        {
            newest = newest.max(Some(path));
        }
    }
    newest
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no results yet: run compare first"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::find;

    fn plan(works: &[&str], servers: &[Server]) -> Plan {
        let works = works
            .iter()
            .map(|name| find(name).expect("a work"))
            .collect();
        Plan {
            works,
            servers: servers.to_vec(),
            rounds: 1,
            seconds: 1,
        }
    }

    #[test]
    fn only_what_takes_part_is_built() {
        let binaries = |plan: Plan| {
            plan.packages()
                .into_iter()
                .map(|(_, binary)| binary)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            binaries(plan(&["native-idle-10000"], &Server::ALL)),
            ["shardcast-load", "shardcast"]
        );
        assert_eq!(
            binaries(plan(&["native-idle-10000"], &[Server::Raw])),
            ["shardcast-load"]
        );
        let all = [
            "shardcast-load",
            "raw-server",
            "shardcast-peer-tokio-tungstenite",
        ];
        assert_eq!(binaries(plan(&["broadcast-10000"], &Server::ALL)), all);
    }

    #[test]
    fn servers_keep_the_order_of_the_work() {
        let plan = plan(
            &["broadcast-10000"],
            &[Server::Floor, Server::Raw, Server::Native],
        );
        assert_eq!(plan.servers_of(plan.works[0]), [Server::Raw, Server::Floor]);
    }

    #[test]
    fn files_are_named_by_time_and_commit() {
        let host = Host {
            date: "2026-01-02T03:04:05Z".into(),
            commit: "abc+".into(),
            kernel: String::new(),
            processor: String::new(),
            cores: 2,
        };
        assert_eq!(file_name(&host), "20260102T030405Z-abc-changed.jsonl");
    }
}
