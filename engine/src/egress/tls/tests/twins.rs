//! Two sessions that are told the same: one has taken its connection over from rustls, rustls has
//! kept the other's. Whatever a client sends, and whatever is sent to it, both hear the same, say
//! the same and end the same way.

use super::{Issued, client_config, issue, options};
use crate::egress::tls::fault::Fault;
use crate::egress::tls::keys::TrafficKey;
use crate::egress::tls::provider::provider;
use crate::egress::tls::secrets::{SecretCatcher, TrafficSecrets, catch};
use crate::egress::tls::server::Tls;
use crate::egress::tls::session::Session;
use rustls::{
    ClientConfig, ClientConnection, Error, InvalidMessage, PeerMisbehaved, SupportedCipherSuite,
    Tls13CipherSuite,
};
use shardcast_protocol::record::{ContentType, RecordError, RecordReader, record_bytes};
use std::fmt;
use std::sync::Arc;

/// Of a record that an honest peer sends.
const START: [u8; 3] = [DATA, 3, 3];
const ALERT: u8 = ContentType::Alert as u8;
const HANDSHAKE: u8 = ContentType::Handshake as u8;
const DATA: u8 = ContentType::ApplicationData as u8;
/// A change of ciphers, as TLS 1.2 has it.
const CHANGE: [u8; 6] = [20, 3, 3, 0, 1, 1];
const ASKED: [u8; 5] = [24, 0, 0, 1, 1];
const UNASKED: [u8; 5] = [24, 0, 0, 1, 0];

/// What a client or its session does.
#[derive(Clone)]
enum Act {
    /// A record with this type, content, padding.
    Send(u8, Vec<u8>, usize),
    /// The same with another header, or of nothing but what is given.
    Forge([u8; 3], Vec<u8>),
    /// The client's next record is under its next key.
    NextKey,
    /// A record of data that arrives with one bit turned, counted from its end.
    Damaged(usize),
    /// The next record arrives twice.
    Replayed,
    /// A record that is lost on the way.
    Lost,
    /// These bytes and no record.
    Raw(Vec<u8>),
    /// The session says so many bytes.
    Say(usize),
    SayGoodbye,
    /// The session's keys are not kept ready.
    Rest,
}

/// What one side saw of it.
#[derive(Default, PartialEq)]
struct Seen {
    heard: Vec<u8>,
    /// Types and contents of what the session sent.
    said: Vec<(u8, Vec<u8>)>,
    fault: Option<String>,
    is_over: bool,
}

/// Short where much was said.
impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |(kind, content): &(u8, Vec<u8>)| match content.len() {
            0..8 => format!("{kind}: {content:?}"),
            bytes => format!("{kind}: {bytes} bytes"),
        };
        f.debug_struct("Seen")
            .field("heard_bytes", &self.heard.len())
            .field("said", &self.said.iter().map(short).collect::<Vec<_>>())
            .field("fault", &self.fault)
            .field("is_over", &self.is_over)
            .finish()
    }
}

struct Twin {
    session: Session,
    suite: &'static Tls13CipherSuite,
    sending: TrafficKey,
    receiving: TrafficKey,
    seen: Seen,
}

/// How both sessions come to their connections.
struct Setting {
    config: Arc<ClientConfig>,
    /// The one that takes over, and the one that does not.
    servers: [Tls; 2],
}

impl Setting {
    fn new() -> Setting {
        Setting::with(provider().cipher_suites.clone())
    }

    fn with(suites: Vec<SupportedCipherSuite>) -> Setting {
        let issued = issue(&["a.test"]);
        let tls = Tls::new(options(&issued)).unwrap();
        let servers = [
            tls.altered(|_| {}),
            tls.altered(|config| config.key_log = Arc::new(rustls::NoKeyLog)),
        ];
        Setting {
            config: trusting(&issued, suites),
            servers,
        }
    }

    /// Both are told the same, which reaches them in pieces of this size, and see the same.
    fn check(&self, name: &str, acts: &[Act], piece_bytes: usize) -> Seen {
        let [ours, theirs] = self.both(acts, piece_bytes);
        assert_eq!(ours, theirs, "{name}, in pieces of {piece_bytes}");
        ours
    }

    fn both(&self, acts: &[Act], piece_bytes: usize) -> [Seen; 2] {
        self.servers.each_ref().map(|server| {
            let mut twin = Twin::connect(server, &self.config);
            twin.act(acts, piece_bytes);
            twin.seen
        })
    }
}

fn trusting(issued: &Issued, suites: Vec<SupportedCipherSuite>) -> Arc<ClientConfig> {
    let mut provider = (**provider()).clone();
    provider.cipher_suites = suites;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(issued.der.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = client_config(issued, None).alpn_protocols;
    config.enable_secret_extraction = true;
    config.key_log = Arc::new(SecretCatcher);
    Arc::new(config)
}

impl Twin {
    fn connect(server: &Tls, config: &Arc<ClientConfig>) -> Twin {
        let name = "a.test".try_into().unwrap();
        let mut client = ClientConnection::new(config.clone(), name).unwrap();
        let mut session = Session::new(server).unwrap();
        let (mut secrets, mut heard) = (None, Vec::new());
        for _ in 0..3 {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            if session.is_handshaking() && session.buffer(&wire).unwrap() {
                session.handshake(&mut heard).unwrap();
            }
            let pending = session.take_pending();
            let mut pending = &pending[..];
            while !pending.is_empty() {
                client.read_tls(&mut pending).unwrap();
                let (outcome, caught) = catch(|| client.process_new_packets());
                outcome.unwrap();
                secrets = caught.or(secrets);
            }
        }
        assert!(!session.is_handshaking() && heard.is_empty());
        let Some(SupportedCipherSuite::Tls13(suite)) = client.negotiated_cipher_suite() else {
            panic!("not TLS 1.3");
        };
        let extracted = client.dangerous_extract_secrets().unwrap();
        let TrafficSecrets { client, server } = *secrets.expect("the client's key log");
        Twin {
            session,
            suite,
            sending: TrafficKey::new(client, extracted.tx).unwrap(),
            receiving: TrafficKey::new(server, extracted.rx).unwrap(),
            seen: Seen::default(),
        }
    }

    fn act(&mut self, acts: &[Act], piece_bytes: usize) {
        let (mut wire, mut is_replayed) = (Vec::new(), false);
        for act in acts {
            let start = wire.len();
            match act {
                Act::Send(kind, content, padding) => {
                    let inner = [content, &[*kind][..], &vec![0; *padding]].concat();
                    self.sending.forge(self.suite, START, &inner, &mut wire);
                }
                Act::Forge(start, inner) => {
                    self.sending.forge(self.suite, *start, inner, &mut wire);
                }
                Act::NextKey => self.sending.update(self.suite),
                Act::Damaged(from_end) => {
                    let inner = [b"damaged", &[DATA][..]].concat();
                    self.sending.forge(self.suite, START, &inner, &mut wire);
                    let record = &mut wire[start..];
                    let at = record.len() - 1 - from_end % record.len();
                    record[at] ^= 1 << (from_end % 8);
                }
                Act::Replayed => is_replayed = true,
                Act::Lost => {
                    self.sending.forge(self.suite, START, &[DATA], &mut wire);
                    wire.truncate(start);
                }
                Act::Raw(bytes) => wire.extend_from_slice(bytes),
                Act::Say(bytes) => {
                    self.deliver(&mut wire, piece_bytes);
                    let mut records = Vec::new();
                    let said: Vec<u8> = (0..*bytes).map(|at| at as u8).collect();
                    self.session.encrypt(&said, &mut records).unwrap();
                    self.hear(&records);
                }
                Act::SayGoodbye => {
                    self.deliver(&mut wire, piece_bytes);
                    let mut records = self.session.take_pending();
                    self.session.close_notify(&mut records).unwrap();
                    self.hear(&records);
                }
                Act::Rest => self.session.rest(),
            }
            if std::mem::take(&mut is_replayed) && wire.len() > start {
                wire.extend_from_within(start..);
            }
            is_replayed |= matches!(act, Act::Replayed);
        }
        self.deliver(&mut wire, piece_bytes);
        // A key update that is due leaves with what is said next.
        let mut last = Vec::new();
        self.session.encrypt(b"last", &mut last).unwrap();
        self.session.close_notify(&mut last).unwrap();
        self.hear(&last);
        self.seen.is_over = self.session.is_over();
    }

    fn deliver(&mut self, wire: &mut Vec<u8>, piece_bytes: usize) {
        for piece in std::mem::take(wire).chunks_mut(piece_bytes) {
            if self.seen.fault.is_some() {
                return;
            }
            let received = self.session.receive(piece, &mut self.seen.heard);
            let records = self.session.take_pending();
            self.hear(&records);
            self.seen.fault = received.err().map(|fault| class(&fault));
        }
    }

    fn hear(&mut self, mut records: &[u8]) {
        let mut reader = RecordReader::new();
        while let Some(length) = record_bytes(records).unwrap() {
            let mut record = records[..length].to_vec();
            records = &records[length..];
            assert_eq!(record[..3], START);
            let inner = self.receiving.open(self.suite, &mut record).unwrap();
            let end = inner.iter().rposition(|&byte| byte != 0).unwrap();
            assert_eq!(end + 1, inner.len(), "padding, which rustls never sends");
            let (kind, content) = (inner[end], inner[..end].to_vec());
            assert!(reader.read(inner).is_ok() || kind == ALERT);
            self.seen.said.push((kind, content));
            if kind == HANDSHAKE {
                self.receiving.update(self.suite);
            }
        }
    }
}

/// One name for what two enums call differently. The alerts that are sent say more, and are
/// compared byte for byte.
fn class(fault: &Fault) -> String {
    let record = match fault {
        Fault::Record(error) => *error,
        Fault::Tls(error) => match error {
            Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge) => {
                RecordError::MessageTooLong
            }
            Error::InvalidMessage(InvalidMessage::InvalidKeyUpdate) => RecordError::IllegalValue,
            Error::InvalidMessage(_) => RecordError::Undecodable,
            Error::DecryptError => RecordError::Undecryptable,
            Error::PeerSentOversizedRecord => RecordError::Overflow,
            Error::AlertReceived(description) => RecordError::AlertReceived(u8::from(*description)),
            Error::InappropriateMessage { .. }
            | Error::InappropriateHandshakeMessage { .. }
            | Error::PeerMisbehaved(
                PeerMisbehaved::IllegalMiddleboxChangeCipherSpec
                | PeerMisbehaved::KeyEpochWithPendingFragment,
            ) => RecordError::Unexpected,
            Error::PeerMisbehaved(why) => match why {
                PeerMisbehaved::IllegalTlsInnerPlaintext => RecordError::Untyped,
                PeerMisbehaved::MessageInterleavedWithHandshakeMessage => RecordError::Interleaved,
                PeerMisbehaved::TooManyEmptyFragments => RecordError::EmptyRecords,
                PeerMisbehaved::TooManyKeyUpdateRequests => RecordError::KeyUpdates,
                PeerMisbehaved::TooManyWarningAlertsReceived => RecordError::Warnings,
                why => return format!("{why:?}"),
            },
            error => return format!("{error:?}"),
        },
        fault => return format!("{fault:?}"),
    };
    let class = match record {
        RecordError::Header => RecordError::Undecodable,
        RecordError::WarningReceived(description) | RecordError::AlertLevel(description) => {
            RecordError::AlertReceived(description)
        }
        record => record,
    };
    format!("{class:?}")
}

const PIECES: [usize; 6] = [1, 2, 5, 7, 1000, 1 << 20];

fn data(text: &[u8]) -> Act {
    Act::Send(DATA, text.to_vec(), 0)
}

#[test]
fn one_has_taken_over_and_the_other_has_not() {
    let setting = Setting::new();
    let taken = setting.servers.each_ref().map(|server| {
        Twin::connect(server, &setting.config)
            .session
            .is_taken_over()
    });
    assert_eq!(taken, [true, false]);
}

#[test]
fn records_of_every_size_are_the_same_in_both_directions() {
    for suite in &provider().cipher_suites {
        if suite.tls13().is_none() {
            continue;
        }
        let setting = Setting::with(vec![*suite]);
        let sizes: Vec<usize> = (0..=1100).chain((1101..16_384).step_by(211)).collect();
        let mut acts = Vec::new();
        for (round, &bytes) in sizes.iter().chain([&16_383, &16_384]).enumerate() {
            let content: Vec<u8> = (0..bytes).map(|at| (at + round) as u8).collect();
            let padding = (round % 3).min(16_384 - bytes);
            acts.push(Act::Send(DATA, content, padding));
            acts.push(Act::Say(bytes));
            if round % 10 == 0 {
                acts.push(Act::Rest);
            }
        }
        let most = [16_385, 32_768, 32_769, 100_000];
        acts.extend(most.map(Act::Say));
        let seen = setting.check("sizes", &acts, 1 << 20);
        assert_eq!(seen.fault, None, "{suite:?}");
        assert_eq!(seen.heard.len(), sizes.iter().sum::<usize>() + 32_767);
    }
}

type Rows<'r> = Vec<(&'r str, Vec<Act>)>;

fn check_rows(rows: Rows<'_>) {
    let setting = Setting::new();
    for (name, acts) in rows {
        for piece_bytes in PIECES {
            let before = [data(b"before"), Act::Say(10)];
            let acts = [&before[..], &acts, &[data(b"after"), Act::Say(3)]].concat();
            setting.check(name, &acts, piece_bytes);
        }
    }
}

fn raw(header: &[u8], payload: &[u8]) -> Vec<Act> {
    vec![Act::Raw([header, payload].concat())]
}

fn sent(kind: u8, content: &[u8]) -> Vec<Act> {
    vec![Act::Send(kind, content.to_vec(), 0)]
}

fn padded(kind: u8, content: &[u8], padding: usize) -> Vec<Act> {
    vec![Act::Send(kind, content.to_vec(), padding)]
}

#[test]
fn records_that_are_none_have_the_same_end() {
    let long = |bytes| vec![7; bytes];
    check_rows(vec![
        ("nothing", vec![]),
        ("padding only", vec![Act::Forge(START, vec![0; 9])]),
        ("no byte at all", vec![Act::Forge(START, vec![])]),
        ("too short for a tag", raw(&[DATA, 3, 3, 0, 15], &[1; 15])),
        ("empty data", raw(&[DATA, 3, 3, 0, 0], &[])),
        ("empty alert", raw(&[ALERT, 3, 3, 0, 0], &[])),
        ("longest", sent(DATA, &long(16_384))),
        ("longest with padding", padded(DATA, &long(16_384), 1)),
        ("too much padding", padded(DATA, &long(1), 16_384)),
        ("all that may be", padded(DATA, &long(1), 16_383)),
        ("too long", sent(DATA, &long(16_385))),
        ("far too long", sent(DATA, &long(18_000))),
        ("longer than TLS", raw(&[DATA, 3, 3, 0x48, 0], &[])),
        ("as TLS", raw(&[DATA, 3, 3, 0x47, 0xff], &long(0x47ff))),
        ("no type", raw(&[19], &[])),
        ("no type", raw(&[25, 3, 3], &[])),
        ("no version", raw(&[DATA, 4, 0], &[])),
        ("a plain change of ciphers", raw(&CHANGE, &[])),
        ("a broken one", raw(&[20, 3, 3, 0, 1, 2], &[])),
        ("a long one", raw(&[20, 3, 3, 0, 2, 1, 1], &[])),
        ("a plain alert", raw(&[ALERT, 3, 3, 0, 2, 2, 40], &[])),
        ("a plain goodbye", raw(&[ALERT, 3, 3, 0, 2, 1, 0], &[])),
        ("plain data", raw(&[DATA, 3, 3, 0, 4], b"data")),
        ("an encrypted change of ciphers", sent(20, &[1])),
        ("a heartbeat", sent(24, &[1, 0, 0])),
        ("an unknown type", sent(77, &[1])),
        ("a replay", vec![Act::Replayed, data(b"twice")]),
        ("a loss", vec![data(b"heard"), Act::Lost, data(b"unheard")]),
    ]);
}

#[test]
fn alerts_have_the_same_end() {
    check_rows(vec![
        (
            "a goodbye",
            [sent(ALERT, &[1, 0]), vec![data(b"unheard")]].concat(),
        ),
        ("a fatal goodbye", padded(ALERT, &[2, 0], 5)),
        ("a fatal alert", sent(ALERT, &[2, 40])),
        ("an unknown alert", sent(ALERT, &[2, 211])),
        ("a warning", sent(ALERT, &[1, 41])),
        (
            "a cancel",
            [sent(ALERT, &[1, 90]), vec![data(b"heard")]].concat(),
        ),
        ("a level that there is not", sent(ALERT, &[3, 0])),
        ("half an alert", sent(ALERT, &[1])),
        ("an alert and a half", sent(ALERT, &[1, 0, 1])),
        ("an alert of nothing", padded(ALERT, &[], 3)),
        ("two alerts in one", sent(ALERT, &[1, 90, 1, 0])),
    ]);
}

#[test]
fn nothing_is_read_behind_a_goodbye_that_came_in_parts() {
    let setting = Setting::new();
    let goodbye = sent(ALERT, &[1, 0]);
    let acts = [vec![data(b"heard")], goodbye, vec![data(b"unheard")]].concat();
    for piece_bytes in 1..100 {
        let seen = setting.check("a goodbye in parts", &acts, piece_bytes);
        assert_eq!(seen.heard, b"heard", "in pieces of {piece_bytes}");
    }
}

#[test]
fn messages_have_the_same_end() {
    let begun = |content: &[u8], then: Act| vec![Act::Send(HANDSHAKE, content.to_vec(), 0), then];
    check_rows(vec![
        ("an update of nothing", sent(HANDSHAKE, &[24, 0, 0, 0])),
        ("an update too long", sent(HANDSHAKE, &[24, 0, 0, 2, 0, 0])),
        ("an update of two", sent(HANDSHAKE, &[24, 0, 0, 1, 2])),
        (
            "two updates in one",
            sent(HANDSHAKE, &[UNASKED, ASKED].concat()),
        ),
        ("a message of 64 KiB", sent(HANDSHAKE, &[24, 1, 0, 0, 0])),
        ("an update and no new key", begun(&UNASKED, data(b"old"))),
        ("a new key and no update", vec![Act::NextKey, data(b"new")]),
        ("half an update", sent(HANDSHAKE, &[24, 0])),
        ("data within an update", begun(&[24, 0], data(b"between"))),
        (
            "an alert within it",
            begun(&[24, 0], Act::Send(ALERT, vec![1, 0], 0)),
        ),
        (
            "a change of ciphers within it",
            begun(&[24], Act::Raw(CHANGE.to_vec())),
        ),
    ]);
}

#[test]
fn a_bit_that_is_turned_anywhere_has_the_same_end() {
    let setting = Setting::new();
    for from_end in 0..30 {
        let acts = [data(b"before"), Act::Damaged(from_end), data(b"after")];
        let seen = setting.check("a turned bit", &acts, 1 << 20);
        // What of a header is authenticated: all but type and version, which are looked at alone.
        if from_end < 26 {
            assert_eq!(seen.heard, b"before", "{from_end}");
        }
    }
}

/// rustls, too, does not look at what RFC 8446 §5.2 has fixed in a header, and authenticates what
/// should stand there.
#[test]
fn headers_are_looked_at_alike() {
    let setting = Setting::new();
    for kind in [20, 21, 22, 23, 24] {
        for version in [
            [3, 0],
            [3, 1],
            [3, 4],
            [3, 77],
            [0, 2],
            [0xfe, 0xff],
            [0xfe, 0xfd],
        ] {
            let start = [kind, version[0], version[1]];
            let acts = [Act::Forge(start, vec![b'a', DATA]), data(b"after")];
            setting.check(&format!("{start:?}"), &acts, 1 << 20);
        }
    }
}

#[test]
fn keys_change_alike() {
    let setting = Setting::new();
    let next = |request: [u8; 5]| [Act::Send(HANDSHAKE, request.to_vec(), 0), Act::NextKey];
    let mut acts = Vec::new();
    for round in 0..40_usize {
        acts.push(data(b"one"));
        acts.extend(next(if round % 3 == 0 { ASKED } else { UNASKED }));
        match round % 4 {
            0 => acts.push(Act::Say(round)),
            // One answer to two requests.
            1 => acts.extend(next(ASKED)),
            2 => acts.push(Act::Rest),
            _ => acts.push(data(b"two")),
        }
    }
    // In two records, padded.
    acts.push(Act::Send(HANDSHAKE, ASKED[..2].to_vec(), 3));
    acts.push(Act::Send(HANDSHAKE, vec![], 1));
    acts.push(Act::Send(HANDSHAKE, ASKED[2..].to_vec(), 0));
    acts.push(Act::NextKey);
    acts.push(Act::Say(20_000));
    acts.push(data(b"end"));
    for piece_bytes in PIECES {
        let seen = setting.check("updates", &acts, piece_bytes);
        assert_eq!(seen.fault, None);
        assert!(seen.heard.ends_with(b"end"));
        let answers = seen.said.iter().filter(|(kind, _)| *kind == HANDSHAKE);
        assert!(answers.count() >= 8);
    }
}

#[test]
fn floods_end_after_as_many() {
    let setting = Setting::new();
    let update = [Act::Send(HANDSHAKE, ASKED.to_vec(), 0), Act::NextKey];
    let rows: [(&str, &[Act], u8); 4] = [
        ("updates", &update, RecordReader::KEY_UPDATES_MAX),
        (
            "empty data",
            &[Act::Send(DATA, vec![], 0)],
            RecordReader::EMPTY_RECORDS_MAX,
        ),
        (
            "empty messages",
            &[Act::Send(HANDSHAKE, vec![], 0)],
            RecordReader::EMPTY_RECORDS_MAX,
        ),
        (
            "cancels",
            &[Act::Send(ALERT, vec![1, 90], 0)],
            RecordReader::WARNINGS_MAX,
        ),
    ];
    for (name, act, most) in rows {
        let most = usize::from(most);
        for (times, passes) in [(most, true), (most + 1, false)] {
            let acts = [vec![act.to_vec(); times].concat(), vec![data(b"end")]].concat();
            let seen = setting.check(name, &acts, 1 << 20);
            assert_eq!(seen.heard == b"end", passes, "{name} × {times}");
        }
        // What begins the count anew, if anything does.
        let again = [vec![act.to_vec(); most].concat(), vec![data(b"and")]].concat();
        let again = [again.clone(), again].concat();
        setting.check(name, &again, 1 << 20);
    }
}

/// A key is used for as many records as its suite allows, here for 6.
#[test]
fn keys_wear_out_alike() {
    static FRAIL: std::sync::OnceLock<Tls13CipherSuite> = std::sync::OnceLock::new();
    let suites = &provider().cipher_suites;
    let suite = suites.iter().find_map(SupportedCipherSuite::tls13).unwrap();
    let frail = FRAIL.get_or_init(|| Tls13CipherSuite {
        common: rustls::crypto::CipherSuiteCommon {
            suite: suite.common.suite,
            hash_provider: suite.common.hash_provider,
            confidentiality_limit: 6,
        },
        hkdf_provider: suite.hkdf_provider,
        aead_alg: suite.aead_alg,
        quic: None,
    });
    let mut setting = Setting::with(vec![SupportedCipherSuite::Tls13(frail)]);
    for server in &mut setting.servers {
        *server = server.altered(|config| {
            let mut provider = (**provider()).clone();
            provider.cipher_suites = vec![SupportedCipherSuite::Tls13(frail)];
            let altered = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
                .with_protocol_versions(&[&rustls::version::TLS13])
                .unwrap()
                .with_no_client_auth()
                .with_cert_resolver(config.cert_resolver.clone());
            let key_log = config.key_log.clone();
            *config = altered;
            (config.key_log, config.enable_secret_extraction) = (key_log, true);
        });
    }
    let update = [Act::Send(HANDSHAKE, ASKED.to_vec(), 0), Act::NextKey];
    let mut acts = Vec::new();
    for round in 0..30 {
        acts.push(Act::Say(1 + round * 3_000));
        if round % 7 == 0 {
            acts.extend(update.clone());
        }
    }
    acts.push(Act::SayGoodbye);
    let seen = setting.check("frail keys", &acts, 1 << 20);
    let updates = seen.said.iter().filter(|(kind, _)| *kind == HANDSHAKE);
    assert!(updates.count() > 10);
}

#[test]
fn whatever_a_client_does_has_the_same_end() {
    const SCRIPTS: u64 = 1_500;
    let setting = Setting::new();
    for seed in 0..SCRIPTS {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut acts = Vec::new();
        for _ in 0..random.usize(1..14) {
            acts.extend(some_act(&mut random));
        }
        // Debug builds of rustls refuse to send an alert behind a goodbye.
        let goodbye = acts.iter().position(|act| matches!(act, Act::SayGoodbye));
        acts.truncate(goodbye.map_or(acts.len(), |goodbye| goodbye + 1));
        let piece_bytes = PIECES[random.usize(..PIECES.len())];
        setting.check(&format!("seed {seed}"), &acts, piece_bytes);
    }
}

/// The one difference: rustls reads on to the end of a message that no client sends after the
/// handshake, and calls it malformed where it is. Ours is told at its header.
#[test]
fn other_messages_of_the_handshake_end_it_sooner() {
    let setting = Setting::new();
    for kind in (0..=255).filter(|&kind| kind != 24) {
        let [ours, theirs] = setting.both(
            &[
                data(b"before"),
                Act::Send(HANDSHAKE, vec![kind, 0, 0, 0], 0),
            ],
            1 << 20,
        );
        assert_eq!(ours.heard, theirs.heard);
        assert_eq!(ours.fault.as_deref(), Some("Unexpected"));
        assert_eq!(ours.said, [(ALERT, vec![2, 10])]);
        assert!(
            [vec![2, 10], vec![2, 50]].contains(&theirs.said[0].1),
            "{kind}"
        );
        let begun = Act::Send(HANDSHAKE, vec![kind, 0, 0, 9], 0);
        let [ours, theirs] = setting.both(&[begun], 1 << 20);
        assert_eq!(ours.fault.as_deref(), Some("Unexpected"), "{kind}");
        assert_eq!(theirs.fault, None, "{kind}");
    }
}

/// Mostly what goes on well, so that a script comes far.
fn some_act(random: &mut fastrand::Rng) -> Vec<Act> {
    let bytes = [0, 1, 16, 100, 4096, 16_384][random.usize(..6)];
    let padding = [0, 0, 0, 1, 30][random.usize(..5)];
    let padding = padding.min(16_384 - bytes);
    let content: Vec<u8> = (0..bytes).map(|_| random.u8(..)).collect();
    let request = if random.bool() { ASKED } else { UNASKED };
    let update = || {
        vec![
            Act::Send(HANDSHAKE, request.to_vec(), padding),
            Act::NextKey,
        ]
    };
    match random.u8(0..32) {
        0..10 => vec![Act::Send(DATA, content, padding)],
        10..15 => vec![Act::Say(random.usize(..40_000))],
        15..20 => update(),
        20 => {
            let cut = random.usize(1..5);
            vec![
                Act::Send(HANDSHAKE, request[..cut].to_vec(), padding),
                Act::Send(HANDSHAKE, request[cut..].to_vec(), 0),
                Act::NextKey,
            ]
        }
        21 => vec![Act::Rest],
        22 => vec![Act::Send(ALERT, vec![1, 90], padding)],
        23 => vec![Act::Send(
            ALERT,
            vec![random.u8(..4), random.u8(..)],
            padding,
        )],
        24 => vec![Act::Damaged(random.usize(..30))],
        25 => vec![Act::Replayed, data(b"again")],
        26 => vec![Act::Lost],
        27 => vec![Act::SayGoodbye],
        28 => {
            let length = random.usize(..40);
            vec![Act::Raw((0..length).map(|_| random.u8(..)).collect())]
        }
        29 => {
            let start = [random.u8(19..26), 3, random.u8(..)];
            let kind = [0, 20, 21, 23, 24, 99][random.usize(..6)];
            vec![Act::Forge(start, vec![b'x', kind])]
        }
        // No other message of the handshake.
        30 => {
            let kind = [20, 21, 24, 25][random.usize(..4)];
            vec![Act::Send(kind, vec![random.u8(..), 0, 0, 0], padding)]
        }
        _ => vec![Act::Send(
            HANDSHAKE,
            vec![24, 0, 0, 1, random.u8(..)],
            padding,
        )],
    }
}
