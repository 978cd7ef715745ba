//! Deferred admissions on a simulated network: decided in time, too late, or for nobody; how many
//! may wait; and what is said early.

use super::*;
use crate::application::Refusal;
use crate::driver::sim::network::Trace;
use crate::driver::sim::world::Read;
use crate::run::handle::Handle;
use crate::types::answer::Notice;
use crate::types::ticket::Address;

/// Defers everybody, and decides as the notice says.
#[derive(Default)]
struct Porter {
    waiting: Rc<RefCell<Vec<Address>>>,
    abandoned: Rc<RefCell<Vec<Address>>>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    In,
    Out,
    Later,
    Panic,
}

impl Application for Porter {
    type Session = ();

    fn connect(&mut self, cx: &mut Context<'_>, _: &HttpRequest<'_>) -> Admission<()> {
        self.waiting.borrow_mut().push(cx.address());
        Admission::Defer
    }

    fn decide(&mut self, _: &mut Context<'_>, notice: Notice) -> Admission<()> {
        match *notice.downcast::<Verdict>().expect("a verdict") {
            Verdict::In => Admission::Accept(().into()),
            Verdict::Out => Admission::Refuse(Refusal::new(401, "who are you?")),
            Verdict::Later => Admission::Defer,
            Verdict::Panic => std::panic::resume_unwind(Box::new("as the test wished")),
        }
    }

    fn abandoned(&mut self, who: Address) {
        self.abandoned.borrow_mut().push(who);
    }

    fn message(&mut self, cx: &mut Context<'_>, _: &mut (), message: Message<'_>) {
        cx.send(message.kind(), message.bytes());
    }
}

struct Gate {
    world: Rc<RefCell<World>>,
    shard: Shard<Porter, SimDriver>,
    counters: Arc<ShardCounters>,
    handle: Handle,
    waiting: Rc<RefCell<Vec<Address>>>,
    abandoned: Rc<RefCell<Vec<Address>>>,
}

const TIME_MS: Millis = 2_000;

impl Gate {
    fn new(deferred_max: usize) -> Gate {
        let config = Config {
            shards: 1,
            deferred_max,
            admission_timeout: std::time::Duration::from_millis(TIME_MS),
            event_streams: Some("/sse".into()),
            ..Config::default()
        };
        let faults = Faults {
            slots: 64,
            ..Faults::none()
        };
        let world = World::new(1, faults, Random::new(1), Trace::Silent);
        let counters: Arc<ShardCounters> = Arc::default();
        let mailboxes = lane::mesh(1, LaneCapacity::for_shards(1), 1);
        let handle = Handle::to(&mailboxes);
        let porter = Porter::default();
        let (waiting, abandoned) = (porter.waiting.clone(), porter.abandoned.clone());
        let setup = Setup {
            config: &config,
            mailbox: mailboxes.into_iter().next().expect("one shard"),
            token_key: Some(TokenKey::fixed()),
            admission: ProcessCounts::new(config.connections_max),
            counters: Arc::clone(&counters),
        };
        let shard = Shard::new(setup, porter, World::driver(&world, 0));
        Gate {
            world,
            shard,
            counters,
            handle,
            waiting,
            abandoned,
        }
    }

    /// A client asks, and says something behind its request.
    fn ask(&mut self, early: &[u8]) -> SocketId {
        let mut request = Vec::new();
        let key = upgrade::encode_key([0; 16]);
        upgrade::write_request(&mut request, "localhost", "/", &key, &[]);
        request.extend_from_slice(early);
        self.say(&request)
    }

    fn say(&mut self, bytes: &[u8]) -> SocketId {
        let client = self.world.borrow_mut().connect(0, 0, Line::Faulty).unwrap();
        self.write(client, bytes);
        client
    }

    fn write(&mut self, client: SocketId, bytes: &[u8]) {
        let mut left = bytes;
        while !left.is_empty() {
            let written = self.world.borrow_mut().write(client, left);
            left = &left[written.expect("it is there")..];
            self.tick();
        }
    }

    fn tick(&mut self) {
        for _ in 0..6 {
            self.shard.tick();
            self.shard.check_invariants();
        }
    }

    fn pass(&mut self, ms: Millis) {
        let now = self.world.borrow().now();
        self.world.borrow_mut().advance_to(now + ms);
        self.tick();
    }

    fn admit(&mut self, who: Address, verdict: Verdict) {
        let admitted = self.handle.admit(who, Box::new(verdict));
        admitted.expect("the queue has room");
        self.tick();
    }

    /// What the client has heard since the last time.
    fn heard(&self, client: SocketId) -> String {
        let mut heard = Vec::new();
        while let Read::Bytes(bytes) = self.world.borrow_mut().read(client, 1 << 20) {
            heard.extend(bytes);
        }
        String::from_utf8_lossy(&heard).into_owned()
    }

    fn waits(&self) -> u64 {
        self.counters.admissions_waiting.get()
    }
}

#[test]
fn whoever_is_let_in_or_refused_hears_it_then() {
    let mut gate = Gate::new(10);
    for (verdict, status) in [
        (Verdict::In, "101"),
        (Verdict::Out, "401"),
        (Verdict::Panic, "500"),
    ] {
        let client = gate.ask(b"");
        gate.pass(TIME_MS / 2);
        let who = gate.waiting.borrow_mut().pop().expect("it asked");
        assert_eq!((gate.heard(client), gate.waits()), (String::new(), 1));
        // Again and again within the same time.
        gate.admit(who, Verdict::Later);
        assert_eq!((gate.heard(client), gate.waits()), (String::new(), 1));
        gate.admit(who, verdict);
        let heard = gate.heard(client);
        let expected = format!("HTTP/1.1 {status} ");
        assert!(heard.starts_with(&expected), "{verdict:?}: {heard}");
        assert_eq!(gate.waits(), 0);
        // What is decided is decided.
        gate.admit(who, Verdict::Out);
        assert_eq!(gate.heard(client), "");
    }
    assert_eq!(*gate.abandoned.borrow(), []);
    assert_eq!(gate.counters.admissions_deferred.get(), 3);
    assert_eq!(gate.counters.upgrades.get(), 1);
    assert_eq!(gate.counters.upgrades_refused.get(), 2);
    assert_eq!(gate.counters.panics.get(), 1);
}

#[test]
fn a_decision_that_does_not_come_is_a_504() {
    let mut gate = Gate::new(10);
    let client = gate.ask(b"");
    let who = gate.waiting.borrow_mut().pop().expect("it asked");
    // Neither what the client says nor another deferral gives it more time.
    gate.pass(TIME_MS - 200);
    gate.write(client, b"\x81");
    gate.admit(who, Verdict::Later);
    assert_eq!(gate.heard(client), "");
    gate.pass(400);
    assert!(gate.heard(client).starts_with("HTTP/1.1 504 "));
    assert_eq!(gate.counters.closed_deadline_admission.get(), 1);
    assert_eq!((*gate.abandoned.borrow()).clone(), [who]);
    gate.admit(who, Verdict::In);
    assert_eq!(gate.counters.upgrades.get(), 0);
}

#[test]
fn a_client_that_goes_is_not_waited_for() {
    let mut gate = Gate::new(1);
    let client = gate.ask(b"");
    let who = gate.waiting.borrow_mut().pop().expect("it asked");
    gate.world.borrow_mut().close(client);
    gate.tick();
    assert_eq!((*gate.abandoned.borrow()).clone(), [who]);
    assert_eq!(gate.waits(), 0);
    // Its slot is somebody else's by now.
    let next = gate.ask(b"");
    gate.admit(who, Verdict::In);
    assert_eq!(gate.heard(next), "");
    let who = gate.waiting.borrow_mut().pop().expect("it asked");
    gate.admit(who, Verdict::In);
    assert!(gate.heard(next).starts_with("HTTP/1.1 101 "));
}

#[test]
fn as_many_may_wait_as_the_limit_says() {
    let mut gate = Gate::new(2);
    let clients = [gate.ask(b""), gate.ask(b"")];
    let third = gate.ask(b"");
    assert!(gate.heard(third).starts_with("HTTP/1.1 503 "));
    assert_eq!(gate.counters.refused_waiting.get(), 1);
    // The application had begun something for it, which it may end.
    let refused = gate.waiting.borrow_mut().pop();
    assert_eq!(*gate.abandoned.borrow(), [refused.expect("it asked")]);
    for client in clients {
        assert_eq!(gate.heard(client), "");
    }
    let who = gate.waiting.borrow_mut().pop().expect("it asked");
    gate.admit(who, Verdict::Out);
    let fourth = gate.ask(b"");
    assert_eq!((gate.heard(fourth), gate.waits()), (String::new(), 2));
}

#[test]
fn what_is_said_early_is_read_after_the_decision() {
    let echo = |text: &[u8]| client_frame(OpCode::Text, text);
    // Within what is kept, and more than that: then it is not read on.
    for count in [1, 2_000] {
        let mut gate = Gate::new(10);
        let texts: Vec<String> = (0..count)
            .map(|number| format!("early {number}."))
            .collect();
        let early: Vec<u8> = texts
            .iter()
            .flat_map(|text| echo(text.as_bytes()))
            .collect();
        // The last frame is not complete yet.
        let (first, last) = early.split_at(early.len() - 3);
        let client = gate.ask(&first[..first.len().min(8 << 10)]);
        let mut rest = &first[first.len().min(8 << 10)..];
        let mut written = 0;
        for _ in 0..100 {
            written += gate.world.borrow_mut().write(client, rest).unwrap_or(0);
            rest = &first[(8 << 10).min(first.len()) + written..];
            gate.tick();
        }
        let held = gate.counters.reassembly_bytes.get();
        assert!(held <= 64 << 10, "{held} bytes are kept");
        let who = gate.waiting.borrow_mut().pop().expect("it asked");
        gate.admit(who, Verdict::In);
        gate.write(client, rest);
        gate.write(client, last);
        gate.tick();
        let mut heard = gate.heard(client);
        for _ in 0..50 {
            gate.tick();
            heard += &gate.heard(client);
        }
        assert!(heard.starts_with("HTTP/1.1 101 "));
        let mut at = 0;
        for text in &texts {
            let found = heard[at..].find(text.as_str());
            at += found.unwrap_or_else(|| panic!("{text} is not echoed in its turn"));
        }
        assert_eq!(gate.counters.messages_in.get(), count);
        assert_eq!(gate.counters.closed_deadline_frame.get(), 0);
    }
}

#[test]
fn event_streams_wait_too() {
    const REQUEST: &[u8] =
        b"GET /sse HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";
    let mut gate = Gate::new(10);
    // Nothing behind the request of a stream is read.
    let behind = [REQUEST, b"GET / HTTP/1.1\r\n"].concat();
    for (verdict, status) in [(Verdict::In, "200"), (Verdict::Out, "401")] {
        let client = gate.say(&behind);
        assert_eq!(gate.heard(client), "");
        let who = gate.waiting.borrow_mut().pop().expect("it asked");
        gate.admit(who, verdict);
        let heard = gate.heard(client);
        assert!(heard.starts_with(&format!("HTTP/1.1 {status} ")), "{heard}");
        assert_eq!(heard.matches("HTTP/1.1").count(), 1, "{heard}");
    }
    let late = gate.say(REQUEST);
    gate.pass(TIME_MS + 200);
    let heard = gate.heard(late);
    assert!(heard.starts_with("HTTP/1.1 504 "), "{heard}");
    assert!(heard.contains("Access-Control-Allow-Origin: *"), "{heard}");
    assert_eq!(gate.counters.event_streams.get(), 1);
}

#[test]
fn a_drain_does_not_wait_for_decisions() {
    let mut gate = Gate::new(10);
    let client = gate.ask(b"");
    let who = gate.waiting.borrow_mut().pop().expect("it asked");
    gate.shard.start_drain(StopAccept::Release);
    gate.tick();
    assert!(gate.heard(client).starts_with("HTTP/1.1 503 "));
    assert_eq!((*gate.abandoned.borrow()).clone(), [who]);
    gate.world.borrow_mut().close(client);
    gate.tick();
    assert!(gate.shard.is_drained());
}
