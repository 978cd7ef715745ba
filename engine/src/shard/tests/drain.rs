//! What a drain does with those who are accepted and not open yet: on a simulated network, by its clock.

use super::*;
use crate::driver::sim::Read;

const PLAIN: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn trial() -> Trial {
    Trial::new(&Config::default(), Faults::none(), 1)
}

impl Trial {
    /// A client that has connected and said this much.
    fn come(&mut self, said: &[u8]) -> SocketId {
        let client = self.world.borrow_mut().connect(0, 0, Line::Faulty).unwrap();
        self.go_on(0);
        if !said.is_empty() {
            self.write(client, said);
            self.go_on(0);
        }
        client
    }

    /// Time passes, and the shard has some ticks.
    fn go_on(&mut self, ms: Millis) {
        let now = self.world.borrow().now();
        self.world.borrow_mut().advance_to(now + ms);
        for _ in 0..6 {
            self.shard.tick();
            self.shard.check_invariants(false);
        }
    }

    /// What a client has heard since the last time, and whether that was all.
    fn heard(&self, client: SocketId) -> (String, bool) {
        let mut heard = Vec::new();
        loop {
            match self.world.borrow_mut().read(client, 1 << 20) {
                Read::Bytes(bytes) => heard.extend(bytes),
                Read::Nothing => return (String::from_utf8_lossy(&heard).into_owned(), false),
                Read::Finished | Read::Broken => {
                    return (String::from_utf8_lossy(&heard).into_owned(), true);
                }
            }
        }
    }
}

fn upgrade() -> Vec<u8> {
    let mut request = Vec::new();
    let key = upgrade::encode_key([0; 16]);
    upgrade::write_request(&mut request, "localhost", "/", &key, &[]);
    request
}

#[test]
fn who_was_accepted_is_served_and_then_sent_away() {
    for half in [0, 10] {
        let mut trial = trial();
        let request = upgrade();
        let client = trial.come(&request[..half]);
        trial.shard.start_drain(StopAccept::HandOver);
        trial.go_on(900);
        assert!(!trial.shard.is_drained());
        assert_eq!(trial.heard(client), (String::new(), false));
        trial.write(client, &request[half..]);
        trial.go_on(0);
        let (heard, ended) = trial.heard(client);
        assert!(heard.starts_with("HTTP/1.1 101 "), "{heard}");
        assert!(heard.ends_with("draining"), "{heard}");
        assert!(!ended, "its close frame is awaited");
        trial.write(client, &client_frame(OpCode::Close, &[3, 0xe9]));
        trial.go_on(0);
        trial.world.borrow_mut().close(client);
        trial.go_on(0);
        assert!(trial.shard.is_drained());
        assert_eq!(trial.counters.closed_deadline_close.get(), 0);
    }
}

#[test]
fn a_request_is_answered_and_no_other_follows() {
    let mut trial = trial();
    let client = trial.come(b"");
    trial.shard.start_drain(StopAccept::Release);
    trial.write(client, PLAIN);
    trial.go_on(0);
    let (heard, ended) = trial.heard(client);
    assert!(heard.starts_with("HTTP/1.1 "), "{heard}");
    assert!(heard.contains("Connection: close"), "{heard}");
    assert!(ended);
}

#[test]
fn nobody_is_waited_for_longer_than_a_second() {
    let mut trial = trial();
    let kept = trial.come(PLAIN);
    let silent = trial.come(b"");
    trial.go_on(1_500);
    let latest = trial.come(b"GET /");
    assert!(!trial.heard(kept).1);
    trial.shard.start_drain(StopAccept::Release);
    trial.go_on(0);
    assert!(trial.heard(kept).1, "it had its answer");
    assert!(trial.heard(silent).1, "it had its time");
    assert_eq!(trial.heard(latest), (String::new(), false));
    trial.go_on(1_100);
    let (heard, ended) = trial.heard(latest);
    assert!(heard.starts_with("HTTP/1.1 408 ") && ended, "{heard}");
    for client in [kept, silent, latest] {
        trial.world.borrow_mut().close(client);
    }
    trial.go_on(0);
    assert!(trial.shard.is_drained());
}

/// Their accepts were done when the shard stopped accepting, and it hears of them in a later tick.
#[test]
fn a_drain_does_not_end_before_the_last_accept() {
    let mut trial = trial();
    trial.go_on(0);
    let client = trial.world.borrow_mut().connect(0, 0, Line::Faulty);
    trial.shard.start_drain(StopAccept::HandOver);
    assert!(!trial.shard.is_drained(), "somebody is on the way");
    let client = client.unwrap();
    trial.write(client, &upgrade());
    trial.go_on(0);
    assert!(trial.heard(client).0.ends_with("draining"));
}
