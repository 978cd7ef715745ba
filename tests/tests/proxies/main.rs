//! Configurations of `docs/proxies.md`, run as they stand there by the proxy that they are for, in
//! front of `shardcast serve`: WebSockets and their closes, the client's address, event streams as
//! they are said, and a reload.

#![forbid(unsafe_code)]

use shardcast_patience::{PATIENCE, Program, is_reached_within, leave_out, wait_until};
use shardcast_tests::events::{Events, post, status};
use shardcast_tests::{Client, Raw, Served};
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

const PAGE: &str = include_str!("../../../docs/proxies.md");

/// The block of this language, the first or a later one.
#[track_caller]
fn block(language: &str, index: usize) -> &'static str {
    let begin = format!("```{language}\n");
    let mut blocks = PAGE.split(&begin).skip(1 + index);
    let text = blocks.next().and_then(|block| block.split("```").next());
    text.unwrap_or_else(|| panic!("no block of {language}"))
}

/// A folder that goes when the value is dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let name = format!("shardcast-proxies-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a temporary folder");
        Folder(folder)
    }

    fn write(&self, text: &str) -> PathBuf {
        let path = self.0.join("configuration");
        fs::write(&path, text).expect("a writable folder");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _nobody_minds = fs::remove_dir_all(&self.0);
    }
}

/// A proxy that runs.
struct Proxy {
    program: Program,
    address: SocketAddr,
    folder: Folder,
}

/// A port that is free now: not every proxy tells which it was given.
fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound")
}

/// What a proxy is started from: its program, how a line of the page becomes one for the test, and
/// the command.
struct Kind {
    program: &'static str,
    package: &'static str,
    language: &'static str,
    block: usize,
    /// What the page listens at, with `@` where the address stands.
    listens: (&'static str, &'static str),
    command: fn(&Path, &Path, SocketAddr) -> Command,
}

impl Kind {
    /// In front of this server; `None`: the proxy is not here.
    #[track_caller]
    fn start(&self, served: &Served, name: &str) -> Option<Proxy> {
        if !Path::new(self.program).exists() {
            leave_out(&format!(
                "{}, from the package {}",
                self.program, self.package
            ));
            return None;
        }
        let (folder, address) = (Folder::new(name), free());
        let (listens, instead) = self.listens;
        let page = block(self.language, self.block);
        assert!(page.contains(listens), "{page}");
        let instead = instead.replace('@', &address.to_string());
        let [clients, admin] = ["ws", "http"].map(|scheme| served.address(scheme));
        let text = page.replace(listens, &instead);
        let text = text.replace("127.0.0.1:8000", &clients.to_string());
        let text = text.replace("\"8000\"", &format!("\"{}\"", clients.port()));
        let text = text.replace("port 8001", &format!("port {}", admin.port()));
        let around = around(self.language, &folder.0);
        let path = folder.write(&around.replace("@page@", &text));
        let mut command = (self.command)(&path, &folder.0, address);
        let program = Program::start(&mut command);
        let there = is_reached_within(PATIENCE, || TcpStream::connect(address).is_ok());
        assert!(there, "{}: {}", self.program, program.errors());
        Some(Proxy {
            program,
            address,
            folder,
        })
    }
}

/// What stands around the page's part: files and folders of the test.
fn around(language: &str, folder: &Path) -> String {
    let folder = folder.display();
    match language {
        "nginx" => format!(
            "daemon off;\nmaster_process on;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n\
             client_body_temp_path {folder}/a;\nproxy_temp_path {folder}/b;\nfastcgi_temp_path {folder}/c;\n\
             uwsgi_temp_path {folder}/d;\nscgi_temp_path {folder}/e;\n@page@\n}}\n"
        ),
        _ => "@page@\n".to_owned(),
    }
}

const NGINX: Kind = Kind {
    program: "/usr/sbin/nginx",
    package: "nginx-light",
    language: "nginx",
    block: 0,
    listens: ("listen 80;", "listen @;"),
    command: |file, folder, _| {
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-p").arg(folder).arg("-c").arg(file);
        command
    },
};

const HAPROXY: Kind = Kind {
    program: "/usr/sbin/haproxy",
    package: "haproxy",
    language: "haproxy",
    block: 0,
    listens: ("bind :80", "bind @"),
    command: |file, _, _| {
        let mut command = Command::new("/usr/sbin/haproxy");
        command.args(["-W", "-db", "-f"]).arg(file);
        command
    },
};

const VARNISH: Kind = Kind {
    program: "/usr/sbin/varnishd",
    package: "varnish",
    language: "vcl",
    block: 0,
    listens: ("backend shardcast", "backend shardcast"),
    command: |file, folder, address| {
        let mut command = Command::new("/usr/sbin/varnishd");
        command.args(["-F", "-j", "none", "-p", "pipe_timeout=75"]);
        command.arg("-a").arg(address.to_string());
        command.arg("-f").arg(file).arg("-n").arg(folder.join("n"));
        command
    },
};

/// Its workers end with it, after a panic, too.
impl Drop for Proxy {
    fn drop(&mut self) {
        let id = self.program.id().to_string();
        let _already_gone = Command::new("kill").arg(id).status();
        let _left_behind =
            is_reached_within(PATIENCE, || TcpStream::connect(self.address).is_err());
    }
}

impl Proxy {
    /// Another process that has to succeed.
    #[track_caller]
    fn tells(command: &mut Command) {
        let output = command.output().expect("it can be started");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {said}");
    }
}

fn serve(more: &str) -> Served {
    let server = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nshards = 2\npin = \"none\"\n\
         [access]\ntrusted_proxies = [\"127.0.0.1\"]\n{more}[timeouts]\nheartbeat = \"1h\"\nidle = \"2h\"\n"
    );
    Served::start(env!("CARGO_BIN_EXE_served"), &server)
}

/// Somebody from another address of this host.
fn stranger(proxy: &Proxy) -> Raw {
    Raw::connect_from(IpAddr::from([127, 0, 0, 17]), proxy.address)
}

#[track_caller]
fn pings(client: &mut Client, id: u32) {
    client.check(
        &format!(r#"{{"type":"ping","id":{id}}}"#),
        &format!(r#"{{"type":"pong","id":{id}}}"#),
    );
}

/// What holds behind each of them.
#[track_caller]
fn check(served: &Served, proxy: &Proxy) {
    // A close of the client is answered.
    let mut client = Client::native_at(proxy.address);
    pings(&mut client, 1);
    client.leave();
    wait_until("it has left", || served.metric("connections") == 0);
    // A close of the server arrives, with its code and reason.
    let mut client = Client::native_at(proxy.address);
    let close = format!(
        r#"{{"connection":"{}","code":4321,"reason":"enough"}}"#,
        client.id()
    );
    assert_eq!(served.call("/api/disconnect", &close).0, 200);
    assert_eq!(client.closed(), (4321, "enough".to_owned()));
    drop(client);
    wait_until("it has left", || served.metric("connections") == 0);
    // The client's address is the client's.
    let mut raw = stranger(proxy);
    raw.upgrade();
    raw.hear();
    let (_, known) = served.ask("/api/connections?address=127.0.0.17");
    assert!(known.contains(r#""address":"127.0.0.17:"#), "{known}");
    drop(raw);
    wait_until("it has left", || served.metric("connections") == 0);
    // No heartbeat helps what is held back: an event is there before the next is said.
    let mut events = Events::at(Raw::connect_at(proxy.address), "/sse");
    events.hear();
    for id in 1..=3 {
        let mut poster = Raw::connect_at(proxy.address);
        let ping = format!(r#"{{"type":"ping","id":{id}}}"#);
        poster.send(post("/sse", events.token(), &ping).as_bytes());
        assert_eq!(status(&poster.answer().0), 204);
        assert_eq!(events.hear(), format!(r#"{{"type":"pong","id":{id}}}"#));
    }
}

/// A client that was there before a reload is there after it, and others are let in.
#[track_caller]
fn outlives(proxy: &Proxy, reload: impl FnOnce(&Proxy)) {
    let mut before = Client::native_at(proxy.address);
    pings(&mut before, 1);
    reload(proxy);
    for id in 2..=20 {
        pings(&mut before, id);
        let mut after = Client::native_at(proxy.address);
        pings(&mut after, 1);
        after.leave();
    }
    before.leave();
}

#[test]
fn nginx() {
    let served = serve("");
    let Some(proxy) = NGINX.start(&served, "nginx") else {
        return;
    };
    check(&served, &proxy);
    outlives(&proxy, |proxy| proxy.program.signal("HUP"));
}

#[test]
fn haproxy() {
    let served = serve("");
    let Some(proxy) = HAPROXY.start(&served, "haproxy") else {
        return;
    };
    check(&served, &proxy);
    outlives(&proxy, |proxy| proxy.program.signal("USR2"));
}

#[test]
fn haproxy_with_the_proxy_protocol() {
    let served = serve("proxy_protocol = \"on\"\n");
    let kind = Kind {
        block: 1,
        ..HAPROXY
    };
    let Some(proxy) = kind.start(&served, "haproxy-proxy") else {
        return;
    };
    check(&served, &proxy);
}

#[test]
fn varnish() {
    let served = serve("");
    let Some(proxy) = VARNISH.start(&served, "varnish") else {
        return;
    };
    check(&served, &proxy);
    outlives(&proxy, |proxy| {
        let file = proxy.folder.0.join("configuration").display().to_string();
        for order in [&["vcl.load", "next", &file][..], &["vcl.use", "next"]] {
            let mut tool = Command::new("varnishadm");
            tool.arg("-n").arg(proxy.folder.0.join("n")).args(order);
            Proxy::tells(&mut tool);
        }
    });
}
