//! One run: a server started alone on its core, the load generator on the other, one report. Whatever was started is gone when the run ends.
//! Called by `compare`.

use crate::record::Load;
use crate::work::{Server, Work};
use std::ffi::{OsStr, OsString};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The core that servers run on; the second shard of two goes to [`LOAD_CPU`].
const SERVER_CPU: &str = "1";
/// The core that the load generator runs on.
const LOAD_CPU: &str = "0";
/// Listening ports, below the range that connecting sockets are given ports from.
const PORTS: Range<u16> = 27_500..27_600;
/// From start to the first connection.
const START_TIME_MAX: Duration = Duration::from_secs(10);
/// What a run may take beside its measured time: ramp-up of all connections, waiting for stragglers.
const LOAD_TIME_MAX: Duration = Duration::from_secs(120);
/// The prototype's constants, those that it was measured with.
const FLOOR_CONSTANTS: [&str; 14] = [
    "--nbuf", "128", "--bsz", "16640", "--pred", "4", "--wantb", "64", "--mw", "50", "--chunk",
    "1024", "--slice", "64",
];
/// Between two looks at a child process.
const POLL: Duration = Duration::from_millis(20);

/// Where programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The folder of our release binaries.
    pub release: PathBuf,
    /// The prototype, if it takes part.
    pub floor: Option<PathBuf>,
}

/// Starts the server, loads it, stops it.
///
/// # Errors
/// A program is missing, fails, says something else than a report, or takes too long.
pub fn run(programs: &Programs, server: Server, work: &Work, seconds: u32) -> io::Result<Load> {
    let port = free_port(PORTS)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut started = Started::new(server_arguments(programs, server, port)?)?;
    started.wait_until_listening(address)?;
    let report = std::env::temp_dir().join(format!("shardcast-bench-{}.json", std::process::id()));
    // The load generator appends; what an interrupted run may have left is no report of this one.
    let _ = std::fs::remove_file(&report);
    let mut arguments = load_arguments(programs, work, server.protocol(), seconds);
    let pid = started.0.id().to_string();
    let places = [
        "--url",
        &format!("ws://{address}/ws"),
        "--server-pid",
        &pid,
        "--json",
    ];
    arguments.extend(places.map(OsString::from));
    arguments.push(report.clone().into_os_string());
    let status =
        Started::new(arguments)?.wait(LOAD_TIME_MAX + Duration::from_secs(u64::from(seconds)))?;
    let text = std::fs::read_to_string(&report).unwrap_or_default();
    // Absent if the load generator failed before it wrote anything.
    let _ = std::fs::remove_file(&report);
    serde_json::from_str(&text).map_err(|error| {
        io::Error::other(format!(
            "the load generator ended with {status}, report: {error}"
        ))
    })
}

fn server_arguments(programs: &Programs, server: Server, port: u16) -> io::Result<Vec<OsString>> {
    let listen = format!("127.0.0.1:{port}");
    let own = |name: &str| programs.release.join(name);
    Ok(match server {
        Server::Raw => arguments(
            &own("raw-server"),
            &["--listen", &listen, "--pin", SERVER_CPU],
        ),
        Server::RawTwoShards => {
            let cores = format!("{SERVER_CPU},{LOAD_CPU}");
            arguments(
                &own("raw-server"),
                &["--listen", &listen, "--shards", "2", "--pin", &cores],
            )
        }
        Server::Tungstenite => {
            let peer = own("shardcast-peer-tokio-tungstenite");
            arguments(&peer, &["--listen", &listen, "--pin", SERVER_CPU])
        }
        Server::TungsteniteEach => {
            let peer = own("shardcast-peer-tokio-tungstenite");
            let flags = ["--listen", &listen, "--pin", SERVER_CPU, "--flush", "each"];
            arguments(&peer, &flags)
        }
        Server::Native => {
            let admin = format!("127.0.0.1:{}", free_port(port + 1..PORTS.end)?);
            let serve = [
                "serve", "--listen", &listen, "--admin", &admin, "--shards", "1",
            ];
            on_server_cpu(arguments(&own("shardcast"), &serve))
        }
        Server::Floor => {
            let Some(floor) = &programs.floor else {
                return Err(io::Error::other("floor takes part only with --floor PATH"));
            };
            let port = port.to_string();
            let mut all = arguments(floor, &["--port", &port, "--shards", "1"]);
            all.extend(FLOOR_CONSTANTS.map(OsString::from));
            on_server_cpu(all)
        }
    })
}

fn load_arguments(programs: &Programs, work: &Work, protocol: &str, seconds: u32) -> Vec<OsString> {
    let load: Vec<&str> = work.load.split_whitespace().collect();
    let mut all = arguments(&programs.release.join("shardcast-load"), &load);
    all.extend(["--protocol", protocol, "--pin", LOAD_CPU].map(OsString::from));
    if load[0] != "idle" {
        let duration = format!("{seconds}s");
        all.extend(["--warmup", "1s", "--duration", &duration].map(OsString::from));
    }
    all
}

fn arguments(program: &Path, rest: &[&str]) -> Vec<OsString> {
    std::iter::once(program.as_os_str())
        .chain(rest.iter().map(OsStr::new))
        .map(OsStr::to_owned)
        .collect()
}

/// For programs that do not pin themselves.
fn on_server_cpu(command: Vec<OsString>) -> Vec<OsString> {
    let taskset = ["taskset", "-c", SERVER_CPU].map(OsString::from);
    taskset.into_iter().chain(command).collect()
}

fn free_port(range: Range<u16>) -> io::Result<u16> {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let taken = || io::Error::other(format!("no free port in {range:?}"));
    range.clone().find(is_free).ok_or_else(taken)
}

/// A child process that does not outlive us.
struct Started(Child);

impl Started {
    /// With every open file that the hard limit grants. The shell is replaced, so the child's id is the program's.
    fn new(command: Vec<OsString>) -> io::Result<Started> {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "ulimit -n \"$(ulimit -Hn)\"; exec \"$@\"", "sh"])
            .args(command);
        shell.stdin(Stdio::null()).stdout(Stdio::null());
        shell.spawn().map(Started)
    }

    fn wait_until_listening(&mut self, address: SocketAddr) -> io::Result<()> {
        let deadline = Instant::now() + START_TIME_MAX;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.0.try_wait()? {
                return Err(io::Error::other(format!("the server ended with {status}")));
            }
            if Instant::now() > deadline {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the server does not listen",
                ));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    fn wait(&mut self, within: Duration) -> io::Result<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the load generator does not end",
                ));
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Fails only if it ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::find;

    fn text(arguments: Vec<OsString>) -> String {
        arguments
            .join(OsStr::new(" "))
            .into_string()
            .expect("UTF-8")
    }

    fn programs() -> Programs {
        Programs {
            release: "bin".into(),
            floor: Some("floor".into()),
        }
    }

    #[test]
    fn every_server_has_its_command() {
        let command =
            |server| text(server_arguments(&programs(), server, 27_500).expect("a command"));
        assert_eq!(
            command(Server::Raw),
            "bin/raw-server --listen 127.0.0.1:27500 --pin 1"
        );
        assert_eq!(
            command(Server::RawTwoShards),
            "bin/raw-server --listen 127.0.0.1:27500 --shards 2 --pin 1,0"
        );
        assert_eq!(
            command(Server::Tungstenite),
            "bin/shardcast-peer-tokio-tungstenite --listen 127.0.0.1:27500 --pin 1"
        );
        assert!(
            command(Server::Floor)
                .starts_with("taskset -c 1 floor --port 27500 --shards 1 --nbuf 128 ")
        );
        let native = command(Server::Native);
        assert!(
            native.starts_with(
                "taskset -c 1 bin/shardcast serve --listen 127.0.0.1:27500 --admin 127.0.0.1:27"
            ),
            "{native}"
        );
        let without_floor = Programs {
            floor: None,
            ..programs()
        };
        assert!(server_arguments(&without_floor, Server::Floor, 27_500).is_err());
    }

    #[test]
    fn only_what_lasts_is_given_a_duration() {
        let command = |name| {
            text(load_arguments(
                &programs(),
                find(name).expect("a work"),
                "raw",
                5,
            ))
        };
        let echo = "bin/shardcast-load echo --connections 100 --payload 64 --protocol raw --pin 0 --warmup 1s --duration 5s";
        assert_eq!(command("echo-100"), echo);
        assert_eq!(
            command("idle-15000"),
            "bin/shardcast-load idle --connections 15000 --hold 2s --protocol raw --pin 0"
        );
    }

    #[test]
    fn a_server_that_ends_at_once_is_an_error_of_the_run() {
        let command = ["false"].map(OsString::from).to_vec();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let error = Started::new(command)
            .expect("a shell")
            .wait_until_listening(address);
        assert_eq!(
            error.expect_err("nothing listens").to_string(),
            "the server ended with exit status: 1"
        );
    }
}
