//! Sessions against a rustls client, in memory.

mod twins;

use crate::egress::tls::error::TlsError;
use crate::egress::tls::fault::Fault;
use crate::egress::tls::identity::Identity;
use crate::egress::tls::options::{ClientCertificates, TlsOptions, TlsVersion};
use crate::egress::tls::server::Tls;
use crate::egress::tls::session::Session;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore};
use std::io::{Read, Write};
use std::sync::Arc;

/// A certificate of its own, for some names.
pub(crate) struct Issued {
    chain: String,
    key: String,
    der: CertificateDer<'static>,
    key_der: Vec<u8>,
}

pub(crate) fn issue(names: &[&str]) -> Issued {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let issued = rcgen::generate_simple_self_signed(names).unwrap();
    Issued {
        chain: issued.cert.pem(),
        key: issued.signing_key.serialize_pem(),
        der: issued.cert.der().clone(),
        key_der: issued.signing_key.serialize_der(),
    }
}

impl Issued {
    pub(crate) fn identity(&self) -> Identity {
        Identity::from_pem(self.chain.as_bytes(), self.key.as_bytes()).unwrap()
    }
}

pub(crate) fn client_config(trusted: &Issued, shown: Option<&Issued>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der.clone()).unwrap();
    let builder =
        ClientConfig::builder_with_provider(crate::egress::tls::provider::provider().clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
    let mut config = match shown {
        None => builder.with_no_client_auth(),
        Some(shown) => builder
            .with_client_auth_cert(
                vec![shown.der.clone()],
                PrivatePkcs8KeyDer::from(shown.key_der.clone()).into(),
            )
            .unwrap(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// A client and a session, and the wires between them.
struct Pair {
    client: ClientConnection,
    session: Session,
    /// What the session has heard.
    heard: Vec<u8>,
    /// The client's bytes reach the session in pieces of this size.
    piece_bytes: usize,
    /// Of its handshake.
    turns: usize,
}

impl Pair {
    fn new(tls: &Tls, config: &Arc<ClientConfig>, piece_bytes: usize) -> Pair {
        Pair {
            client: ClientConnection::new(config.clone(), "a.test".try_into().unwrap()).unwrap(),
            session: Session::new(tls).unwrap(),
            heard: Vec::new(),
            piece_bytes,
            turns: 0,
        }
    }

    /// Everything that the client has to send reaches the session.
    fn carry_to_session(&mut self) -> Result<(), Fault> {
        let mut wire = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut wire).unwrap();
        }
        self.feed(&wire)
    }

    fn feed(&mut self, wire: &[u8]) -> Result<(), Fault> {
        for piece in wire.chunks(self.piece_bytes) {
            let mut piece = piece.to_vec();
            if self.session.is_handshaking() {
                if self.session.buffer(&piece)? {
                    self.turns += 1;
                    self.session.handshake(&mut self.heard)?;
                }
            } else {
                self.session.receive(&mut piece, &mut self.heard)?;
            }
        }
        Ok(())
    }

    fn carry_to_client(&mut self, mut wire: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let mut heard = Vec::new();
        while !wire.is_empty() {
            self.client.read_tls(&mut wire).unwrap();
            self.client.process_new_packets()?;
            // `WouldBlock` and an end without `close_notify` are both "no more for now".
            let _ = self.client.reader().read_to_end(&mut heard);
        }
        Ok(heard)
    }

    fn shake_hands(&mut self) -> Result<(), Fault> {
        for _ in 0..4 {
            self.carry_to_session()?;
            let mut pending = Vec::new();
            self.session.encrypt(&[], &mut pending)?;
            self.carry_to_client(&pending).unwrap();
        }
        Ok(())
    }
}

fn options(issued: &Issued) -> TlsOptions {
    TlsOptions::new(issued.identity())
}

#[test]
fn both_versions_carry_bytes_however_they_are_cut() {
    let issued = issue(&["a.test"]);
    let tls = Tls::new(options(&issued)).unwrap();
    for (version, protocol) in [
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
    ] {
        for piece_bytes in [1, 2, 5, 6, 97, 1000, 1 << 20] {
            let mut roots = RootCertStore::empty();
            roots.add(issued.der.clone()).unwrap();
            let config = ClientConfig::builder_with_provider(
                crate::egress::tls::provider::provider().clone(),
            )
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
            let mut pair = Pair::new(&tls, &Arc::new(config), piece_bytes);
            pair.shake_hands().unwrap();
            assert!(!pair.session.is_handshaking(), "{protocol:?} {piece_bytes}");
            // One for each record at most: its hello, its keys, its cipher, its end.
            assert!(pair.turns <= 4, "{} turns, {piece_bytes}", pair.turns);
            assert_eq!(pair.client.protocol_version(), Some(protocol));
            let long = vec![7; 40_000];
            for said in [&b"one"[..], b"two", &long] {
                pair.client.writer().write_all(said).unwrap();
            }
            pair.carry_to_session().unwrap();
            assert_eq!(pair.heard, [&b"onetwo"[..], &long].concat());
            let mut wire = Vec::new();
            pair.session.encrypt(&long, &mut wire).unwrap();
            pair.session.close_notify(&mut wire).unwrap();
            pair.session.close_notify(&mut wire).unwrap();
            assert_eq!(pair.carry_to_client(&wire).unwrap(), long);
            assert!(!pair.session.is_over());
            pair.client.send_close_notify();
            pair.carry_to_session().unwrap();
            assert!(pair.session.is_over());
            assert!(!pair.session.is_close_notify_pending());
        }
    }
}

/// What a client says together with the end of its handshake is heard at once, however the two are
/// cut.
#[test]
fn words_behind_the_handshake_are_heard_with_it() {
    let issued = issue(&["a.test"]);
    let tls = Tls::new(options(&issued)).unwrap();
    let config = Arc::new(client_config(&issued, None));
    for resumed in [false, true] {
        let mut whole = None;
        for cut in 0.. {
            let mut pair = Pair::new(&tls, &config, 1 << 20);
            pair.carry_to_session().unwrap();
            let pending = pair.session.take_pending();
            pair.carry_to_client(&pending).unwrap();
            pair.client.writer().write_all(b"hello").unwrap();
            let mut wire = Vec::new();
            while pair.client.wants_write() {
                pair.client.write_tls(&mut wire).unwrap();
            }
            if cut > *whole.get_or_insert(wire.len()) {
                break;
            }
            let cut = cut.min(wire.len());
            pair.feed(&wire[..cut]).unwrap();
            pair.feed(&wire[cut..]).unwrap();
            assert_eq!(pair.heard, b"hello", "resumed: {resumed}, cut at {cut}");
        }
        // The tickets of the next round.
        let mut pair = Pair::new(&tls, &config, 1 << 20);
        pair.shake_hands().unwrap();
    }
}

/// Content type and length of every record.
fn records(mut wire: &[u8]) -> Vec<(u8, usize)> {
    let mut records = Vec::new();
    while let [kind, _, _, high, low, rest @ ..] = wire {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        records.push((*kind, length));
        wire = &rest[length..];
    }
    records
}

#[test]
fn what_is_encrypted_at_once_shares_records() {
    const APPLICATION: u8 = 23;
    let issued = issue(&["a.test"]);
    let tls = Tls::new(options(&issued)).unwrap();
    let config = Arc::new(client_config(&issued, None));
    let mut pair = Pair::new(&tls, &config, 1 << 20);
    pair.shake_hands().unwrap();
    for (plain_bytes, expected) in [
        (1, vec![(APPLICATION, 18)]),
        (16_384, vec![(APPLICATION, 16_401)]),
        (16_385, vec![(APPLICATION, 16_401), (APPLICATION, 18)]),
    ] {
        let mut wire = Vec::new();
        pair.session
            .encrypt(&vec![1; plain_bytes], &mut wire)
            .unwrap();
        assert_eq!(records(&wire), expected);
        assert_eq!(pair.carry_to_client(&wire).unwrap().len(), plain_bytes);
    }
}

#[test]
fn an_idle_session_holds_no_buffers() {
    let issued = issue(&["a.test"]);
    let tls = Tls::new(options(&issued)).unwrap();
    let mut pair = Pair::new(&tls, &Arc::new(client_config(&issued, None)), 1 << 20);
    pair.shake_hands().unwrap();
    assert_eq!(pair.session.memory_bytes(), 0);
    pair.client.writer().write_all(b"hello").unwrap();
    pair.carry_to_session().unwrap();
    assert_eq!(pair.session.memory_bytes(), 0);
}

#[test]
fn garbage_ends_in_a_fault_and_an_alert() {
    const ALERT: u8 = 21;
    let issued = issue(&["a.test"]);
    let tls = Tls::new(options(&issued)).unwrap();
    let config = Arc::new(client_config(&issued, None));
    for garbage in [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        &[22, 3, 3, 0, 4, 1, 0, 0, 0],
        &[23, 3, 3, 0, 1, 0],
    ] {
        let mut pair = Pair::new(&tls, &config, 3);
        assert!(pair.feed(garbage).is_err(), "{garbage:?}");
        assert_eq!(
            records(&pair.session.take_pending()),
            [(ALERT, 2)],
            "{garbage:?}"
        );
        let mut wire = Vec::new();
        pair.session.encrypt(b"never", &mut wire).unwrap();
        pair.session.close_notify(&mut wire).unwrap();
        assert!(wire.is_empty());
    }
    let mut pair = Pair::new(&tls, &config, 1 << 20);
    pair.shake_hands().unwrap();
    assert!(
        pair.feed(&[
            23, 3, 3, 0, 20, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
        ])
        .is_err()
    );
    assert_eq!(records(&pair.session.take_pending()), [(23, 19)]);
}

#[test]
fn a_handshake_has_a_longest_length() {
    let issued = issue(&["a.test"]);
    let mut session = Session::new(&Tls::new(options(&issued)).unwrap()).unwrap();
    assert_eq!(
        session.buffer(&vec![22; Session::PARTIAL_BYTES_MAX - 1]),
        Ok(true)
    );
    assert_eq!(session.buffer(&[22]), Ok(false));
    assert_eq!(session.buffer(&[0]), Err(Fault::TooLong));
}

#[test]
fn tickets_resume_on_every_shard_and_after_a_renewal() {
    let (issued, other) = (issue(&["a.test"]), issue(&["a.test"]));
    let tls = Tls::new(options(&issued)).unwrap();
    let config = Arc::new(client_config(&issued, None));
    let kind = |tls: &Tls| {
        let mut pair = Pair::new(tls, &config, 1 << 20);
        pair.shake_hands().unwrap();
        assert_eq!(
            pair.session.is_resumed(),
            pair.client.handshake_kind() == Some(HandshakeKind::Resumed)
        );
        pair.client.handshake_kind().unwrap()
    };
    assert_eq!(kind(&tls), HandshakeKind::Full);
    assert_eq!(kind(&tls), HandshakeKind::Resumed);
    // The other certificate is not trusted: only a resumption does not show it.
    let renewed = tls.renewed(options(&other)).unwrap();
    assert_eq!(kind(&renewed), HandshakeKind::Resumed);
    let mut stricter = options(&issued);
    stricter.clients = ClientCertificates::Optional(issued.chain.into_bytes());
    assert_eq!(
        kind(&renewed.renewed(stricter).unwrap()),
        HandshakeKind::Full
    );
}

#[test]
fn clients_are_shown_the_certificate_of_the_name_they_ask_for() {
    let (first, second) = (issue(&["b.test"]), issue(&["*.wild.test", "a.test"]));
    let mut both = options(&first);
    both.identities.push(second.identity());
    let tls = Tls::new(both).unwrap();
    for (name, expected) in [
        ("a.test", &second),
        ("b.test", &first),
        ("x.wild.test", &second),
    ] {
        let config = Arc::new(client_config(expected, None));
        let mut pair = Pair::new(&tls, &config, 1 << 20);
        pair.client = ClientConnection::new(config, name.try_into().unwrap()).unwrap();
        pair.shake_hands().unwrap();
        assert_eq!(
            pair.client.peer_certificates().unwrap()[0],
            expected.der,
            "{name}"
        );
    }
    let identity = second.identity();
    for (name, named) in [
        ("y.x.wild.test", false),
        ("127.0.0.1", false),
        ("", false),
        ("A.TEST", true),
    ] {
        assert_eq!(identity.names(name), named, "{name}");
    }
}

#[test]
fn clients_show_certificates_as_they_are_asked_to() {
    let (server, known, stranger) = (issue(&["a.test"]), issue(&["client"]), issue(&["client"]));
    let ca = known.chain.clone().into_bytes();
    for (clients, shown, passes) in [
        (ClientCertificates::Required(ca.clone()), Some(&known), true),
        (
            ClientCertificates::Required(ca.clone()),
            Some(&stranger),
            false,
        ),
        (ClientCertificates::Required(ca.clone()), None, false),
        (ClientCertificates::Optional(ca.clone()), None, true),
        (ClientCertificates::Optional(ca), Some(&stranger), false),
        (ClientCertificates::NotAsked, Some(&known), true),
    ] {
        let asked = clients != ClientCertificates::NotAsked;
        let mut options = options(&server);
        options.clients = clients;
        let tls = Tls::new(options).unwrap();
        let mut pair = Pair::new(&tls, &Arc::new(client_config(&server, shown)), 1 << 20);
        assert_eq!(pair.shake_hands().is_ok(), passes);
        let expected = shown
            .filter(|_| passes && asked)
            .map(|shown| shown.der.as_ref());
        assert_eq!(pair.session.peer_certificate().filter(|_| passes), expected);
    }
}

#[test]
fn what_cannot_be_set_up_says_why() {
    let (one, other) = (issue(&["a.test"]), issue(&["a.test"]));
    let (chain, key) = (one.chain.as_bytes(), one.key.as_bytes());
    for (chain, key, expected) in [
        (&b""[..], key, TlsError::CertificateMissing),
        (key, key, TlsError::CertificateMissing),
        (chain, chain, TlsError::KeyMissing),
        (chain, other.key.as_bytes(), TlsError::KeyMismatch),
    ] {
        assert_eq!(Identity::from_pem(chain, key).unwrap_err(), expected);
    }
    let mut none = options(&one);
    none.identities.clear();
    assert_eq!(Tls::new(none).unwrap_err(), TlsError::IdentityMissing);
    let mut no_authority = options(&one);
    no_authority.clients = ClientCertificates::Required(Vec::new());
    assert!(matches!(
        Tls::new(no_authority),
        Err(TlsError::ClientAuthority(_))
    ));
    let mut newest = options(&one);
    newest.minimum = TlsVersion::V1_3;
    assert!(Tls::new(newest).is_ok());
}
