//! The check of what was given: value by value, and then together.

use super::auth::{KeySetSettings, TokenKeySettings};
use super::auth_check;
use super::given::Given;
use super::group::{self, Group};
use super::key::Key;
use super::keys::{self, KEYS};
use super::map_check;
use super::place::Place;
use super::problem::{Problem, Source};
use super::room_keys;
use super::rooms::Rooms;
use super::settings::Settings;
use super::value::{show_duration, show_size};
use crate::broker::Cluster;
use crate::namespace::history::MESSAGE_HEADROOM_BYTES;
use crate::namespace::{History, NameRules, Newcomers, PresenceOf, RoomOrder};
use shardcast_engine::{Pinning, ProxyProtocol};
use std::iter;

/// Checks what was given, value by value and then together.
///
/// # Errors
/// Everything that is wrong, not only the first. Values are compared with each other only when each
/// obeys its own rule.
pub(crate) fn check(given: &Given) -> Result<Settings, Vec<Problem>> {
    let mut settings = Settings::default();
    let mut problems = given.problems().to_vec();
    for key in KEYS {
        if let Some(value) = given.value(key) {
            read(
                key,
                &mut settings,
                key.name.to_owned(),
                value,
                &mut problems,
            );
        }
    }
    for name in given.tables(&group::NAMESPACES) {
        let mut own = Settings::of_rooms(Rooms::default());
        table(given, &group::NAMESPACES, name, &mut own, &mut problems);
        settings.namespaces.insert(name.to_owned(), own.rooms);
    }
    for name in given.tables(&group::TOKEN_KEYS) {
        let mut own = Settings::of_token_key(TokenKeySettings::default());
        table(given, &group::TOKEN_KEYS, name, &mut own, &mut problems);
        settings.auth.keys.insert(name.to_owned(), own.auth.key);
    }
    for name in given.tables(&group::KEY_SETS) {
        let mut own = Settings::of_key_set(KeySetSettings::default());
        table(given, &group::KEY_SETS, name, &mut own, &mut problems);
        settings.auth.sets.insert(name.to_owned(), own.auth.set);
    }
    for name in given.tables(&group::ROLES) {
        // What a role does not say is everybody's.
        let mut own = settings.clone();
        table(given, &group::ROLES, name, &mut own, &mut problems);
        let limits = own.limits.everybody;
        settings.limits.roles.insert(name.to_owned(), limits);
    }
    if problems.is_empty() {
        problems = CrossChecks {
            settings: &settings,
            given,
        }
        .problems();
    }
    if problems.is_empty() {
        Ok(settings)
    } else {
        Err(problems)
    }
}

/// Reads what was given for a table that the user has named.
fn table(
    given: &Given,
    group: &Group,
    name: &str,
    own: &mut Settings,
    problems: &mut Vec<Problem>,
) {
    for key in group.keys() {
        if let Some(value) = given.option(group, name, key) {
            read(key, own, group.option(name, key), value, problems);
        }
    }
}

/// Reads a value, whose key is called so in full.
fn read(
    key: &Key,
    settings: &mut Settings,
    name: String,
    (text, source): (&str, &Source),
    problems: &mut Vec<Problem>,
) {
    if key.read(settings, text).is_none() {
        problems.push(Problem::Value {
            key: name,
            text: text.to_owned(),
            source: source.clone(),
            rule: format!("must be {}", key.rule()),
        });
    }
}

/// The rules between values, each of which obeys its own rule.
struct CrossChecks<'a> {
    settings: &'a Settings,
    given: &'a Given,
}

impl CrossChecks<'_> {
    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.refuse_strangers(&mut problems);
        self.keep_addresses_apart(&mut problems);
        problems.extend(self.unknown_proxies());
        let operators = self.settings.operators().problems().into_iter();
        problems.extend(operators.map(|(key, rule)| self.breaks(key, rule.to_owned())));
        let Settings {
            engine,
            tls,
            auth,
            cluster,
            ..
        } = self.settings;
        let gateway = self.settings.gateway().problems().into_iter();
        let tracing = self.settings.tracing().problems().into_iter();
        let both = gateway.chain(tracing);
        problems.extend(both.map(|(key, rule)| self.breaks(key, rule.to_owned())));
        for (name, rule) in tls.problems().into_iter().chain(auth_check::problems(auth)) {
            problems.push(self.breaks(name, rule));
        }
        for (table, settings) in &auth.keys {
            let group = &group::TOKEN_KEYS;
            for (key, rule) in auth_check::key_problems(settings) {
                let own = Settings::of_token_key(settings.clone());
                problems.push(self.table_breaks(group, table, key, &own, rule.to_owned()));
            }
        }
        for (table, settings) in &auth.sets {
            if let Some((key, rule)) = auth_check::set_problem(settings) {
                let (group, own) = (&group::KEY_SETS, Settings::of_key_set(settings.clone()));
                problems.push(self.table_breaks(group, table, key, &own, rule.to_owned()));
            }
        }
        let shards = self.settings.shards();
        if let Pinning::Cores(cores) = &engine.pinning
            && cores.len() < shards
        {
            let rule =
                format!("must name at least one core for each shard (server.shards is {shards})");
            problems.push(self.breaks("server.pin", rule));
        }
        let cluster = cluster.problems().into_iter();
        problems.extend(cluster.map(|(key, rule)| self.breaks(key, rule.to_owned())));
        self.keep_nothing_for_one_node(&mut problems);
        problems.extend(self.small_outbox());
        problems.extend(self.reassembly(shards));
        self.fit_room_names(&mut problems);
        problems.extend(self.small_logs(shards));
        self.fit_kept(&mut problems, shards);
        problems.extend(self.maps());
        self.fit_waiting(&mut problems, shards);
        if engine.idle_timeout <= engine.heartbeat {
            let heartbeat = show_duration(engine.heartbeat);
            problems.push(self.breaks("timeouts.idle", format!("must be longer than timeouts.heartbeat ({heartbeat}), or no silent client is ever pinged")));
        }
        problems
    }

    fn maps(&self) -> impl Iterator<Item = Problem> {
        let broken = map_check::problems(self.settings).into_iter();
        broken.map(|it| self.option_breaks(it.namespace, it.key, it.rooms, it.rule.to_owned()))
    }

    /// What waits for a user waits at one node, which cannot know that the user is at another.
    fn keep_nothing_for_one_node(&self, problems: &mut Vec<Problem>) {
        let Settings {
            offline, cluster, ..
        } = self.settings;
        if cluster.is_one_of_many() && offline.messages.is_some() {
            let rule = "must be none in a cluster (cluster.broker): a user who is at another node would be taken for absent";
            problems.push(self.breaks("offline.messages", rule.to_owned()));
        }
    }

    /// The engine takes every name that a namespace takes, and each namespace takes one that bears
    /// its prefix.
    fn fit_room_names(&self, problems: &mut Vec<Problem>) {
        let Settings {
            engine,
            rooms,
            namespaces,
            ..
        } = self.settings;
        let engine_max = engine.room_name_bytes_max;
        if self.settings.cluster.is_one_of_many() && engine_max > Cluster::ROOM_NAME_BYTES_MAX {
            let rule = format!(
                "must be at most {} in a cluster (cluster.broker): brokers bound what they call a room",
                Cluster::ROOM_NAME_BYTES_MAX
            );
            problems.push(self.breaks("limits.max_room_name_bytes", rule));
        }
        let too_long = format!("must be at most limits.max_room_name_bytes ({engine_max})");
        if rooms.name_bytes_max.or(engine_max) > engine_max {
            problems.push(self.breaks(room_keys::MAX_NAME_BYTES.name, too_long.clone()));
        }
        for (name, rooms) in namespaces {
            let (max, least) = (
                rooms.name_bytes_max.or(engine_max),
                NameRules::bytes_least(name),
            );
            let rule = if max > engine_max {
                too_long.clone()
            } else if max < least {
                format!(
                    "must be at least {least}, for the prefix, the colon and a name (limits.max_room_name_bytes is {engine_max})"
                )
            } else {
                continue;
            };
            problems.push(self.option_breaks(Some(name), &room_keys::MAX_NAME_BYTES, rooms, rule));
        }
    }

    /// Every shard has a share of what logs may hold.
    fn small_logs(&self, shards: usize) -> Option<Problem> {
        let least = shards * shardcast_engine::Config::SHARD_LOGS_BYTES_MIN;
        (self.settings.engine.logs_bytes_max < least).then(|| {
            let rule = format!(
                "must be at least {}: 1MiB for each shard (server.shards is {shards})",
                show_size(least)
            );
            self.breaks("limits.log_bytes", rule)
        })
    }

    /// A room keeps at least one publication, of whatever size, and no more than its shard may; and
    /// only what it keeps is sent to newcomers, and only where members are told of each other it is
    /// said what they are.
    fn fit_kept(&self, problems: &mut Vec<Problem>, shards: usize) {
        let Settings {
            engine,
            rooms,
            namespaces,
            cluster,
            ..
        } = self.settings;
        let (all, share) = (engine.logs_bytes_max, engine.logs_bytes_max / shards);
        let named = namespaces.iter();
        let named = named.map(|(name, rooms)| (Some(name.as_str()), rooms));
        let (key, largest) = self.largest_message();
        let least = largest + MESSAGE_HEADROOM_BYTES;
        for (name, rooms) in iter::once((None, rooms)).chain(named) {
            if rooms.history.is_some() && rooms.history_bytes < least {
                let rule = format!(
                    "must be at least {}, or a large message would not be kept: {key} ({}), which may be lowered, and 1KiB more",
                    show_size(least),
                    show_size(largest)
                );
                problems.push(self.option_breaks(name, &room_keys::HISTORY_BYTES, rooms, rule));
            }
            if rooms.history.is_some() && rooms.history_bytes > share {
                let rule = format!(
                    "must be at most {}: a shard's share of limits.log_bytes ({}), which may be raised (server.shards is {shards})",
                    show_size(share),
                    show_size(all)
                );
                problems.push(self.option_breaks(name, &room_keys::HISTORY_BYTES, rooms, rule));
            }
            if rooms.history.is_none() && rooms.last != Newcomers::Nothing {
                let rule = "must be none unless history says how many publications are kept";
                problems.push(self.option_breaks(name, &room_keys::LAST, rooms, rule.to_owned()));
            }
            if rooms.acks
                && (rooms.history.is_none()
                    || !History::leaves_nothing_out(rooms.last, rooms.slow_reader))
            {
                let rule = "must be false unless history says how many publications are kept, slow_reader is disconnect or catch_up, and last none or newest";
                problems.push(self.option_breaks(name, &room_keys::ACKS, rooms, rule.to_owned()));
            }
            if rooms.order == RoomOrder::Broker
                && (rooms.history.is_none() || !cluster.is_one_of_many())
            {
                let rule = "must be fast unless history says how many publications are kept, and cluster.broker is redis or nats, which orders rooms";
                problems.push(self.option_breaks(name, &room_keys::ORDER, rooms, rule.to_owned()));
            }
            if !rooms.presence_events && rooms.presence_of != PresenceOf::default() {
                let rule = "must be connections unless presence_events is true".to_owned();
                problems.push(self.option_breaks(name, &room_keys::PRESENCE_OF, rooms, rule));
            }
        }
    }

    /// Of what waits for a user at least one message does, of whatever size, and no more than its
    /// shard may keep.
    fn fit_waiting(&self, problems: &mut Vec<Problem>, shards: usize) {
        let Settings {
            engine, offline, ..
        } = self.settings;
        if offline.messages.is_none() {
            return;
        }
        let (key, largest) = self.largest_message();
        let least = largest + MESSAGE_HEADROOM_BYTES;
        let share = engine.logs_bytes_max / shards;
        if offline.bytes < least {
            let rule = format!(
                "must be at least {}, or a large message would not be kept: {key} ({}), which may be lowered, and 1KiB more",
                show_size(least),
                show_size(largest)
            );
            problems.push(self.breaks("offline.bytes", rule));
        }
        if offline.bytes > share {
            let rule = format!(
                "must be at most {}: a shard's share of limits.log_bytes ({}), which may be raised (server.shards is {shards})",
                show_size(share),
                show_size(engine.logs_bytes_max)
            );
            problems.push(self.breaks("offline.bytes", rule));
        }
    }

    /// An option of a namespace breaks a rule; the default one has no name.
    fn option_breaks(
        &self,
        namespace: Option<&str>,
        key: &'static Key,
        rooms: &Rooms,
        rule: String,
    ) -> Problem {
        let Some(namespace) = namespace else {
            return self.breaks(key.name, rule);
        };
        let settings = Settings::of_rooms(rooms.clone());
        self.table_breaks(&group::NAMESPACES, namespace, key, &settings, rule)
    }

    /// A key of a table that the user has named breaks a rule; `settings` have its value.
    fn table_breaks(
        &self,
        group: &Group,
        table: &str,
        key: &'static Key,
        settings: &Settings,
        rule: String,
    ) -> Problem {
        let given = self.given.option(group, table, key);
        Problem::Value {
            key: group.option(table, key),
            text: key.show(settings),
            source: given.map_or(Source::Default, |(_, source)| source.clone()),
            rule,
        }
    }

    /// Whatever the largest message and the number of shards are, one message fits.
    fn reassembly(&self, shards: usize) -> Option<Problem> {
        let (key, largest) = self.largest_message();
        let least = shards * shardcast_engine::Config::shard_reassembly_bytes_min(largest);
        (self.settings.engine.reassembly_bytes_max < least).then(|| {
            let message = show_size(largest);
            let rule = format!(
                "must be at least {}: for each shard (server.shards is {shards}) 1MiB and twice {key} ({message})",
                show_size(least)
            );
            self.breaks("limits.reassembly_bytes", rule)
        })
    }

    /// Clients are met somewhere, and no address is used twice.
    fn keep_addresses_apart(&self, problems: &mut Vec<Problem>) {
        let Settings {
            listen, admin, tls, ..
        } = self.settings;
        if !listen.is_somewhere() && !tls.listen.is_somewhere() {
            let rule = "must be an address unless tls.listen is one, or nobody can connect";
            problems.push(self.breaks("server.listen", rule.to_owned()));
        }
        let operators = Place::Address(*admin);
        for (name, place) in [("server.listen", listen), ("tls.listen", &tls.listen)] {
            if place.is_same(&operators) {
                let rule = format!("must not be the address where clients connect ({name})");
                problems.push(self.breaks("server.admin", rule));
            }
        }
        if listen.is_same(&tls.listen) {
            let rule = "must not be the address where clients connect without TLS (server.listen)";
            problems.push(self.breaks("tls.listen", rule.to_owned()));
        }
    }

    /// Whoever connects may claim any address, so proxies are known before they are believed.
    fn unknown_proxies(&self) -> Option<Problem> {
        let on = self.settings.proxy_protocol == ProxyProtocol::On;
        (on && self.settings.proxies.is_none()).then(|| {
            let rule = "must be off unless access.trusted_proxies names the proxies";
            self.breaks("access.proxy_protocol", rule.to_owned())
        })
    }

    /// The largest message that any listener takes, and its key.
    fn largest_message(&self) -> (&'static str, usize) {
        let plain = self.settings.message_bytes_max;
        let over_tls = self.settings.tls.message_bytes_max.or(plain);
        if over_tls > plain {
            ("tls.max_message_bytes", over_tls)
        } else {
            ("limits.max_message_bytes", plain)
        }
    }

    /// An outbox takes the largest message that any listener takes.
    fn small_outbox(&self) -> Option<Problem> {
        let (key, largest) = self.largest_message();
        let outbox_bytes_min = largest + OUTBOX_HEADROOM_BYTES;
        (self.settings.engine.outbox_bytes_max < outbox_bytes_min).then(|| {
            let rule = format!(
                "must be at least {}: {key} ({}) and 1KiB more",
                show_size(outbox_bytes_min),
                show_size(largest)
            );
            self.breaks("limits.outbox_bytes", rule)
        })
    }

    /// What nothing authenticates stays on this host unless told otherwise: the clients' ports
    /// where no token is required, and the operators' port.
    fn refuse_strangers(&self, problems: &mut Vec<Problem>) {
        const CLIENTS: (&str, &str) = (
            "read and publish everything",
            ", require tokens (auth.tokens = \"required\"), or pass --insecure",
        );
        const OPERATORS: (&str, &str) = (
            "disconnect and ban clients as an operator does",
            ", name a token (admin.token_file) or who issues certificates of operators (admin.client_ca), or pass --insecure",
        );
        let Settings {
            listen, admin, tls, ..
        } = self.settings;
        for (name, address, (danger, remedy)) in [
            ("server.listen", listen.address(), CLIENTS),
            ("tls.listen", tls.listen.address(), CLIENTS),
            ("server.admin", Some(*admin), OPERATORS),
        ] {
            let Some(address) = address else { continue };
            let is_permitted = match name {
                "server.admin" => self.settings.permits_operators(address),
                _ => self.settings.permits_clients(address),
            };
            if !is_permitted {
                let rule = format!(
                    "is reachable from other hosts, and without authentication everyone there could {danger}; use a loopback address such as \
                     127.0.0.1:{}{remedy} (server.insecure = true) where the network itself keeps strangers out",
                    address.port()
                );
                problems.push(self.breaks(name, rule));
            }
        }
    }

    fn breaks(&self, name: &'static str, rule: String) -> Problem {
        let key = keys::find(name).expect("a rule names a known key");
        let source = self
            .given
            .value(key)
            .map_or(Source::Default, |(_, source)| source.clone());
        Problem::Value {
            key: name.to_owned(),
            text: key.show(self.settings),
            source,
            rule,
        }
    }
}

/// What an outbox needs beside the largest message: its header, and control frames
/// (`shardcast_engine::Config::outbox_bytes_max`).
const OUTBOX_HEADROOM_BYTES: usize = 1 << 10;
