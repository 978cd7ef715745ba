//! A table of configurations of Centrifugo, each in both versions' spelling where it differs, with
//! what becomes of it; every page that is written passes our own check.

use super::*;
use serde_json::{Value, json};

/// What is written of a configuration, section by section without the lines that every page has;
/// how many things are to be done; the beginnings of what is left out.
#[track_caller]
fn check(config: &Value, page: &str, to_do: usize, left_out: &[&str]) {
    let imported = import(config).expect("an object");
    let usual = [
        "[server]",
        "listen = \"127.0.0.1:8000\"",
        "[rooms]",
        "[fallback]",
        "[centrifuge]",
    ];
    let usual = [&usual[..], &DEFAULT].concat();
    let lines = imported
        .page
        .lines()
        .filter(|line| !line.is_empty() && !usual.contains(line));
    let lines: Vec<&str> = lines.collect();
    let expected: Vec<&str> = page
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    assert_eq!(lines, expected, "{config}");
    assert_eq!(imported.to_do.len(), to_do, "{:?}", imported.to_do);
    let told = imported
        .left_out
        .iter()
        .filter(|text| !text.starts_with("client.token: without"));
    let told: Vec<&String> = told.collect();
    assert_eq!(told.len(), left_out.len(), "{told:?}");
    for (text, beginning) in told.iter().zip(left_out) {
        assert!(text.starts_with(beginning), "{text}");
    }
    let checked = crate::parsing::configuration(&imported.page);
    assert_eq!(checked.map(drop), Ok(()), "{}", imported.page);
}

/// Of the default namespace where nothing is permitted, and of transports that are off.
const DEFAULT: [&str; 5] = [
    "join = [\"by-token\"]",
    "publish = [\"by-token\"]",
    "presence = \"nobody\"",
    "enabled = false",
    "unidirectional = false",
];

const SECRET: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn nothing_is_permitted_where_nothing_was() {
    check(&json!({}), "", 0, &[]);
    check(
        &json!({"http_server": {"address": "localhost"}}),
        "",
        0,
        &[],
    );
    for other in [json!([]), json!("x"), json!(null)] {
        assert!(import(&other).is_err());
    }
}

#[test]
fn tokens_and_addresses() {
    let page = r#"
        [auth]
        tokens = "required"
        require_exp = false
        audience = "chat"
        [auth.keys.hmac]
        algorithm = "HS256"
        secret_env = "CENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY"
        listen = "0.0.0.0:9000"
        admin = "127.0.0.1:9001"
        [access]
        origins = "https://a.example,https://b.example"
        [admin]
        token_env = "CENTRIFUGO_HTTP_API_KEY"
    "#;
    let six = json!({
        "client": {
            "token": {"hmac_secret_key": SECRET, "audience": "chat", "issuer": ""},
            "allowed_origins": ["https://a.example", "https://b.example"],
        },
        "http_api": {"key": SECRET},
        "http_server": {"port": 9000, "internal_port": "9001"},
    });
    let five = json!({
        "token_hmac_secret_key": SECRET,
        "token_audience": "chat",
        "allowed_origins": ["https://a.example", "https://b.example"],
        "api_key": SECRET,
        "port": "9000",
        "internal_port": "9001",
    });
    for config in [six, five] {
        let imported = import(&config).expect("an object");
        assert!(!imported.page.contains(SECRET), "{}", imported.page);
        let mut lines: Vec<&str> = imported
            .page
            .lines()
            .filter(|line| !line.is_empty())
            .collect();
        let mut expected: Vec<&str> = page
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let usual = ["[server]", "[rooms]", "[fallback]", "[centrifuge]"];
        expected.extend([&usual[..], &DEFAULT].concat());
        lines.sort_unstable();
        expected.sort_unstable();
        assert_eq!(lines, expected, "{config}");
        assert_eq!((imported.to_do.len(), imported.left_out), (2, vec![]));
        assert!(crate::parsing::configuration(&imported.page).is_ok());
    }
    let weak =
        json!({"token_hmac_secret_key": "short", "api_key": "short", "address": "127.0.0.1"});
    assert_eq!(import(&weak).expect("an object").to_do.len(), 4);
}

#[test]
fn whom_nothing_keeps_out_is_let_in_and_told() {
    for config in [
        json!({"client": {"insecure": true, "token": {"hmac_secret_key": SECRET}}}),
        json!({"client_insecure": true}),
        json!({"client": {"allow_anonymous_connect_without_token": true}}),
        json!({"allow_anonymous_connect_without_token": true}),
    ] {
        check(
            &config,
            "listen = \"0.0.0.0:8000\"\ninsecure = true",
            1,
            &[],
        );
    }
    let encrypted = json!({
        "allow_anonymous_connect_without_token": true,
        "tls": true, "tls_cert": "/etc/a.pem", "tls_key": "/etc/a.key", "port": 443,
    });
    let page = r#"
        listen = "none"
        insecure = true
        [tls]
        listen = "0.0.0.0:443"
        certificates = "/etc/a.pem"
        keys = "/etc/a.key"
    "#;
    check(&encrypted, page, 1, &[]);
}

#[test]
fn namespaces() {
    let options = json!({
        "presence": true, "join_leave": true, "force_push_join_leave": true,
        "history_size": 100, "history_ttl": "1h30m", "force_recovery": true,
        "allow_subscribe_for_client": true, "allow_publish_for_client": true,
        "allow_publish_for_anonymous": true, "allow_presence_for_client": true,
    });
    let with = |name: &str, more: Value| {
        let mut options = options.as_object().expect("an object").clone();
        options.insert("name".to_owned(), name.into());
        options.extend(more.as_object().expect("an object").clone());
        Value::Object(options)
    };
    let chat = r#"
        [namespaces.chat]
        join = "users"
        publish = "anyone"
        presence = "users"
        presence_events = true
        presence_grace = "0ms"
        history = 100
        history_ttl = "90m"
        history_read = "anyone"
        epoch_ttl = "2d"
    "#;
    let chats = json!([with(
        "chat",
        json!({"allow_history_for_subscriber": true, "allow_tags_filter": true})
    )]);
    check(
        &json!({"namespaces": chats, "global_history_meta_ttl": "48h"}),
        chat,
        0,
        &[],
    );
    check(
        &json!({"channel": {"namespaces": chats, "history_meta_ttl": "48h"}}),
        chat,
        0,
        &[],
    );
    let prices = json!({"name": "prices", "history_size": 1, "history_ttl": "24h", "allow_history_for_client": true,
        "allow_recovery": false, "force_recovery_mode": "cache", "allow_tags_filter": false});
    let page = r#"
        [namespaces.prices]
        history = 1
        history_ttl = "1d"
        history_read = "users"
        last = "newest"
        tag_filters = false
    "#;
    check(&json!({"namespaces": [prices]}), page, 0, &[]);
    let open = json!({"allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true});
    check(
        &json!({"channel": {"without_namespace": open}}),
        "join = \"anyone\"",
        0,
        &[],
    );
    check(&open, "join = \"anyone\"", 0, &[]);
}

#[test]
fn maps() {
    let cursors = json!({"name": "cursors", "subscription_type": "map",
        "allow_subscribe_for_client": true, "allow_tags_filter": true,
        "map_clients_presence_channel_prefix": "there:", "map": {"mode": "ephemeral",
            "key_ttl": "60s", "client_key": "client_id", "remove_client_on_unsubscribe": true,
            "allow_publish_for_client": true, "allow_remove_for_client": true}});
    let prices = json!({"name": "prices", "subscription_type": "map",
        "allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true,
        "map": {"mode": "persistent", "stream_size": 20, "stream_ttl": "10s",
            "remove_client_on_unsubscribe": true, "allow_publish_for_client": true}});
    // Keys of clients that there are not here, and a rule that is none of a map.
    let own = json!({"name": "own", "subscription_type": "map", "allow_publish_for_client": true,
        "map": {"client_key": "{{user}}", "allow_publish_for_anonymous": true,
            "allow_publish_for_client": true, "allow_remove_for_client": true}});
    let plain = json!({"name": "plain", "subscription_type": "map"});
    let there = json!({"name": "there", "subscription_type": "map_clients",
        "map": {"key_ttl": "60s", "publish_proxy_enabled": false}});
    let polled = json!({"name": "polled", "subscription_type": "shared_poll"});
    let page = r#"
        [namespaces.cursors]
        join = "users"
        publish = "users"
        history = 100
        history_ttl = "5m"
        history_read = "anyone"
        presence_connections = "there:"
        map = true
        map_key_ttl = "1m"
        map_remove_left = true
        map_client_key = "connection"
        map_recovery = "state"
        [namespaces.prices]
        join = "anyone"
        history = 20
        history_ttl = "10s"
        history_read = "anyone"
        map = true
        [namespaces.own]
        history = 100
        history_ttl = "5m"
        history_read = "anyone"
        map = true
        [namespaces.plain]
        history = 100
        history_ttl = "5m"
        history_read = "anyone"
        map = true
        [namespaces.there]
        history = 100
        history_ttl = "5m"
        history_read = "anyone"
        map = true
        map_of = "connections"
        [namespaces.polled]
    "#;
    let left_out = [
        "channel.namespaces.prices.map.remove_client_on_unsubscribe: only a key",
        "channel.namespaces.prices.map.allow_publish_for_client: who may",
        "channel.namespaces.prices.map.mode: a map is in memory",
        "channel.namespaces.own.map.client_key: a key is any",
        "channel.namespaces.own.map.allow_publish_for_anonymous: its clients",
        "channel.namespaces.own.allow_publish_for_client: who may publish to a map is said",
        "channel.namespaces.own.map.allow_publish_for_client: its clients",
        "channel.namespaces.there.map.key_ttl: a key stays",
        "channel.namespaces.there.map.publish_proxy_enabled: what asks a backend",
        "channel.namespaces.polled.subscription_type: there is no such",
    ];
    let config = json!({"channel": {"namespaces": [cursors, prices, own, plain, there, polled]}});
    check(&config, page, 0, &left_out);
}

#[test]
fn what_has_no_such_rule_is_not_opened_for_it() {
    let narrow = json!({"name": "narrow", "presence": true, "allow_publish_for_subscriber": true,
        "allow_presence_for_subscriber": true, "channel_regex": "^a", "proxy_subscribe": true,
        "allow_user_limited_channels": true});
    let page = r#"
        [namespaces.narrow]
        join = "users"
        presence = ["by-token"]
        owned_by = "hash"
    "#;
    let imported = import(&json!({"namespaces": [narrow, {"name": "a.b"}]})).expect("an object");
    let left = imported
        .left_out
        .iter()
        .filter(|text| !text.starts_with("client.token"));
    assert_eq!(left.count(), 5, "{:?}", imported.left_out);
    for line in page.lines().map(str::trim) {
        assert!(imported.page.contains(line), "{line}: {}", imported.page);
    }
    assert!(
        crate::parsing::configuration(&imported.page).is_ok(),
        "{}",
        imported.page
    );
}

#[test]
fn limits_and_transports() {
    let six = json!({
        "client": {
            "ping_interval": "10s", "pong_timeout": "3s", "stale_close_delay": "1m", "channel_limit": 64,
            "queue_max_size": 2_000_000, "connection_limit": 0, "user_connection_limit": 3,
            "subscribe_to_user_personal_channel": {"enabled": true, "personal_channel_namespace": "inbox"},
        },
        "websocket": {"compression": true, "message_size_limit": 4096},
        "sse": {"enabled": true}, "http_stream": {"enabled": false, "handler_prefix": "/other"},
        "uni_sse": {"enabled": true, "handler_prefix": "/connection/uni_sse"},
        "shutdown": {"timeout": "30s"}, "log": {"level": "none"},
        "prometheus": {"enabled": true}, "engine": {"type": "memory"},
        "channel": {"max_length": 100},
    });
    let five = json!({
        "ping_interval": "10s", "pong_timeout": "3s", "client_stale_close_delay": "60s",
        "client_channel_limit": 64, "client_queue_max_size": 2_000_000, "client_user_connection_limit": 3,
        "user_subscribe_to_personal": true, "user_personal_channel_namespace": "inbox",
        "websocket_compression": true, "websocket_message_size_limit": 4096, "sse": true, "uni_sse": true,
        "shutdown_timeout": "30s", "log_level": "fatal", "prometheus": true, "engine": "memory",
        "channel_max_length": 100, "client_connection_limit": 0,
    });
    for config in [six, five] {
        let imported = import(&config).expect("an object");
        for line in [
            "ping_interval = \"10s\"",
            "pong_timeout = \"3s\"",
            "connect_timeout = \"1m\"",
            "personal_channels = \"inbox:#\"",
            "unidirectional = true",
            "max_rooms_per_connection = 64",
            "max_room_name_bytes = 100",
            "max_message_bytes = 4096",
            "outbox_bytes = 2000000",
            "same_user = \"reject\"",
            "max_per_user = 3",
            "drain_timeout = \"30s\"",
            "level = \"error\"",
            "enabled = true",
        ] {
            assert!(
                imported.page.contains(&format!("{line}\n")),
                "{line}: {}",
                imported.page
            );
        }
        let left = imported
            .left_out
            .iter()
            .filter(|text| !text.starts_with("client.token"));
        assert_eq!(left.collect::<Vec<_>>(), Vec::<&String>::new());
        assert_eq!(
            crate::parsing::configuration(&imported.page).map(drop),
            Ok(())
        );
    }
}

#[test]
fn every_other_key_is_told() {
    let config = json!({
        "engine": {"type": "tarantool", "redis": {"idle_timeout": "1s"}},
        "admin": {"enabled": true, "password": "x"},
        "grpc_api": {"enabled": false, "port": 1},
        "client": {"ping_interval": -1, "token": {"issuer_regex": "x"}},
        "websocket": {"handler_prefix": "/ws"},
        "unknown": 1,
    });
    let left_out = [
        "client.ping_interval: -1",
        "engine.type: it is always memory",
        "websocket.handler_prefix: it is always /connection/websocket",
        "admin.enabled: ",
        "admin.password: ",
        "client.token.issuer_regex: ",
        "engine.redis.idle_timeout: the broker",
        "unknown: there is no such key",
    ];
    check(&config, "", 0, &left_out);
}

#[test]
fn durations() {
    for (theirs, ours) in [
        ("25s", Some("25s")),
        ("1h30m", Some("90m")),
        ("720h", Some("30d")),
        ("1500ms", Some("1500ms")),
        ("1m0s", Some("1m")),
        ("0s", Some("0ms")),
        ("", None),
        ("10", None),
        ("1.5h", None),
        ("-1s", None),
        ("99999999999999999999h", None),
    ] {
        assert_eq!(
            values::duration(&json!(theirs)).as_deref(),
            ours,
            "{theirs}"
        );
    }
}

#[test]
fn brokers() {
    let redis = r#"
        [cluster]
        url = "redis://10.0.0.1:6379,redis://10.0.0.2:6379"
        broker = "redis"
        prefix = "chat"
        password_env = "CENTRIFUGO_ENGINE_REDIS_PASSWORD"
    "#;
    let addresses = json!(["redis://10.0.0.1:6379", "10.0.0.2:6379"]);
    let options = json!({"address": addresses, "prefix": "chat", "password": "x"});
    for config in [
        json!({"engine": {"type": "redis", "redis": options}}),
        json!({"broker": {"enabled": true, "type": "redis", "redis": options}}),
        json!({"engine": "redis", "redis_address": "10.0.0.1:6379,10.0.0.2:6379",
            "redis_prefix": "chat", "redis_password": "x"}),
    ] {
        check(&config, redis, 1, &[]);
    }
    let nats = r#"
        [cluster]
        url = "nats://10.0.0.1:4222"
        broker = "nats"
    "#;
    check(
        &json!({"broker": "nats", "nats_url": "nats://10.0.0.1:4222"}),
        nats,
        0,
        &[],
    );
    for address in [
        "redis://:secret@10.0.0.1:6379",
        "redis+sentinel://a",
        "unix:///run/redis",
        "",
    ] {
        let config = json!({"engine": {"type": "redis", "redis": {"address": address}}});
        check(&config, "", 0, &["engine.redis.address: "]);
    }
}

/// Options of a namespace as versions 5 and 6 have them, with a value that says something, and what
/// has to be said besides for it to mean something.
fn options() -> Vec<(&'static str, Value, Value)> {
    let nothing = || json!({});
    let of = |names: &[&'static str], value: Value| -> Vec<(&'static str, Value, Value)> {
        let rows = names.iter().map(|name| (*name, value.clone(), nothing()));
        rows.collect()
    };
    let flags = [
        "allow_history_for_anonymous",
        "allow_presence_for_anonymous",
        "allow_publish_for_anonymous",
        "allow_subscribe_for_anonymous",
        "allow_positioning",
        "allow_recovery",
        "allow_tags_filter",
        "allow_user_limited_channels",
        "auto_cache_recovery",
        "delta_publish",
        "force_positioning",
        "force_push_join_leave",
        "force_recovery",
        "join_leave",
        "proxy_publish",
        "proxy_sub_refresh",
        "proxy_subscribe",
        "proxy_subscribe_stream",
        "publish_proxy_enabled",
        "sub_refresh_proxy_enabled",
        "subscribe_proxy_enabled",
        "subscribe_stream_proxy_bidirectional",
        "subscribe_stream_proxy_enabled",
    ];
    let off = [
        "allow_history_for_client",
        "allow_presence_for_client",
        "allow_publish_for_client",
        "allow_subscribe_for_client",
        "presence",
    ];
    let texts = [
        "channel_regex",
        "map_clients_presence_channel_prefix",
        "map_users_presence_channel_prefix",
        "publication_data_format",
        "publish_proxy_name",
        "sub_refresh_proxy_name",
        "subscribe_proxy_name",
        "subscribe_stream_proxy_name",
    ];
    let mut options = of(&flags, json!(true));
    options.extend(of(&off, json!(false)));
    options.extend(of(&texts, json!("other:")));
    options.extend(of(&["history_meta_ttl", "history_ttl"], json!("1h")));
    options.extend([
        ("allowed_delta_types", json!(["fossil"]), nothing()),
        ("force_recovery_mode", json!("cache"), nothing()),
        ("history_size", json!(7), nothing()),
        ("shared_poll", json!({"mode": "versioned"}), nothing()),
        ("subscription_type", json!("map"), nothing()),
    ]);
    for what in ["history", "presence", "publish"] {
        let name: &'static str = match what {
            "history" => "allow_history_for_subscriber",
            "presence" => "allow_presence_for_subscriber",
            _ => "allow_publish_for_subscriber",
        };
        let besides = json!({ format!("allow_{what}_for_client"): false });
        options.push((name, json!(true), besides));
    }
    options
}

/// Those of a map, likewise.
const OF_MAPS: &[&str] = &[
    "allow_publish_for_anonymous",
    "allow_publish_for_client",
    "allow_publish_for_subscriber",
    "allow_remove_for_anonymous",
    "allow_remove_for_client",
    "allow_remove_for_subscriber",
    "default_page_size",
    "key_ttl",
    "live_transition_max_publication_limit",
    "max_page_size",
    "meta_ttl",
    "min_page_size",
    "mode",
    "ordered",
    "publish_proxy_enabled",
    "publish_proxy_name",
    "remove_client_on_unsubscribe",
    "remove_proxy_enabled",
    "remove_proxy_name",
    "stream_size",
    "stream_ttl",
    "subscribe_catch_up_timeout",
];

/// An option that there is is carried over, or told; or it says what is so here anyway.
#[test]
fn no_option_is_passed_over_in_silence() {
    // Who asks for deltas and filters has them, and whoever is in a room hears who comes and goes.
    const SO_ANYWAY: &[&str] = &[
        "allow_tags_filter",
        "allowed_delta_types",
        "delta_publish",
        "force_push_join_leave",
    ];
    let base = json!({"name": "n", "presence": true, "history_size": 5, "history_ttl": "10s",
        "allow_history_for_client": true, "allow_presence_for_client": true,
        "allow_publish_for_client": true, "allow_subscribe_for_client": true});
    let told = |namespace: &Value| {
        let config = json!({"channel": {"namespaces": [namespace]}});
        let imported = import(&config).expect("an object");
        (imported.page, imported.left_out)
    };
    let with = |mut namespace: Value, name: &str, value: &Value| {
        namespace[name] = value.clone();
        namespace
    };
    for (name, value, besides) in options() {
        let mut base = base.clone();
        for (name, value) in besides.as_object().expect("an object") {
            base[name] = value.clone();
        }
        let is_told = told(&with(base.clone(), name, &value)) != told(&base);
        assert_eq!(is_told, !SO_ANYWAY.contains(&name), "{name}");
    }
    let map = |options: Value| json!({"name": "n", "subscription_type": "map", "map": options});
    let plain = json!({"client_key": "user_id"});
    for name in OF_MAPS {
        let value = match *name {
            "mode" => json!("ephemeral"),
            name if name.ends_with("_ttl") || name.ends_with("_timeout") => json!("1h"),
            name if name.ends_with("_size") || name.ends_with("_limit") => json!(7),
            name if name.ends_with("_name") => json!("default"),
            _ => json!(true),
        };
        let given = with(plain.clone(), name, &value);
        assert_ne!(told(&map(given)), told(&map(plain.clone())), "map.{name}");
    }
    for key in ["client_id", "{{user}}"] {
        let given = json!({ "client_key": key });
        assert_ne!(told(&map(given)), told(&map(plain.clone())), "{key}");
    }
}
