//! One run: a server started alone on its core, the load generator on the other, one report. Whatever was started is gone when the run ends.
//! Called by `compare`.

use crate::record::Load;
use crate::work::{Server, Work};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
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
/// Listening ports, below any range that connecting sockets are given ports from (`ip_local_port_range`).
const PORTS: Range<u16> = 9_500..9_600;
/// From start to the first connection.
const START_TIME_MAX: Duration = Duration::from_secs(10);
/// What a run may take beside its measured time: ramp-up of all connections, waiting for stragglers.
const LOAD_TIME_MAX: Duration = Duration::from_secs(120);
/// The prototype's constants, those that it was measured with.
const FLOOR_CONSTANTS: [&str; 14] = [
    "--nbuf", "128", "--bsz", "16640", "--pred", "4", "--wantb", "64", "--mw", "50", "--chunk",
    "1024", "--slice", "64",
];
/// Room for the largest work and its publishers, all of which connect at once from one core.
const NATIVE_SETTINGS: [&str; 4] = [
    "--set",
    "limits.max_connections=110000",
    "--set",
    "timeouts.handshake=60s",
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

/// Makes runs, one at a time.
#[derive(Debug)]
pub struct Runner {
    programs: Programs,
    /// The next one to try. Each run takes another: those of the last minutes are still held by closed connections.
    port: u16,
    /// The load generator's report of the run at hand.
    report: PathBuf,
    /// What the programs of the run at hand complain about.
    log: PathBuf,
}

impl Runner {
    /// Files of its runs are in the system's temporary folder.
    pub fn new(programs: Programs) -> Runner {
        let id = std::process::id();
        let file =
            |ending: &str| std::env::temp_dir().join(format!("shardcast-bench-{id}.{ending}"));
        let offset = id as u16 % PORTS.len() as u16;
        Runner {
            programs,
            port: PORTS.start + offset,
            report: file("json"),
            log: file("log"),
        }
    }

    /// Starts the server, loads it, stops it.
    ///
    /// # Errors
    /// A program is missing, fails, says something else than a report, or takes too long; with what it complained about.
    pub fn run(&mut self, server: Server, work: &Work, seconds: u32) -> io::Result<Load> {
        // The load generator appends; what an interrupted run may have left is no report of this one.
        let _ = fs::remove_file(&self.report);
        let complaints = File::create(&self.log)?;
        let result = self.run_logged(server, work, seconds, &complaints);
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        // Absent if nothing got so far as to write them.
        let _ = fs::remove_file(&self.report);
        let _ = fs::remove_file(&self.log);
        result.map_err(|error| io::Error::other(format!("{error}\n{log}")))
    }

    fn run_logged(
        &mut self,
        server: Server,
        work: &Work,
        seconds: u32,
        complaints: &File,
    ) -> io::Result<Load> {
        let (port, admin_port) = (self.free_port()?, self.free_port()?);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let command = server_arguments(&self.programs, server, port, admin_port)?;
        let mut started = Started::new(command, complaints)?;
        started.wait_until_listening(address)?;
        let mut command = load_arguments(&self.programs, work, server.protocol(), seconds);
        let (url, pid) = (format!("ws://{address}/ws"), started.0.id().to_string());
        command.extend(["--url", &url, "--server-pid", &pid, "--json"].map(OsString::from));
        command.push(self.report.clone().into_os_string());
        let within = LOAD_TIME_MAX + Duration::from_secs(u64::from(seconds));
        let status = Started::new(command, complaints)?.wait(within)?;
        let text = fs::read_to_string(&self.report).unwrap_or_default();
        serde_json::from_str(&text).map_err(|error| {
            io::Error::other(format!(
                "the load generator ended with {status}, report: {error}"
            ))
        })
    }

    fn free_port(&mut self) -> io::Result<u16> {
        for _ in PORTS {
            let port = self.port;
            self.port = if port + 1 < PORTS.end {
                port + 1
            } else {
                PORTS.start
            };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(port);
            }
        }
        Err(io::Error::other(format!("no free port in {PORTS:?}")))
    }
}

fn server_arguments(
    programs: &Programs,
    server: Server,
    port: u16,
    admin_port: u16,
) -> io::Result<Vec<OsString>> {
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
            let admin = format!("127.0.0.1:{admin_port}");
            let mut all = arguments(&own("shardcast"), &["serve", "--shards", "1"]);
            all.extend(NATIVE_SETTINGS.map(OsString::from));
            all.extend(["--listen", &listen, "--admin", &admin].map(OsString::from));
            on_server_cpu(all)
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

/// A child process that does not outlive us.
struct Started(Child);

impl Started {
    /// With every open file that the hard limit grants. The shell is replaced, so the child's id is the program's.
    fn new(command: Vec<OsString>, complaints: &File) -> io::Result<Started> {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "ulimit -n \"$(ulimit -Hn)\"; exec \"$@\"", "sh"])
            .args(command);
        shell.stdin(Stdio::null()).stdout(Stdio::null());
        shell.stderr(complaints.try_clone()?);
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
            |server| text(server_arguments(&programs(), server, 9_500, 9_501).expect("a command"));
        assert_eq!(
            command(Server::Raw),
            "bin/raw-server --listen 127.0.0.1:9500 --pin 1"
        );
        assert_eq!(
            command(Server::RawTwoShards),
            "bin/raw-server --listen 127.0.0.1:9500 --shards 2 --pin 1,0"
        );
        assert_eq!(
            command(Server::Tungstenite),
            "bin/shardcast-peer-tokio-tungstenite --listen 127.0.0.1:9500 --pin 1"
        );
        assert!(
            command(Server::Floor)
                .starts_with("taskset -c 1 floor --port 9500 --shards 1 --nbuf 128 ")
        );
        let native = "taskset -c 1 bin/shardcast serve --shards 1 --set limits.max_connections=110000 --set timeouts.handshake=60s \
                      --listen 127.0.0.1:9500 --admin 127.0.0.1:9501";
        assert_eq!(command(Server::Native), native);
        let without_floor = Programs {
            floor: None,
            ..programs()
        };
        assert!(server_arguments(&without_floor, Server::Floor, 9_500, 9_501).is_err());
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
    fn a_server_that_does_not_start_is_an_error_of_the_run() {
        let release = "no-such-folder".into();
        let mut runner = Runner::new(Programs {
            release,
            floor: None,
        });
        let work = find("echo-100").expect("a work");
        let error = runner
            .run(Server::Raw, work, 1)
            .expect_err("nothing to run")
            .to_string();
        assert!(
            error.starts_with("the server ended with exit status: 127\n"),
            "{error}"
        );
        assert!(error.contains("no-such-folder/raw-server"), "{error}");
        assert!(!runner.log.exists());
    }

    #[test]
    fn each_run_has_other_ports() {
        let mut runner = Runner::new(programs());
        let first = runner.free_port().expect("one of a hundred");
        assert_ne!(runner.free_port().expect("another"), first);
        runner.port = PORTS.end - 1;
        runner.free_port().expect("one of a hundred");
        assert!(PORTS.contains(&runner.port));
    }
}
