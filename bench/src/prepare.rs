//! Makes what takes part: our own binaries by cargo, peers by their `start --prepare`. A peer that
//! cannot be had here is left out and named, with the reason; our own must build. Called by the
//! binary before anything is measured.

use crate::identity;
use crate::plan::Plan;
use crate::record::Absence;
use crate::server::{Program, Server};
use crate::tokens;
use std::io;
use std::path::PathBuf;
use std::process::Command;

/// What a `start` script ends with when a tool that it needs is not installed (EX_UNAVAILABLE of
/// sysexits.h).
const TOOL_MISSING: i32 = 69;

/// Where things are.
#[derive(Clone, Debug)]
pub struct Places {
    /// The root of our repository.
    pub repository: PathBuf,
    /// Cargo's target folder; peers are built below it too.
    pub target: PathBuf,
    /// The prototype, if it takes part.
    pub floor: Option<PathBuf>,
    /// Another build of raw-server, if it takes part.
    pub against: Option<PathBuf>,
}

impl Places {
    /// One of our own binaries, in the release profile.
    pub fn own(&self, binary: &str) -> PathBuf {
        self.target.join("release").join(binary)
    }

    /// What servers over TLS show; [`crate::identity`] makes it.
    pub fn certificate(&self) -> PathBuf {
        self.target.join("bench-certificate.pem")
    }

    /// Its key.
    pub fn key(&self) -> PathBuf {
        self.target.join("bench-key.pem")
    }

    /// The configuration of a server that checks tokens; [`crate::tokens`] makes it.
    pub fn tokens(&self) -> PathBuf {
        self.target.join("bench-tokens.toml")
    }

    /// Where a server stores; each run begins with an empty one.
    pub fn store(&self) -> PathBuf {
        self.target.join("bench-store")
    }

    /// A peer's script.
    pub fn start(&self, peer: &str) -> PathBuf {
        self.repository.join("bench/peers").join(peer).join("start")
    }
}

/// Builds what takes part; leaves out of the plan, and returns, what is not to be had.
///
/// # Errors
/// Cargo is missing, one of our own packages does not build, or the identity cannot be written.
pub fn prepare(plan: &mut Plan, places: &Places) -> io::Result<Vec<Absence>> {
    for (package, binary) in packages(plan) {
        build(package, binary, places)?;
    }
    if plan.servers().iter().any(Server::has_tls) {
        identity::write(&places.certificate(), &places.key())?;
    }
    if plan.servers().iter().any(Server::checks_tokens) {
        tokens::write(&places.tokens())?;
    }
    let mut peers: Vec<(&str, Result<(), String>)> = Vec::new();
    let mut absences = Vec::new();
    for server in plan.servers() {
        let prepared = match server.program {
            Program::Own(..) => Ok(()),
            Program::Given => match &places.floor {
                Some(_) => Ok(()),
                None => Err("takes part with --floor PATH".to_owned()),
            },
            Program::Against => match &places.against {
                Some(_) => Ok(()),
                None => Err("takes part with --against PATH".to_owned()),
            },
            // Two variants of a peer are one folder.
            Program::Peer(folder) => match peers.iter().find(|(other, _)| *other == folder) {
                Some((_, known)) => known.clone(),
                None => {
                    let prepared = prepare_peer(folder, places);
                    peers.push((folder, prepared.clone()));
                    prepared
                }
            },
        };
        if let Err(reason) = prepared {
            absences.push(Absence::of_server(server.name, plan.setting, reason));
        }
    }
    plan.retain(|server| !is_absent(server, &absences));
    Ok(absences)
}

fn is_absent(server: Server, absences: &[Absence]) -> bool {
    absences.iter().any(|absence| absence.server == server.name)
}

/// The packages of this workspace that take part, with the binary's name.
fn packages(plan: &Plan) -> Vec<(&'static str, &'static str)> {
    let mut packages = vec![("shardcast-load", "shardcast-load")];
    for server in plan.servers() {
        if let Program::Own(package, binary) = server.program
            && !packages.contains(&(package, binary))
        {
            packages.push((package, binary));
        }
    }
    packages
}

/// Builds one of our own, one package at a time, so that each has the features that its users get.
///
/// # Errors
/// Cargo is missing or fails.
pub fn build(package: &str, binary: &str, places: &Places) -> io::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(&cargo);
    command.current_dir(&places.repository).args([
        "build",
        "--release",
        "--package",
        package,
        "--bin",
        binary,
    ]);
    let status = command.arg("--target-dir").arg(&places.target).status()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "building {binary} ended with {status}"
    )))
}

/// Prepares a peer by its script.
///
/// # Errors
/// Why there is no such peer here.
pub(crate) fn prepare_peer(peer: &str, places: &Places) -> Result<(), String> {
    let start = places.start(peer);
    if !start.exists() {
        return Err(format!("there is no bench/peers/{peer}/start"));
    }
    eprintln!("preparing {peer}");
    let output = Command::new(&start)
        .arg("--prepare")
        .env("CARGO_TARGET_DIR", &places.target)
        .output()
        .map_err(|error| format!("bench/peers/{peer}/start: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let complaints = String::from_utf8_lossy(&output.stderr);
    let last = complaints.trim().lines().next_back().unwrap_or_default();
    Err(match output.status.code() {
        Some(TOOL_MISSING) => last.to_owned(),
        _ => format!("start --prepare ended with {}: {last}", output.status),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::find;
    use crate::plan::Set;
    use crate::product::NATIVE;
    use crate::server::{BUN, FLOOR, GORILLA, RAW, TUNGSTENITE, TUNGSTENITE_EACH};
    use crate::servers::SERVERS;
    use crate::work::Setting;
    use std::fs;
    use std::path::Path;

    /// Written by a child: a descriptor of ours would be copied into whatever another test starts
    /// just then, and the kernel runs no file that somebody may still write to (ETXTBSY).
    fn write_script(path: &Path, script: &str) {
        let status = Command::new("sh")
            .args([
                "-c",
                r##"printf '#!/bin/sh\n%s\n' "$1" >"$0" && chmod 755 "$0""##,
            ])
            .args([path.as_os_str(), script.as_ref()])
            .status();
        assert!(status.expect("a shell").success(), "{}", path.display());
    }

    fn plan(works: &[&str], servers: &[Server]) -> Plan {
        let works: Vec<_> = works
            .iter()
            .map(|name| find(name).expect("a work"))
            .collect();
        Plan::new(Set::All, &works, servers, Setting::Plain)
    }

    #[test]
    fn only_what_takes_part_is_built() {
        let binaries = |works: &[&str], servers: &[Server]| {
            let packages = packages(&plan(works, servers));
            packages
                .into_iter()
                .map(|(_, binary)| binary)
                .collect::<Vec<_>>()
        };
        let everyone = SERVERS;
        assert_eq!(
            binaries(&["native-idle-10000"], everyone),
            ["shardcast-load", "shardcast"]
        );
        assert_eq!(binaries(&["native-idle-10000"], &[RAW]), ["shardcast-load"]);
        let all = ["shardcast-load", "raw-server", "shardcast"];
        assert_eq!(binaries(&["broadcast-10000"], everyone), all);
    }

    #[test]
    fn peers_that_are_not_to_be_had_are_left_out_and_named() {
        let root = std::env::temp_dir().join(format!("shardcast-prepare-{}", std::process::id()));
        let places = Places {
            repository: root.clone(),
            target: root.join("target"),
            floor: None,
            against: None,
        };
        let scripts = [
            (
                "tokio-tungstenite",
                "[ \"$1\" = --prepare ] && [ -n \"$CARGO_TARGET_DIR\" ]",
            ),
            (
                "gorilla",
                "echo 'go is missing: install golang-go' >&2; exit 69",
            ),
            ("bun", "echo one >&2; echo two >&2; exit 3"),
        ];
        for (peer, script) in scripts {
            let path = places.start(peer);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            write_script(&path, script);
        }
        let chosen = [
            TUNGSTENITE,
            TUNGSTENITE_EACH,
            GORILLA,
            BUN,
            NATIVE,
            FLOOR,
            crate::server::MONOIO,
        ];
        let mut plan = plan(&["echo-100", "bursts-1000"], &chosen);
        // Building our own is cargo's matter: without them here.
        plan.retain(|server| server != NATIVE);
        let absences: Vec<_> = plan
            .servers()
            .into_iter()
            .filter_map(|server| match server.program {
                Program::Peer(folder) => Some((server.key, prepare_peer(folder, &places))),
                Program::Own(..) | Program::Given | Program::Against => None,
            })
            .collect();
        fs::remove_dir_all(&root).expect("the folder goes");
        let refused = |reason: &str| Err(reason.to_owned());
        let expected = [
            (
                "bun",
                refused("start --prepare ended with exit status: 3: two"),
            ),
            ("monoio", refused("there is no bench/peers/monoio/start")),
            ("tungstenite", Ok(())),
            ("gorilla", refused("go is missing: install golang-go")),
            ("tungstenite-each", Ok(())),
        ];
        assert_eq!(absences, expected);
    }
}
