//! Users: all connections of one, on whatever shard, are reached exactly once and listed, and races
//! settle right.

use crate::speaker::Speaker;
use crate::{SHARDS, guests, settle, wait};
use serde_json::{Value, json};
use shardcast::{App, ConnectionId, Failure, Handle, Identity};
use shardcast_engine::protocol::dialect::Dialect;
use shardcast_tests::{Server, config};
use std::collections::{BTreeMap, BTreeSet};

/// A handler by which connections become somebody else.
fn app() -> App {
    let app = guests();
    app.handlers()
        .on("be", |cx, (user,): (Option<String>,)| {
            let identity = match user {
                Some(user) => Identity::user(user)?,
                None => Identity::nobody(),
            };
            cx.identify(identity)?;
            Ok::<_, Failure>(())
        })
        .unwrap();
    app
}

/// Connects until every shard has two of each dialect who are this user.
fn everywhere(server: &Server, shards: usize, user: &str) -> Vec<Speaker> {
    let mut all: Vec<Speaker> = Vec::new();
    for _ in 0..1000 {
        for dialect in Dialect::OWN {
            all.push(Speaker::at(
                server.address(),
                dialect,
                &format!("?user={user}"),
            ));
        }
        let reached: BTreeSet<usize> = all.iter().map(Speaker::shard).collect();
        if reached.len() == shards && all.len() >= 6 {
            return all;
        }
    }
    panic!("a shard that nobody reaches");
}

/// The connections of a user, by their ids.
fn listed(handle: &Handle, user: &str) -> BTreeSet<String> {
    let listing = wait(handle.connections(user)).expect("it runs");
    let ids = listing.members.iter().map(|member| {
        assert_eq!(member.user.as_deref(), Some(user));
        let shardcast_engine::Address { shard, ticket } = member.address;
        let id = format!("{shard:x}-{:x}-{:x}", ticket.slot, ticket.generation);
        assert!(id.parse::<ConnectionId>().is_ok());
        id
    });
    ids.collect()
}

#[test]
fn a_user_is_reached_on_all_shards_exactly_once() {
    for shards in [1, 2, 4] {
        let (server, handle) = Server::of(app(), config(shards));
        let mut anns = everywhere(&server, shards, "ann");
        let mut bob = Speaker::at(server.address(), Dialect::NativeJson, "?user=bob");
        let mut nobody = Speaker::new(&server, Dialect::JsonRpc);
        let ids: BTreeSet<String> = anns.iter().map(|ann| ann.id().to_owned()).collect();
        settle(&server, &handle, "ann", ids.len());
        settle(&server, &handle, "bob", 1);
        assert_eq!(listed(&handle, "ann"), ids);
        assert_eq!(listed(&handle, "bob").len(), 1);
        for number in 0..20 {
            wait(handle.to_user("ann").emit("e", &number)).unwrap();
        }
        for ann in &mut anns {
            for number in 0..20 {
                ann.expect_event("e", json!(number));
            }
        }
        // From a client, with counts.
        let counts = json!({"delivered": anns.len(), "queued": 0, "dropped": 0, "conflated": 0, "catching_up": 0});
        bob.check("broadcast", json!({"user": "ann", "report": true}), counts);
        for ann in &mut anns {
            assert_eq!(ann.hear()["from"], bob.id());
            ann.check_quiet();
        }
        // Half of them become bob, the others go.
        let half = anns.len() / 2;
        let mut bobs = anns.split_off(half);
        for new in &mut bobs {
            new.check("be", json!(["bob"]), Value::Null);
        }
        drop(anns);
        settle(&server, &handle, "ann", 0);
        settle(&server, &handle, "bob", bobs.len() + 1);
        wait(handle.to_user("ann").emit("e", &"old")).unwrap();
        wait(handle.to_user("bob").emit("e", &"new")).unwrap();
        for hearer in bobs.iter_mut().chain([&mut bob]) {
            hearer.expect_event("e", json!("new"));
            hearer.check_quiet();
        }
        nobody.check_quiet();
    }
}

/// A small generator: the same choices for the same seed.
pub(crate) struct Choices(pub(crate) u64);

impl Choices {
    /// Below `count` (a linear congruential generator's high bits).
    pub(crate) fn below(&mut self, count: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % count
    }
}

/// Connects, identifies and disconnects as the seed says, without waiting for anything but answers;
/// then whoever is connected, and nobody else, is listed and reached.
#[test]
fn races_settle_to_what_is_connected() {
    const USERS: [&str; 3] = ["ann", "bob", "eve"];
    for shards in SHARDS {
        for seed in 1..=5 {
            let (server, handle) = Server::of(app(), config(shards));
            let mut choices = Choices(seed);
            let mut here: Vec<(Speaker, Option<&str>)> = Vec::new();
            for _ in 0..200 {
                match choices.below(4) {
                    0 => {
                        let user = USERS[choices.below(USERS.len())];
                        let dialect = Dialect::OWN[choices.below(3)];
                        let query = format!("?user={user}");
                        here.push((Speaker::at(server.address(), dialect, &query), Some(user)));
                    }
                    1 if !here.is_empty() => {
                        let at = choices.below(here.len());
                        let (gone, _) = here.swap_remove(at);
                        if choices.below(2) == 0 {
                            gone.client.leave();
                        }
                    }
                    2 | 3 if !here.is_empty() => {
                        let at = choices.below(here.len());
                        let (speaker, user) = &mut here[at];
                        // Several changes under way at once.
                        for _ in 0..=choices.below(3) {
                            *user = USERS.get(choices.below(USERS.len() + 1)).copied();
                            speaker.begin("be", json!([*user]));
                        }
                    }
                    _ => {}
                }
            }
            calm(&mut here);
            check_settled(&server, &handle, &mut here, &USERS);
        }
    }
}

/// Takes every answer. Whoever changed too often in a moment is who it was: nobody knows here, so
/// it says so once more.
fn calm(here: &mut [(Speaker, Option<&str>)]) {
    for (speaker, user) in here {
        speaker.pass_over();
        while speaker.ask("be", json!([*user])) != Value::Null {}
    }
}

fn check_settled(
    server: &Server,
    handle: &Handle,
    here: &mut [(Speaker, Option<&str>)],
    users: &[&str],
) {
    let mut expected: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (speaker, user) in here.iter() {
        if let Some(user) = user {
            let ids = expected.entry(user).or_default();
            ids.insert(speaker.id().to_owned());
        }
    }
    let open = here.len() as u64;
    server.wait_until("only who is here", |server| {
        server.sum(|shard| &shard.connections) == open
    });
    for user in users {
        let ids = expected.remove(user).unwrap_or_default();
        // Who has just gone counts until the user's home has heard of it.
        settle(server, handle, user, ids.len());
        assert_eq!(listed(handle, user), ids);
        wait(handle.to_user(user).emit("e", user)).unwrap();
    }
    for (speaker, user) in here.iter_mut() {
        if let Some(user) = user {
            speaker.expect_event("e", json!(*user));
        }
        speaker.check_quiet();
    }
}
