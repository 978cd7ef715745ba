//! TLS in front of a plain server: every connection is relayed to it, and what its handshake said
//! is kept. Called by `transport`.

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// A certificate and its key, and a file with the certificate.
pub(crate) struct Identity {
    config: Arc<ServerConfig>,
    pub(crate) pem: PathBuf,
}

/// What the server saw of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The handshake succeeded: the name asked for, and the protocol agreed on.
    Agreed(Option<String>, Option<String>),
    /// It failed.
    Refused(String),
    /// The client said that it says no more.
    Farewell,
}

/// What was seen so far.
#[derive(Clone, Default)]
pub(crate) struct Diary(Arc<(Mutex<Vec<Seen>>, Condvar)>);

/// For what is under way when the tool ends.
const PATIENCE: Duration = Duration::from_secs(10);

impl Diary {
    fn note(&self, seen: Seen) {
        self.0.0.lock().unwrap().push(seen);
        self.0.1.notify_all();
    }

    /// How often, as soon as it is so often or patience ends.
    pub(crate) fn count(&self, what: &Seen, expected: usize) -> usize {
        let count = |seen: &Vec<Seen>| seen.iter().filter(|seen| *seen == what).count();
        let seen = self.0.0.lock().unwrap();
        let waited = self
            .0
            .1
            .wait_timeout_while(seen, PATIENCE, |seen| count(seen) < expected);
        count(&waited.unwrap().0)
    }
}

impl Identity {
    /// Self-signed, for these names; `file`: one for each test.
    pub(crate) fn new(names: &[&str], file: &str) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).into()).collect();
        let mut wanted = CertificateParams::new(names).unwrap();
        wanted.distinguished_name.push(DnType::CommonName, file);
        let own = KeyPair::generate().unwrap();
        let made = wanted.self_signed(&own).unwrap();
        let pem = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
        std::fs::write(&pem, made.pem()).unwrap();
        let key = PrivateKeyDer::try_from(own.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Identity {
            config: Arc::new(config),
            pem,
        }
    }

    /// Starts to relay to `backend`. It lives until the test process ends.
    pub(crate) fn relay_to(&self, backend: SocketAddr) -> (u16, Diary) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (config, diary) = (Arc::clone(&self.config), Diary::default());
        let notes = diary.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (config, notes) = (Arc::clone(&config), notes.clone());
                std::thread::spawn(move || relay(&stream, config, backend, &notes));
            }
        });
        (port, diary)
    }
}

fn relay(stream: &TcpStream, config: Arc<ServerConfig>, backend: SocketAddr, diary: &Diary) {
    stream.set_nodelay(true).unwrap();
    let mut session = ServerConnection::new(config).unwrap();
    while session.is_handshaking() {
        if let Err(error) = session.complete_io(&mut &*stream) {
            return diary.note(Seen::Refused(error.to_string()));
        }
    }
    diary.note(Seen::Agreed(
        session.server_name().map(str::to_owned),
        session
            .alpn_protocol()
            .map(|name| String::from_utf8_lossy(name).into_owned()),
    ));
    let plain = TcpStream::connect(backend).unwrap();
    plain.set_nodelay(true).unwrap();
    let session = Mutex::new(session);
    std::thread::scope(|scope| {
        scope.spawn(|| encrypt(&plain, &session, stream));
        if open(stream, &session, &plain) {
            diary.note(Seen::Farewell);
        }
        // Either may be over already.
        let _ = plain.shutdown(Shutdown::Both);
        let _ = stream.shutdown(Shutdown::Both);
    });
}

/// From the server to the client.
fn encrypt(mut plain: &TcpStream, session: &Mutex<ServerConnection>, stream: &TcpStream) {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let count = plain.read(&mut bytes).unwrap_or(0);
        let mut session = session.lock().unwrap();
        match count {
            0 => session.send_close_notify(),
            count => session.writer().write_all(&bytes[..count]).unwrap(),
        }
        if !flush(&mut session, stream) || count == 0 {
            let _ = stream.shutdown(Shutdown::Write);
            return;
        }
    }
}

fn flush(session: &mut ServerConnection, mut stream: &TcpStream) -> bool {
    while session.wants_write() {
        if session.write_tls(&mut stream).is_err() {
            return false;
        }
    }
    true
}

/// From the client to the server. Returns whether the client said its end.
fn open(mut stream: &TcpStream, session: &Mutex<ServerConnection>, mut plain: &TcpStream) -> bool {
    let (mut records, mut bytes) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    // What came with the handshake's last record is there already.
    let mut came: &[u8] = &[];
    loop {
        let mut session = session.lock().unwrap();
        match session.reader().read(&mut bytes) {
            Ok(0) => return true,
            Ok(count) => match plain.write_all(&bytes[..count]) {
                Ok(()) => continue,
                Err(_) => return false,
            },
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
        if came.is_empty() {
            drop(session);
            came = match stream.read(&mut records) {
                Ok(count @ 1..) => &records[..count],
                Ok(0) | Err(_) => return false,
            };
            continue;
        }
        session.read_tls(&mut came).unwrap();
        if session.process_new_packets().is_err() {
            return false;
        }
    }
}
