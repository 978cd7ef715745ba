//! A shard that runs an application, with connections of any dialect, on a driver that does
//! nothing: one call is what arrives at one moment, and ticks until all is out. Used by the table
//! of pieces.

use crate::quiet::{Line, Quiet};
use shardcast::{App, Service};
use shardcast_engine::driver::{Completion, ReceiveEnd};
use shardcast_engine::lane::{self, LaneCapacity};
use shardcast_engine::protocol::dialect::Dialect;
use shardcast_engine::protocol::frame::{self, Kind};
use shardcast_engine::shard::{ProcessCounts, Setup, Shard, TokenKey};
use shardcast_engine::{Config, Handle, Ticket};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

pub(crate) struct Office {
    line: Rc<RefCell<Line>>,
    shard: Shard<Service, Quiet>,
    /// Runs handlers in the background while the shard has nothing to do.
    runtime: Runtime,
    /// How often the first slot was used by those who only visit.
    visits: u32,
}

impl Office {
    /// One open connection for each of `dialects`, in their order.
    pub(crate) fn new(app: App, dialects: &[Dialect]) -> Office {
        let line: Rc<RefCell<Line>> = Rc::default();
        let mut config = Config::default();
        let runtime = Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("a runtime");
        let mailbox = lane::mesh(1, LaneCapacity::for_shards(1), 1).remove(0);
        let shards = app.shards(&mut config, runtime.handle().clone());
        shards.attach(Handle::to(std::slice::from_ref(&mailbox)));
        let setup = Setup {
            config: &config,
            mailbox,
            token_key: Some(TokenKey::fixed()),
            admission: ProcessCounts::new(dialects.len().max(1)),
            counters: Arc::default(),
        };
        let shard = Shard::new(setup, shards.shard(0), Quiet(Rc::clone(&line)));
        let mut office = Office {
            line,
            shard,
            runtime,
            visits: 0,
        };
        for (slot, dialect) in (0..).zip(dialects) {
            office.accept(slot);
            let more = format!("Sec-WebSocket-Protocol: {}\r\n", dialect.subprotocol());
            office.arrive(slot, upgrade(&more).as_bytes());
            // The 101 and the welcome leave together.
            office.settle(1);
        }
        office
    }

    fn accept(&mut self, slot: u32) {
        let accepted = Completion::Accepted {
            slot,
            listener: 0,
            peer: SocketAddr::from(([127, 0, 0, 1], 1024)).into(),
        };
        self.line.borrow_mut().completions.push(accepted);
    }

    /// A client comes where nobody is, is let in, and goes.
    pub(crate) fn visit(&mut self, request: &[u8]) {
        self.visits += 1;
        let ticket = Ticket {
            slot: 0,
            generation: self.visits,
        };
        self.accept(0);
        self.arrive_at(ticket, request);
        self.settle(1);
        let why = ReceiveEnd::Eof;
        let over = Completion::ReceiveEnded { ticket, why };
        self.line.borrow_mut().completions.push(over);
        self.settle(0);
    }

    /// The bytes of one receive.
    pub(crate) fn arrive(&mut self, slot: u32, bytes: &[u8]) {
        let generation = FIRST_GENERATION;
        self.arrive_at(Ticket { slot, generation }, bytes);
    }

    fn arrive_at(&mut self, ticket: Ticket, bytes: &[u8]) {
        let line = &mut *self.line.borrow_mut();
        let mut lease = line.returned.pop().unwrap_or_default();
        lease.clear();
        lease.extend_from_slice(bytes);
        line.completions
            .push(Completion::Received { ticket, lease });
    }

    /// Ticks until everything arrived was taken and `transmits` have left. Between two ticks the
    /// background runs.
    pub(crate) fn settle(&mut self, transmits: u64) {
        let before = self.line.borrow().transmits;
        for _ in 0..TICKS_MAX {
            self.shard.tick();
            let line = self.line.borrow();
            if line.completions.is_empty() && line.transmits - before >= transmits {
                assert_eq!(line.transmits - before, transmits);
                return;
            }
            drop(line);
            self.runtime.block_on(tokio::task::yield_now());
        }
        panic!("{transmits} transmits in {TICKS_MAX} ticks");
    }
}

/// A request for a WebSocket, with these header lines besides.
pub(crate) fn upgrade(more: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

/// Of a slot that is used for the first time.
const FIRST_GENERATION: u32 = 1;
/// A request, its answer from the room's home, and the fan-out.
const TICKS_MAX: u32 = 16;

/// One message, as clients send it. It is read in place, from a copy.
pub(crate) fn client_frame(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::write_client_frame(&mut bytes, kind.into(), payload, [1, 2, 3, 4]);
    bytes
}
