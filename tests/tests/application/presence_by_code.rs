//! Presence for code of the application: on the shard, in the background and from other threads,
//! with the same words and the same effect.

use crate::presence::{teams, telling};
use crate::speaker::Speaker;
use crate::{each, wait};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use serde_json::{Value, json};
use shardcast::namespace::PresenceOf;
use shardcast::{App, Background, Code, Failure, PresenceQuery, PresenceState, RoomPresence};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Badge {
    name: String,
}

fn badge(name: &str) -> Badge {
    let name = name.to_owned();
    Badge { name }
}

fn all() -> PresenceQuery {
    PresenceQuery {
        after: None,
        limit: 1_000,
    }
}

/// What the tests compare of a page: members in all, and each one's user, name and state.
type Seen = (u32, Vec<(Option<String>, Option<String>, bool)>);

fn seen(presence: &RoomPresence) -> Seen {
    let members = presence.members().map(|member| {
        let name = member
            .data
            .map(|data| data.get::<Badge>().expect("a badge").name);
        let is_away = member.state == PresenceState::Away;
        (member.user.map(str::to_owned), name, is_away)
    });
    let mut members: Vec<_> = members.collect();
    members.sort_unstable();
    (presence.total(), members)
}

/// `sync.enter` and `async.enter` join with a badge; `sync.who` and `async.who` tell who is there.
fn offices() -> App {
    let app = teams(&[("users", telling(|options| options.of = PresenceOf::Users))]);
    let handlers = app.handlers();
    handlers
        .on("sync.enter", |cx, (room, name): (String, String)| {
            cx.join_showing_then(&room, &badge(&name), |cx, joined| {
                let members = joined.map_or(0, |joined| joined.members);
                let me = cx.connection();
                let _ = cx.to_connection(me).emit("entered", &members);
            })?;
            Ok(())
        })
        .unwrap();
    handlers
        .on_async(
            "async.enter",
            |cx: Background, (room, name): (String, String)| async move {
                let joined = cx.join_showing(&room, &badge(&name)).await?;
                let me = cx.connection();
                cx.to_connection(me)
                    .emit("entered", &joined.members)
                    .await?;
                Ok::<_, Failure>(())
            },
        )
        .unwrap();
    handlers
        .on("sync.who", |cx, (room,): (String,)| {
            cx.presence(&room, all(), |cx, presence| {
                let me = cx.connection();
                let _ = cx.to_connection(me).emit("who", &seen(&presence));
            })?;
            Ok(())
        })
        .unwrap();
    handlers
        .on_async(
            "async.who",
            |cx: Background, (room,): (String,)| async move {
                let presence = cx.presence(&room, all()).await?;
                let me = cx.connection();
                cx.to_connection(me).emit("who", &seen(&presence)).await?;
                Ok::<_, Failure>(())
            },
        )
        .unwrap();
    app
}

#[test]
fn code_shows_data_and_reads_it() {
    each(offices, |server, handle, dialect| {
        let at = |query| Speaker::at(server.address(), dialect, query);
        for (ways, room) in [("sync", "team:a"), ("async", "team:b")] {
            let (mut ann, mut bob) = (at("?user=ann"), at(""));
            ann.join(room);
            bob.check(&format!("{ways}.enter"), json!([room, "Bob"]), Value::Null);
            bob.expect_event("entered", json!(2));
            let heard = ann.hear();
            assert_eq!(
                (&heard["event"], &heard["data"]),
                (&json!("join"), &json!({"name": "Bob"})),
                "{heard}"
            );
            let expected = json!([2, [[null, "Bob", false], ["ann", null, false]]]);
            bob.check(&format!("{ways}.who"), json!([room]), Value::Null);
            bob.expect_event("who", expected.clone());
            let found = wait(handle.presence(room, all())).unwrap();
            assert_eq!((json!(seen(&found)), found.room()), (expected, room));
            assert!(found.next().is_none());
            drop(ann);
            bob.hear();
            let found = wait(handle.presence(room, all())).unwrap();
            let away = json!([2, [[null, "Bob", false], ["ann", null, true]]]);
            assert_eq!(json!(seen(&found)), away);
        }
    });
}

#[test]
fn pages_go_on_and_users_are_one() {
    each(offices, |server, handle, dialect| {
        let mut connections = Vec::new();
        for number in 0..6 {
            let query = format!("?user=u{}", number / 2);
            let mut one = Speaker::at(server.address(), dialect, &query);
            let id = one.id().parse().unwrap();
            let name = badge(&number.to_string());
            wait(handle.join_showing(id, "users:a", &name)).unwrap();
            one.pass_over();
            connections.push(one);
        }
        let mut query = PresenceQuery {
            after: None,
            limit: 2,
        };
        let mut names = Vec::new();
        loop {
            let page = wait(handle.presence("users:a", query)).unwrap();
            assert_eq!(page.total(), 3);
            for member in page.members() {
                assert_eq!(member.connection, None);
                names.push(member.data.unwrap().get::<Badge>().unwrap().name);
            }
            match page.next() {
                Some(last) => {
                    let after = Some(last.clone());
                    query = PresenceQuery { after, limit: 2 };
                }
                None => break,
            }
        }
        assert_eq!(names, ["1", "3", "5"]);
    });
}

#[test]
fn what_has_no_use_is_an_error() {
    each(offices, |server, handle, dialect| {
        let mut one = Speaker::new(server, dialect);
        let id = one.id().parse().unwrap();
        let code = |failed: Failure| failed.problem().map(|problem| problem.code);
        let bad = Some(Code::BadRequest);
        let failed = wait(handle.join_showing(id, "plain:a", &1)).unwrap_err();
        assert_eq!(code(failed), bad);
        let failed = wait(handle.presence("plain:a", all())).unwrap_err();
        assert_eq!(code(failed), bad);
        let long = "x".repeat(1_023);
        let failed = wait(handle.join_showing(id, "team:a", &long)).unwrap_err();
        assert_eq!(code(failed), bad);
        for way in ["sync.enter", "async.enter"] {
            one.check_refused(way, json!(["plain:a", "n"]), "bad_request");
            one.check_refused(way, json!(["team:a", long]), "bad_request");
        }
        for way in ["sync.who", "async.who"] {
            one.check_refused(way, json!(["plain:a"]), "bad_request");
        }
        assert_eq!(one.ask("rooms", json!({})), json!({"rooms": []}));
        // The longest, nothing, and bytes, which stay bytes.
        wait(handle.join_showing(id, "team:a", &&long[1..])).unwrap();
        wait(handle.join_showing(id, "team:b", &())).unwrap();
        let bytes = ByteBuf::from([0, 255]);
        wait(handle.join_showing(id, "team:c", &bytes)).unwrap();
        let shown = |room: &str| {
            let page = wait(handle.presence(room, all())).unwrap();
            let member = page.members().next().expect("one member");
            assert_eq!(member.connection, Some(id));
            member.data.map(|data| data.get::<Value>().is_ok())
        };
        assert_eq!((shown("team:a"), shown("team:b")), (Some(true), None));
        let page = wait(handle.presence("team:c", all())).unwrap();
        let data = page.members().next().and_then(|member| member.data);
        assert_eq!(data.unwrap().get::<ByteBuf>().unwrap(), bytes);
    });
}
