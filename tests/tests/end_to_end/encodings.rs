//! Encodings, users, limits and lists over real sockets: one room whose members are encoded
//! differently, one user on all shards.

use crate::SHARDS;
use shardcast_engine::protocol::close::CloseCode;
use shardcast_engine::protocol::frame::Kind;
use shardcast_engine::protocol::http::HttpRequest;
use shardcast_engine::{
    Accepted, Address, Admission, Answer, Application, Content, Context, Data, DataEncoding,
    EncodingId, Frame, Message, Notice, Position, Publication, PublicationKind, Publish, Tag,
    Target, Topic,
};
use shardcast_tests::{Client, Server, config};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Connections by the number that they gave themselves.
pub(crate) type Book = Arc<Mutex<BTreeMap<u32, Address>>>;

/// Does what a text says, asks apart by semicolons; the subprotocol is the encoding: `f0`, `f1`,
/// `f2`. What leaves in an encoding begins with its name.
pub(crate) struct Hall {
    pub(crate) book: Book,
}

impl Application for Hall {
    type Session = ();

    fn connect(&mut self, _cx: &mut Context<'_>, request: &HttpRequest<'_>) -> Admission<()> {
        let subprotocol = request.choose_subprotocol(&["f0", "f1", "f2"]);
        let encoding = match subprotocol {
            Some("f1") => EncodingId::new(1),
            Some("f2") => EncodingId::new(2),
            _ => EncodingId::FIRST,
        };
        Admission::Accept(Accepted {
            subprotocol,
            encoding,
            ..().into()
        })
    }

    fn message(&mut self, cx: &mut Context<'_>, _: &mut (), message: Message<'_>) {
        let Message::Text(text) = message else { return };
        text.split(';').for_each(|ask| self.obey(cx, ask));
    }

    fn answered(&mut self, cx: &mut Context<'_>, _: &mut (), _: Tag, answer: Answer) {
        cx.send(Kind::Text, said(&answer, &self.book).as_bytes());
    }

    /// `?` can be said in the first encoding alone, and `!` is more than the second can bear.
    fn encode(
        encoding: EncodingId,
        publication: &Publication<'_>,
        position: Option<Position>,
    ) -> Option<Frame> {
        assert_eq!(position, None, "no topic keeps history");
        let Data::Text(said) = publication.data else {
            panic!("all is text here");
        };
        assert!(
            said != "!" || encoding != EncodingId::new(1),
            "as the client wished"
        );
        (said != "?" || encoding == EncodingId::FIRST).then(|| said_in(encoding, said))
    }

    fn notified(&mut self, cx: &mut Context<'_>, _: &mut (), note: Notice) {
        let note = note.downcast::<String>().unwrap();
        assert_ne!(*note, "panic", "as the other thread wished");
        cx.send(Kind::Text, note.as_bytes());
    }
}

impl Hall {
    fn obey(&self, cx: &mut Context<'_>, ask: &str) {
        let words: Vec<&str> = ask.split(' ').collect();
        let done = match words[..] {
            ["number", number] => {
                let mut book = self.book.lock().unwrap();
                book.insert(number.parse().unwrap(), cx.address());
                Ok(())
            }
            ["join", room] => cx.join(room, Tag(0)).map_err(|error| error.to_string()),
            ["join", room, members_max] => cx
                .join_limited(room, members_max.parse().unwrap(), Tag(0))
                .map_err(|error| error.to_string()),
            ["leave", room] => cx.leave(room, Tag(0)).map_err(|error| error.to_string()),
            ["be", user] => cx.identify(Some(user)).map_err(|error| error.to_string()),
            ["be"] => cx.identify(None).map_err(|error| error.to_string()),
            ["publish", to, said] => {
                let publish = Publish::new(content(said));
                let to = match to.strip_prefix("user:") {
                    Some(user) => Target::User(user),
                    None if to == "*" => Target::Everyone,
                    None => Target::Room(to),
                };
                cx.publish(to, publish.report(Tag(0)))
                    .map_err(|error| error.to_string())
            }
            ["list", topic] => {
                let topic = match topic.strip_prefix("user:") {
                    Some(user) => Topic::User(user),
                    None => Topic::Room(topic),
                };
                cx.list(topic, Tag(0)).map_err(|error| error.to_string())
            }
            ["tell", number, said] => {
                let to = self.book.lock().unwrap()[&number.parse().unwrap()];
                cx.send_to(to, content(said));
                Ok(())
            }
            ["close"] => {
                cx.close(CloseCode::NORMAL, "");
                Ok(())
            }
            ["who"] => {
                let who = cx
                    .user()
                    .map_or("nobody".to_owned(), |user| user.to_string());
                let rooms = cx.rooms().len();
                cx.send(Kind::Text, format!("{who} in {rooms}").as_bytes());
                Ok(())
            }
            _ => Err("what?".to_owned()),
        };
        if let Err(error) = done {
            cx.send(Kind::Text, error.as_bytes());
        }
    }
}

fn said_in(encoding: EncodingId, text: &str) -> Frame {
    Frame::new(
        Kind::Text,
        format!("f{} {text}", encoding.index()).as_bytes(),
    )
}

/// What is said, to be encoded for whom it goes to.
pub(crate) fn content(said: &str) -> Content {
    let publication = Publication {
        topic: None,
        kind: PublicationKind::Event { name: "said" },
        data: Data::Text(said),
        data_encoding: DataEncoding::default(),
    };
    Content::data(&publication, Vec::new())
}

/// An answer in words; members by their numbers.
pub(crate) fn said(answer: &Answer, book: &Book) -> String {
    match answer {
        Answer::Joined { room, members, .. } => format!("joined {room} {members}"),
        Answer::Left { room } => format!("left {room}"),
        Answer::Refused { room, error } => format!("refused {room}: {error}"),
        Answer::Reported(report) if report.dropped > 0 => {
            format!("reported {}, dropped {}", report.delivered, report.dropped)
        }
        Answer::Reported(report) => format!("reported {}", report.delivered),
        Answer::Listed(listing) => {
            let book = book.lock().unwrap();
            let mut members: Vec<String> = Vec::new();
            for (number, address) in &*book {
                let mut found = listing.members.iter();
                if let Some(member) = found.find(|member| member.address == *address) {
                    let user = member.user.as_deref().unwrap_or("-");
                    members.push(format!("{number}:{user}"));
                }
            }
            format!("listed {} {}", listing.total, members.join(" "))
        }
        other => {
            unreachable!("no connection asks for it: {other:?}")
        }
    }
}

pub(crate) fn hall(shards: usize) -> (Server, Book) {
    let book = Book::default();
    let shared = book.clone();
    let server = Server::with(config(shards), move |_| Hall {
        book: shared.clone(),
    });
    (server, book)
}

/// Clients of all three encodings in turns, each with its number, in the room `r`.
pub(crate) fn guests(server: &Server, count: usize) -> Vec<Client> {
    let connect = |index: usize| {
        let (mut client, _) = Client::offering(server, &format!("f{}", index % 3));
        client.say(&format!("number {index}"));
        client.check("join r", &format!("joined r {}", index + 1));
        client
    };
    (0..count).map(connect).collect()
}

#[test]
fn a_room_is_published_to_in_every_encoding() {
    const GUESTS: usize = 12;
    for shards in SHARDS {
        let (server, _) = hall(shards);
        let mut guests = guests(&server, GUESTS);
        for speaker in 0..3 {
            for (to, text) in [("r", "room"), ("*", "all")] {
                guests[speaker].say(&format!("publish {to} {text}"));
                for (index, guest) in guests.iter_mut().enumerate() {
                    guest.expect(&format!("f{} {text}", index % 3));
                }
                guests[speaker].expect(&format!("reported {GUESTS}"));
            }
        }
        // What cannot be said, or panics, is not sent to those who could only hear it so. The
        // report tells how many they are.
        for to in ["r", "*"] {
            for (text, hearers) in [("?", [true, false, false]), ("!", [true, false, true])] {
                guests[0].say(&format!("publish {to} {text}"));
                for (index, guest) in guests.iter_mut().enumerate() {
                    if hearers[index % 3] {
                        guest.expect(&format!("f{} {text}", index % 3));
                    }
                }
                let delivered = GUESTS / 3 * hearers.iter().filter(|hears| **hears).count();
                let dropped = GUESTS - delivered;
                guests[0].expect(&format!("reported {delivered}, dropped {dropped}"));
            }
        }
        guests[0].say("tell 4 direct");
        guests[4].expect("f1 direct");
        guests[0].say("tell 4 ?");
        guests[0].say("tell 4 direct");
        guests[4].expect("f1 direct");
        assert_eq!(
            server.sum(|shard| &shard.dropped_untranslatable),
            2 * (2 + 1) + 1
        );
        assert_eq!(server.sum(|shard| &shard.panics), 2);
        guests.into_iter().for_each(Client::leave);
        server.wait_until_empty();
    }
}

#[test]
fn a_user_is_reached_on_all_its_connections() {
    for shards in SHARDS {
        let (server, _) = hall(shards);
        let mut guests = guests(&server, 6);
        let mut listed = String::from("listed");
        for (index, guest) in guests[..4].iter_mut().enumerate() {
            guest.say("be ann");
            guest.check("who", "ann in 1");
            // The user's home hears of the connection before it hears of the list.
            listed = match index {
                0 => "listed 1 0:ann".to_owned(),
                _ => format!("listed {} {} {index}:ann", index + 1, &listed[9..]),
            };
            guest.check("list user:ann", &listed);
        }
        guests[5].say("publish user:ann hello");
        for (index, guest) in guests[..4].iter_mut().enumerate() {
            guest.expect(&format!("f{} hello", index % 3));
        }
        guests[5].expect("reported 4");
        // It is somebody else from one ask to the next, and then nobody.
        guests[0].say("be bob");
        guests[0].check("list user:bob", "listed 1 0:bob");
        guests[0].say("publish user:bob me");
        guests[0].expect("f0 me");
        guests[0].expect("reported 1");
        guests[0].say("be");
        guests[0].check("who", "nobody in 1");
        guests[0].check("list user:bob", "listed 0 ");
        // The home of the other user, which may be another shard, hears that this one is gone
        // before it hears of the list; what comes from elsewhere may be ordered before either.
        guests[0].check("list user:ann", "listed 3 1:ann 2:ann 3:ann");
        guests[5].say("publish user:ann again");
        for (index, guest) in guests[1..4].iter_mut().enumerate() {
            guest.expect(&format!("f{} again", (index + 1) % 3));
        }
        guests[5].expect("reported 3");
        guests[5].check("publish user:nobody lost", "reported 0");
        guests[5].check("list r", "listed 6 0:- 1:ann 2:ann 3:ann 4:- 5:-");
        guests.into_iter().for_each(Client::leave);
        server.wait_until_empty();
    }
}

#[test]
fn names_that_are_no_names() {
    let (server, _) = hall(2);
    let mut client = Client::plain(&server);
    let long = "n".repeat(256);
    let refused = "the name is empty or too long";
    let long_room = "n".repeat(config(2).room_name_bytes_max + 1);
    for ask in [
        "join ".to_owned(),
        format!("join {long_room}"),
        format!("publish {long_room} x"),
        format!("list {long_room}"),
        "be ".to_owned(),
        format!("be {long}"),
        format!("list user:{long}"),
        format!("publish user:{long} x"),
    ] {
        client.check(&ask, refused);
    }
    client.check("leave r", "the connection is not in this room");
    client.say(&format!("be {}", &long[1..]));
    client.check("who", &format!("{} in 0", &long[1..]));
    // A room may be called as anybody is, and is another topic all the same.
    for room in [&long[1..], "\u{1}ann", "ann"] {
        client.check(&format!("join {room}"), &format!("joined {room} 1"));
        client.check(&format!("list {room}"), "listed 1 ");
        client.check("list user:ann", "listed 0 ");
        client.check(&format!("leave {room}"), &format!("left {room}"));
    }
    client.check(&format!("list user:{}", &long[1..]), "listed 1 ");
    client.leave();
    server.wait_until_empty();
}

#[test]
fn a_room_takes_no_more_than_it_may() {
    for shards in SHARDS {
        let (server, _) = hall(shards);
        let mut guests = guests(&server, 4);
        guests[0].check("join r 4", "joined r 4");
        let mut late = Client::plain(&server);
        let full = "refused r: the room has as many members as it may have";
        late.check("join r 4", full);
        late.check("who", "nobody in 0");
        // Whoever leaves before the refusal is known has left, and whoever closes is gone.
        late.say("join r 4;leave r;join r 4");
        for answer in [full, "left r", full] {
            late.expect(answer);
        }
        late.check(
            "join empty 0",
            "refused empty: the room has as many members as it may have",
        );
        late.say("join r 4;join r");
        late.expect(full);
        late.expect("joined r 5");
        late.check("leave r", "left r");
        late.say("join r 4;close");
        assert_eq!(late.closed().0, 1000);
        guests.pop().unwrap().leave();
        server.wait_until("one less", |server| {
            server.sum(|shard| &shard.connections) == 3
        });
        let mut next = Client::plain(&server);
        next.check("join r 4", "joined r 4");
        next.leave();
        guests.into_iter().for_each(Client::leave);
        server.wait_until_empty();
    }
}
