//! Listeners that are no addresses, on the real ring: Unix sockets with their files, and sockets
//! that the process was given.

use shardcast_engine::protocol::frame::Kind;
use shardcast_engine::protocol::http::HttpRequest;
use shardcast_engine::{
    Admission, Application, Config, Context, Inherited, ListenAddress, ListenSource, Listener,
    Message, Pinning, Running, StartError,
};
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// No test takes longer, however slow the host.
const PATIENCE: Duration = Duration::from_secs(60);

/// Says where the client connects from.
struct Whence;

impl Application for Whence {
    type Session = ();

    fn connect(&mut self, _: &mut Context<'_>, _: &HttpRequest<'_>) -> Admission<()> {
        Admission::Accept(().into())
    }

    fn message(&mut self, cx: &mut Context<'_>, _: &mut (), _: Message<'_>) {
        cx.send(Kind::Text, cx.peer().to_string().as_bytes());
    }
}

fn config(sources: impl IntoIterator<Item = ListenSource>) -> Config {
    Config {
        listeners: sources.into_iter().map(Listener::of).collect(),
        shards: 2,
        pinning: Pinning::None,
        connections_max: 1000,
        ..Config::default()
    }
}

fn start(source: ListenSource) -> Result<Running, StartError> {
    shardcast_engine::start(config([source]), |_| Whence)
}

/// Why it does not start.
#[track_caller]
fn refusal(source: ListenSource) -> io::Error {
    match start(source) {
        Err(StartError::Listen { source, .. }) => source,
        other => panic!("{other:?}"),
    }
}

/// A folder that ends with its test.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Folder {
        let name = format!("shardcast-listen-{}-{test}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.join("s.sock")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _left_behind = fs::remove_dir_all(&self.0);
    }
}

/// A client that is open.
struct Client<S>(S);

impl<S: Read + Write> Client<S> {
    #[track_caller]
    fn open(mut stream: S) -> Client<S> {
        let head = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.extend_from_slice(&byte);
        }
        assert!(answer.starts_with(b"HTTP/1.1 101 "));
        Client(stream)
    }

    /// The payload of the next frame, after its first byte.
    #[track_caller]
    fn hear(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).unwrap();
        let mut payload = vec![0; usize::from(head[1])];
        self.0.read_exact(&mut payload).unwrap();
        (head[0], payload)
    }

    /// Where the server thinks that the client comes from.
    #[track_caller]
    fn whence(&mut self) -> String {
        self.whence_unless_draining().expect("no drain has begun")
    }

    /// The same; `None` from a server that drains and sends the client away.
    #[track_caller]
    fn whence_unless_draining(&mut self) -> Option<String> {
        self.0.write_all(&[0x81, 0x81, 0, 0, 0, 0, b'?']).unwrap();
        match self.hear() {
            (0x81, text) => Some(String::from_utf8(text).unwrap()),
            close => {
                assert_eq!(close, (0x88, b"\x03\xe9draining".to_vec()));
                None
            }
        }
    }

    #[track_caller]
    fn leaves_as_told(mut self) {
        assert_eq!(self.hear(), (0x88, b"\x03\xe9draining".to_vec()));
        self.0
            .write_all(&[0x88, 0x82, 0, 0, 0, 0, 3, 0xe9])
            .unwrap();
        assert_eq!(self.0.read(&mut [0]).unwrap(), 0, "the end");
    }
}

fn unix(path: &Path) -> Client<UnixStream> {
    let stream = UnixStream::connect(path).expect("the server accepts");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Client::open(stream)
}

fn tcp(address: SocketAddr) -> Client<TcpStream> {
    let stream = TcpStream::connect(address).expect("the server accepts");
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Client::open(stream)
}

#[test]
fn a_unix_socket_serves_and_its_file_is_there_as_long_as_it_is() {
    let folder = Folder::new("serves");
    let path = folder.file();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let sources = [ListenSource::Unix(path.clone()), ListenSource::Bind(any)];
    let engine = shardcast_engine::start(config(sources), |_| Whence).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, ListenSource::UNIX_MODE);
    assert_eq!(engine.addresses()[0], ListenAddress::Unix(path.clone()));
    let mut clients: Vec<_> = (0..100).map(|_| unix(&path)).collect();
    for client in &mut clients {
        assert_eq!(client.whence(), "unix");
    }
    let mut other = tcp(engine.local_addr().unwrap());
    assert_eq!(other.whence(), other.0.local_addr().unwrap().to_string());
    drop(other);
    let drained = std::thread::spawn(move || engine.drain(PATIENCE));
    clients.into_iter().for_each(Client::leaves_as_told);
    assert!(drained.join().unwrap());
    assert!(!path.exists(), "nothing is left behind");
}

#[test]
fn a_file_that_was_left_behind_is_replaced_and_no_other() {
    let folder = Folder::new("replaced");
    let path = folder.file();
    // Dropping a listener does not remove its file.
    drop(UnixListener::bind(&path).unwrap());
    let engine = start(ListenSource::Unix(path.clone())).unwrap();
    assert_eq!(unix(&path).whence(), "unix");
    // Somebody listens there.
    let error = refusal(ListenSource::Unix(path.clone()));
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert_eq!(unix(&path).whence(), "unix");
    // Whoever takes the place of a running engine's file keeps it.
    fs::remove_file(&path).unwrap();
    let successor = UnixListener::bind(&path).unwrap();
    drop(engine);
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
    drop(successor);
    // A file that is no socket is nobody's to remove.
    fs::remove_file(&path).unwrap();
    fs::write(&path, "precious").unwrap();
    let error = refusal(ListenSource::Unix(path.clone()));
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_path_that_cannot_be_is_refused() {
    let folder = Folder::new("refused");
    let nowhere = folder.0.join("no/such/folder/s.sock");
    assert_eq!(
        refusal(ListenSource::Unix(nowhere)).kind(),
        ErrorKind::NotFound
    );
    for bytes in [0, 108] {
        match start(ListenSource::Unix("x".repeat(bytes).into())) {
            Err(StartError::Config(error)) => {
                let told = format!("listeners is {bytes}: 1 to 107 bytes of path");
                assert_eq!(error.to_string(), told);
            }
            other => panic!("{other:?}"),
        }
    }
    let path = folder.file();
    let twice = [ListenSource::Unix(path.clone()), ListenSource::Unix(path)];
    match shardcast_engine::start(config(twice), |_| Whence) {
        Err(StartError::Config(error)) => assert_eq!(error.field, "listeners"),
        other => panic!("{other:?}"),
    }
}

/// A successor has the same socket. Every client is let in by one of the two: whom the first engine
/// has accepted before its accepts ended is sent away with a close frame, and nobody is cut.
#[test]
fn a_drain_leaves_an_inherited_socket_to_those_who_share_it() {
    let folder = Folder::new("inherited");
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let file = UnixListener::bind(folder.file()).unwrap();
    let shared = [OwnedFd::from(socket), OwnedFd::from(file)];
    let engine = || {
        let sources = shared
            .each_ref()
            .map(|socket| ListenSource::Inherited(Inherited::from(socket.try_clone().unwrap())));
        shardcast_engine::start(config(sources), |_| Whence).unwrap()
    };
    let first = engine();
    let addresses = [
        ListenAddress::Ip(address),
        ListenAddress::Unix(folder.file()),
    ];
    assert_eq!(first.addresses(), addresses);
    let old = [tcp(address), tcp(address)];
    let old_unix = unix(&folder.file());
    let second = engine();
    let draining = std::thread::spawn(move || first.drain(PATIENCE));
    let mut leaving = old.into_iter();
    let [mut one, other] = [leaving.next().unwrap(), leaving.next().unwrap()];
    assert_eq!(one.hear(), (0x88, b"\x03\xe9draining".to_vec()));
    // The first engine still waits for its clients.
    let mut sent_away = 0;
    for _ in 0..50 {
        match tcp(address).whence_unless_draining() {
            Some(whence) => assert!(whence.starts_with("127.0.0.1:"), "{whence}"),
            None => sent_away += 1,
        }
        match unix(&folder.file()).whence_unless_draining() {
            Some(whence) => assert_eq!(whence, "unix"),
            None => sent_away += 1,
        }
    }
    assert!(sent_away < 50, "the successor serves");
    drop(one);
    other.leaves_as_told();
    old_unix.leaves_as_told();
    assert!(draining.join().unwrap());
    assert_eq!(unix(&folder.file()).whence(), "unix");
    let mut late = tcp(address);
    late.whence();
    drop(second);
    // Those who wait to be accepted now wait for the next engine.
    let waiting = std::thread::spawn(move || tcp(address).whence());
    let third = engine();
    assert!(waiting.join().unwrap().starts_with("127.0.0.1:"));
    drop(third);
}

#[test]
fn what_is_inherited_must_be_a_listening_stream_socket() {
    let any = "127.0.0.1:0";
    let datagrams = UdpSocket::bind(any).unwrap();
    let silent = TcpStream::connect(TcpListener::bind(any).unwrap().local_addr().unwrap());
    let (pair, _) = UnixStream::pair().unwrap();
    for (what, socket) in [
        ("it is no stream socket", OwnedFd::from(datagrams)),
        ("it does not listen", OwnedFd::from(silent.unwrap())),
        ("it does not listen", OwnedFd::from(pair)),
    ] {
        let error = refusal(ListenSource::Inherited(socket.into()));
        assert_eq!(
            (error.kind(), &*error.to_string()),
            (ErrorKind::InvalidInput, what)
        );
    }
    let file = OwnedFd::from(fs::File::open("/dev/null").unwrap());
    refusal(ListenSource::Inherited(file.into()));
}
