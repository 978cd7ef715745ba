//! Command lines: of a server that listens on a port, of the load generator that works on it.
//! Nothing is started here. Called by `run`.

use crate::prepare::Places;
use crate::server::{LOAD_CPU, Program, SERVER_CPU, Server};
use crate::work::Work;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

/// A server's, pinned to its cores from outside.
///
/// # Errors
/// The server is one that is given by path, and none was given.
pub fn server(places: &Places, server: Server, port: u16) -> io::Result<Vec<OsString>> {
    let program: PathBuf = match server.program {
        Program::Own(_, binary) => places.own(binary),
        Program::Peer(peer) => places.start(peer),
        Program::Given => given(&places.floor, server)?,
        Program::Against => given(&places.against, server)?,
    };
    let file = |path: PathBuf| path.into_os_string();
    let mut command: Vec<OsString> = ["taskset", "-c", server.cores].map(OsString::from).into();
    command.push(program.into_os_string());
    command.extend(server.arguments.iter().map(|argument| match *argument {
        "{listen}" => OsString::from(format!("127.0.0.1:{port}")),
        "{port}" => OsString::from(port.to_string()),
        "{next}" => OsString::from(format!("127.0.0.1:{}", port + 1)),
        "{certificate}" => file(places.certificate()),
        "{key}" => file(places.key()),
        "{tokens}" => file(places.tokens()),
        "{store}" => {
            let mut setting = OsString::from("persistence.path=");
            setting.push(places.store());
            setting
        }
        plain => OsString::from(plain),
    }));
    Ok(command)
}

fn given(path: &Option<PathBuf>, server: Server) -> io::Result<PathBuf> {
    let missing = || io::Error::other(format!("{} takes part only with its path", server.name));
    path.clone().ok_or_else(missing)
}

/// The load generator's, without the server's address.
pub fn load(places: &Places, work: &Work, server: Server, seconds: u32) -> Vec<OsString> {
    let mut command = vec![places.own("shardcast-load").into_os_string()];
    command.extend(work.load.split_whitespace().map(OsString::from));
    command.extend(["--protocol", server.protocol, "--pin", LOAD_CPU].map(OsString::from));
    command.extend(server.load.iter().map(OsString::from));
    if !work.load.starts_with("idle") {
        let duration = format!("{seconds}s");
        command.extend(["--warmup", "1s", "--duration", &duration].map(OsString::from));
    }
    command
}

const _: () = assert!(SERVER_CPU.as_bytes()[0] != LOAD_CPU.as_bytes()[0]);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::find;
    use crate::product::{NATIVE, NATIVE_TOKENS};
    use crate::server::{
        FLOOR, NATS, RAW, RAW_BEFORE, RAW_DEFLATE, RAW_TLS, RAW_TWO_SHARDS, TUNGSTENITE_EACH,
        TUNGSTENITE_TLS,
    };
    use std::ffi::OsStr;

    fn text(command: Vec<OsString>) -> String {
        command.join(OsStr::new(" ")).into_string().expect("UTF-8")
    }

    fn places() -> Places {
        Places {
            repository: "here".into(),
            target: "target".into(),
            floor: Some("floor".into()),
            against: Some("old/raw-server".into()),
        }
    }

    #[test]
    fn every_server_has_its_command() {
        let cases = [
            (
                RAW,
                "taskset -c 1 target/release/raw-server --listen 127.0.0.1:9500 --pin 1",
            ),
            (
                RAW_TWO_SHARDS,
                "taskset -c 0,1 target/release/raw-server --listen 127.0.0.1:9500 --shards 2 --pin 1,0",
            ),
            (
                NATIVE,
                "taskset -c 1 target/release/shardcast serve --shards 1 --set limits.max_connections=110000 \
                 --set timeouts.handshake=60s --listen 127.0.0.1:9500 --admin 127.0.0.1:9501",
            ),
            (
                NATIVE_TOKENS,
                "taskset -c 1 target/release/shardcast serve --config target/bench-tokens.toml --shards 1 \
                 --set limits.max_connections=110000 --set timeouts.handshake=60s --listen 127.0.0.1:9500 --admin 127.0.0.1:9501",
            ),
            (
                TUNGSTENITE_EACH,
                "taskset -c 1 here/bench/peers/tokio-tungstenite/start --listen 127.0.0.1:9500 --flush each",
            ),
            (
                NATS,
                "taskset -c 1 here/bench/peers/nats/start --listen 127.0.0.1:9500",
            ),
            (
                RAW_BEFORE,
                "taskset -c 1 old/raw-server --listen 127.0.0.1:9500 --pin 1",
            ),
            (
                RAW_TLS,
                "taskset -c 1 target/release/raw-server --listen 127.0.0.1:9500 --pin 1 \
                 --tls target/bench-certificate.pem target/bench-key.pem",
            ),
            (
                TUNGSTENITE_TLS,
                "taskset -c 1 here/bench/peers/tokio-tungstenite/start --listen 127.0.0.1:9500 \
                 --tls target/bench-certificate.pem target/bench-key.pem",
            ),
            (
                FLOOR,
                "taskset -c 1 floor --port 9500 --shards 1 --nbuf 128 --bsz 16640 --pred 4 --wantb 64 --mw 50 \
                 --chunk 1024 --slice 64",
            ),
        ];
        for (who, expected) in cases {
            assert_eq!(
                text(server(&places(), who, 9_500).expect("a command")),
                expected
            );
        }
        let without = Places {
            floor: None,
            against: None,
            ..places()
        };
        for who in [FLOOR, RAW_BEFORE] {
            assert!(server(&without, who, 9_500).is_err());
        }
    }

    #[test]
    fn only_what_lasts_is_given_a_duration() {
        let command = |name, server| text(load(&places(), find(name).expect("a work"), server, 5));
        assert_eq!(
            command("echo-100", RAW),
            "target/release/shardcast-load echo --connections 100 --payload 64 --protocol raw --pin 0 --warmup 1s --duration 5s"
        );
        assert_eq!(
            command("broadcast-json", RAW_DEFLATE),
            "target/release/shardcast-load broadcast --connections 1000 --publishers 1 --payload 1024 --content json --rate 25 --burst 1 \
             --protocol raw --pin 0 --compress --warmup 1s --duration 5s"
        );
        assert_eq!(
            command("echo-tls-100", RAW_TLS),
            "target/release/shardcast-load echo --connections 100 --payload 64 --protocol raw --pin 0 --insecure \
             --tls-suite TLS13_AES_128_GCM_SHA256 --warmup 1s --duration 5s"
        );
        assert_eq!(
            command("whole-room-10000", NATS),
            "target/release/shardcast-load idle --connections 10000 --rooms 1 --hold 2s --protocol nats --pin 0"
        );
    }
}
