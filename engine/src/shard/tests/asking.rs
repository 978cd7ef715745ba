//! What one call of the application may ask of homes and owners, and that it can go on when those
//! have had their turn.

use super::*;
use crate::message::lane::REQUESTS_WAITING_MAX;
use crate::topic::key::Topic;
use crate::topic::log::options::LogClass;
use crate::topic::publication::Content;
use crate::topic::target::{Publish, PublishError, Target};
use crate::types::answer::Tag;
use crate::types::encoding::EncodingId;
use crate::types::frame::Frame;
use crate::types::history::{HistoryQuery, ReadOrder};
use crate::types::presence::PresenceQuery;
use crate::types::room_error::RoomError;
use shardcast_protocol::close::CloseCode;

const POSITION_ALONE: HistoryQuery = HistoryQuery {
    since: None,
    limit: 0,
    order: ReadOrder::Forward,
};
const FIRST_MEMBER: PresenceQuery = PresenceQuery {
    after: None,
    limit: 1,
};

/// Each message makes it ask for so many publishes, then for one thing of each kind.
struct Greedy(Rc<RefCell<Vec<Heard>>>);

/// How many publishes were refused, and what else was.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    refused: usize,
    join: Result<(), RoomError>,
    leave: Result<(), RoomError>,
    identify: Result<(), RoomError>,
    list: Result<(), PublishError>,
    history: Result<(), PublishError>,
    presence: Result<(), PublishError>,
}

impl Application for Greedy {
    type Session = ();

    fn connect(&mut self, _: &mut Context<'_>, _: &HttpRequest<'_>) -> Admission<()> {
        Admission::Accept(().into())
    }

    fn opened(&mut self, cx: &mut Context<'_>, _: &mut ()) {
        cx.join("mine", Tag(0)).unwrap();
    }

    fn message(&mut self, cx: &mut Context<'_>, _: &mut (), message: Message<'_>) {
        let times: usize = str::from_utf8(message.bytes()).unwrap().parse().unwrap();
        let frame = Frame::new(Kind::Text, b"x");
        let content = || Content::frame(EncodingId::FIRST, frame.clone());
        let publishes = (0..times).map(|_| cx.publish(Target::Room("r"), Publish::new(content())));
        let refused = publishes.filter(Result::is_err).count();
        let mut nobody = cx.address();
        nobody.ticket.generation += 2;
        cx.send_to(nobody, content());
        cx.disconnect(nobody, CloseCode::NORMAL, "");
        let heard = Heard {
            refused,
            join: cx.join("other", Tag(1)),
            leave: cx.leave("mine", Tag(2)),
            identify: cx.identify(Some("ann")),
            list: cx.list(Topic::Room("r"), Tag(3)),
            history: cx.history(Topic::Room("r"), LogClass::new(0), POSITION_ALONE, Tag(4)),
            presence: cx.presence("r", FIRST_MEMBER, Tag(5)),
        };
        self.0.borrow_mut().push(heard);
    }
}

#[test]
fn one_call_asks_for_so_much_and_no_more() {
    let heard: Rc<RefCell<Vec<Heard>>> = Rc::default();
    let config = Config::default();
    let mut trial = Trial::of(&config, Faults::none(), Greedy(heard.clone()));
    let client = trial.connect();
    trial.tick_until(|counters| counters.rooms.get() == 1);
    let beyond = 10;
    let times = REQUESTS_WAITING_MAX + beyond;
    trial.write(
        client,
        &client_frame(OpCode::Text, times.to_string().as_bytes()),
    );
    let ordered = REQUESTS_WAITING_MAX as u64;
    trial.tick_until(|counters| counters.publishes.get() == ordered);
    let full = Heard {
        refused: beyond,
        join: Err(RoomError::Busy),
        leave: Ok(()),
        identify: Err(RoomError::Busy),
        list: Err(PublishError::Busy),
        history: Err(PublishError::Busy),
        presence: Err(PublishError::Busy),
    };
    assert_eq!(heard.borrow_mut().pop(), Some(full));
    // Of the publishes, a message, an end, a join, an identity, and three questions.
    assert_eq!(trial.counters.asks_refused.get(), beyond as u64 + 7);
    trial.tick_until(|counters| counters.rooms.get() == 0);
    // There is room again.
    trial.write(client, &client_frame(OpCode::Text, b"1"));
    trial.tick_until(|counters| counters.publishes.get() == ordered + 1);
    let done = Heard {
        refused: 0,
        join: Ok(()),
        leave: Err(RoomError::NotJoined),
        identify: Ok(()),
        list: Ok(()),
        history: Ok(()),
        presence: Ok(()),
    };
    assert_eq!(heard.borrow_mut().pop(), Some(done));
    assert_eq!(trial.counters.asks_refused.get(), beyond as u64 + 7);
}
