//! Deadlines of the application's, in virtual time: not early, not late, not after the end, and no
//! harm to the engine's own.

use super::*;

/// Each message is a delay in milliseconds; what is due is told with the time.
struct Alarm(Rc<RefCell<Vec<(Millis, Millis)>>>);

impl Application for Alarm {
    /// Times that are to come.
    type Session = Vec<Millis>;

    fn connect(&mut self, _: &mut Context<'_>, _: &HttpRequest<'_>) -> Admission<Vec<Millis>> {
        Admission::Accept(Vec::new().into())
    }

    fn message(&mut self, cx: &mut Context<'_>, times: &mut Vec<Millis>, message: Message<'_>) {
        let delay: Millis = str::from_utf8(message.bytes()).unwrap().parse().unwrap();
        let at = cx.now_ms().saturating_add(delay);
        times.push(at);
        cx.wake_at(at);
    }

    fn due(&mut self, cx: &mut Context<'_>, times: &mut Vec<Millis>) -> Option<Millis> {
        let now = cx.now_ms();
        times.sort_unstable();
        let come = times.partition_point(|at| *at <= now);
        let come = times.drain(..come).map(|at| (at, now));
        self.0.borrow_mut().extend(come);
        times.first().copied()
    }
}

struct Clock {
    world: Rc<RefCell<World>>,
    shard: Shard<Alarm, SimDriver>,
    counters: Arc<ShardCounters>,
    rung: Rc<RefCell<Vec<(Millis, Millis)>>>,
    client: SocketId,
}

impl Clock {
    /// A client that is there at time 0.
    fn new() -> Clock {
        let config = Config::default();
        let world = World::new(1, Faults::none(), Random::new(1), Trace::Silent);
        let (counters, rung): (Arc<ShardCounters>, Rc<RefCell<Vec<_>>>) = Default::default();
        let setup = Setup {
            config: &config,
            mailbox: lane::mesh(1, LaneCapacity::for_shards(1), 1).remove(0),
            token_key: None,
            admission: ProcessCounts::new(config.connections_max),
            counters: Arc::clone(&counters),
        };
        let shard = Shard::new(setup, Alarm(rung.clone()), World::driver(&world, 0));
        let client = world.borrow_mut().connect(0, 0, Line::Faulty).unwrap();
        let mut clock = Clock {
            world,
            shard,
            counters,
            rung,
            client,
        };
        let mut request = Vec::new();
        let key = upgrade::encode_key([0; 16]);
        upgrade::write_request(&mut request, "localhost", "/", &key, &[]);
        clock.say(&request);
        clock
    }

    fn say(&mut self, bytes: &[u8]) {
        let written = self.world.borrow_mut().write(self.client, bytes);
        assert_eq!(written, Some(bytes.len()));
        for _ in 0..4 {
            self.shard.tick();
        }
    }

    fn set(&mut self, delay: Millis) {
        let text = delay.to_string();
        self.say(&client_frame(OpCode::Text, text.as_bytes()));
    }

    fn go_to(&mut self, at: Millis) {
        let now = self.world.borrow().now();
        for time in (now..at).step_by(10).chain([at]) {
            self.world.borrow_mut().advance_to(time);
            self.shard.tick();
        }
        self.shard.tick();
        self.shard.check_invariants();
    }
}

#[test]
fn the_application_is_woken_when_it_asked_to_be() {
    /// Two steps of the wheel, and one of the test's.
    const PRECISION_MS: Millis = 2 * 64 + 10;
    let mut clock = Clock::new();
    // The later one first, one far beyond the wheel's round, and one that never comes.
    for delay in [5_000, 100, 0, 100_000, 5_000, Millis::MAX] {
        clock.set(delay);
    }
    // The server pings while it waits; the client is there.
    let mut heard = 0;
    while heard < 110_000 {
        heard += 20_000;
        clock.go_to(heard);
        clock.say(&client_frame(OpCode::Pong, b""));
    }
    let rung = clock.rung.borrow().clone();
    let times: Vec<Millis> = rung.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [0, 100, 5_000, 5_000, 100_000]);
    for (at, rang) in rung {
        assert!((at..=at + PRECISION_MS).contains(&rang), "{rang} for {at}");
    }
}

/// A client that is pinged and says nothing has all of its time to answer, however often its
/// application is woken meanwhile, and no more.
#[test]
fn the_engines_own_deadlines_stay_as_they_are() {
    let config = Config::default();
    let pinged = config.heartbeat.as_millis() as Millis;
    let due = pinged + config.pong_timeout.as_millis() as Millis;
    let mut clock = Clock::new();
    for delay in (1_000..due).step_by(1_000) {
        clock.set(delay);
    }
    clock.go_to(due - 200);
    let rung = clock.rung.borrow().len() as Millis;
    assert_eq!(rung, due.div_ceil(1_000) - 1);
    let missed = Arc::clone(&clock.counters);
    assert_eq!(missed.closed_deadline_pong.get(), 0);
    clock.go_to(due + 200);
    assert_eq!(missed.closed_deadline_pong.get(), 1);
}

#[test]
fn nobody_is_woken_after_the_end() {
    let mut clock = Clock::new();
    for delay in [1_000, 2_000] {
        clock.set(delay);
    }
    clock.say(&client_frame(OpCode::Close, b""));
    clock.go_to(3_000);
    assert_eq!(*clock.rung.borrow(), []);
}
