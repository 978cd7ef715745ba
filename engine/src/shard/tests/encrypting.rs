//! Slow readers over TLS: how much of what waits for them is encrypted in a tick, and that each has
//! its turn.

use super::*;
use crate::driver::sim::world::Read as Heard;
use crate::egress::tls::options::TlsOptions;
use crate::egress::tls::server::Tls;
use crate::egress::tls::sessions::TlsSessions;
use crate::egress::tls::tests::{client_config, issue};
use crate::listener::Listener;
use rustls::ClientConnection;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

const READERS: usize = 24;
const ANSWERS: usize = 3;
const ANSWER_BYTES: usize = 512 << 10;
/// What one send takes.
const STEP_BYTES: usize = 256 << 10;

struct Reader {
    id: SocketId,
    client: ClientConnection,
    records_bytes: usize,
}

impl Reader {
    /// Carries what there is in both directions. The plain bytes that it has heard.
    fn carry(&mut self, world: &mut World) -> usize {
        let mut heard = 0;
        while let Heard::Bytes(records) = world.read(self.id, 1 << 20) {
            self.records_bytes += records.len();
            let mut records = &records[..];
            while !records.is_empty() {
                self.client.read_tls(&mut records).unwrap();
                self.client.process_new_packets().unwrap();
                let mut plain = Vec::new();
                let _nothing_more_for_now = self.client.reader().read_to_end(&mut plain);
                heard += plain.len();
            }
        }
        let mut records = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut records).unwrap();
        }
        assert_eq!(world.write(self.id, &records), Some(records.len()));
        heard
    }

    fn say(&mut self, bytes: &[u8]) {
        self.client.writer().write_all(bytes).unwrap();
    }
}

fn readers(trial: &mut Trial, config: &Arc<rustls::ClientConfig>) -> Vec<Reader> {
    let mut readers: Vec<Reader> = (0..READERS)
        .map(|_| {
            let id = trial.world.borrow_mut().connect(0, 0, Line::Faulty);
            let client = ClientConnection::new(config.clone(), "a.test".try_into().unwrap());
            Reader {
                id: id.unwrap(),
                client: client.unwrap(),
                records_bytes: 0,
            }
        })
        .collect();
    let mut request = Vec::new();
    let key = upgrade::encode_key([0; 16]);
    upgrade::write_request(&mut request, "localhost", "/", &key, &[]);
    readers.iter_mut().for_each(|reader| reader.say(&request));
    for _ in 0..200 {
        for reader in &mut readers {
            reader.carry(&mut trial.world.borrow_mut());
        }
        trial.shard.tick();
    }
    assert_eq!(trial.counters.upgrades.get(), READERS as u64);
    readers
}

#[test]
fn a_tick_encrypts_so_much_of_what_waits_and_everybody_has_a_turn() {
    let issued = issue(&["a.test"]);
    let tls = Tls::new(TlsOptions::new(issued.identity())).unwrap();
    let config = Config {
        listeners: vec![Listener {
            tls: Some(tls),
            ..Listener::plain(SocketAddr::from(([127, 0, 0, 1], 0)))
        }],
        outbox_bytes_max: 64 << 20,
        ..Config::default()
    };
    let faults = Faults {
        socket_buffer_bytes: 1 << 20,
        reap_max: 1 << 20,
        ..Faults::none()
    };
    let mut trial = Trial::new(&config, faults, ANSWER_BYTES);
    let client = Arc::new(client_config(&issued, None));
    let mut readers = readers(&mut trial, &client);
    // Nobody reads until all of it waits.
    let asks = client_frame(OpCode::Text, b"much").repeat(ANSWERS);
    for reader in &mut readers {
        reader.say(&asks);
        reader.carry(&mut trial.world.borrow_mut());
    }
    trial.tick_until(|counters| counters.messages_in.get() == (READERS * ANSWERS) as u64);
    let all = READERS * ANSWERS * ANSWER_BYTES;
    let (mut heard, mut ticks, mut most) = (0, 0, 0);
    while heard < all {
        for reader in &mut readers {
            reader.records_bytes = 0;
            heard += reader.carry(&mut trial.world.borrow_mut());
        }
        trial.shard.tick();
        trial.shard.check_invariants();
        let encrypted = trial.shard.core.egress.tls.encrypted_bytes();
        assert!(
            encrypted < TlsSessions::ENCRYPTED_BYTES_PER_TICK + STEP_BYTES,
            "{encrypted} bytes"
        );
        most = most.max(encrypted);
        ticks += 1;
        assert!(ticks < 1_000, "{heard} of {all} heard");
    }
    assert!(
        most >= TlsSessions::ENCRYPTED_BYTES_PER_TICK,
        "never more than {most}"
    );
}
