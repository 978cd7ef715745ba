//! The metrics: that they count what was done, that `docs/metrics.md` lists them as they are, and
//! that a real Prometheus takes them, with every query of the dashboard and of the alert rules.

use crate::{Folder, client, post};
use serde_json::{Value, json};
use shardcast_patience::Program;
use shardcast_tests::{Raw, Served, wait_until};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

const PAGE: &str = include_str!("../../../docs/metrics.md");
const DASHBOARD: &str = include_str!("../../../deploy/grafana-dashboard.json");
const RULES: &str = include_str!("../../../deploy/prometheus-rules.yml");

/// A node whose broker is away: it shows what it would count.
const OF_A_CLUSTER: &str = "[cluster]\nbroker = \"redis\"\nurl = \"redis://127.0.0.1:1\"\n";

/// The sum of a family's samples that bear this label.
#[track_caller]
fn labelled(served: &Served, name: &str, label: &str) -> f64 {
    let (_, text) = served.ask("/metrics");
    let start = format!("shardcast_{name}{{");
    let samples = text
        .lines()
        .filter(|line| line.starts_with(&start) && line.contains(label));
    let values = samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    values.sum()
}

#[test]
fn ends_refusals_and_times_are_counted_as_they_happen() {
    let folder = Folder::new("counted");
    let served = folder.serve("");
    let (gone, mut ended) = (client(&served), client(&served));
    gone.leave();
    ended.join("free:a");
    post(
        &served,
        "/api/disconnect",
        200,
        &json!({"room": "free:a", "code": 4_005}),
    );
    assert_eq!(ended.closed().0, 4_005);
    let mut raw = Raw::connect_at(served.address("ws"));
    raw.send(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(raw.answer().0.contains(" 404 "));
    for data in 0..3 {
        post(
            &served,
            "/api/publish",
            200,
            &json!({"room": "free:a", "data": data}),
        );
    }
    wait_until("all of it is counted", || {
        labelled(&served, "peer_closes_total", "code=\"1000\"") == 1.0
            && labelled(&served, "closes_total", "code=\"4000-4099\"") == 1.0
            && labelled(&served, "http_refusals_total", "status=\"404\"") == 1.0
    });
    let (_, text) = served.ask("/metrics");
    let value = |name: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")));
        let value = line.and_then(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
        value.unwrap_or_else(|| panic!("no {name}"))
    };
    assert_eq!(value("shardcast_publish_seconds_count"), 3.0);
    assert!(value("shardcast_publish_seconds_sum") > 0.0);
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("process_open_fds") >= 3.0 && value("process_threads") >= 3.0);
    assert!(value("process_cpu_seconds_total") >= 0.0);
    wait_until("the shards were asked", || {
        let (_, text) = served.ask("/metrics");
        text.contains("shardcast_hop_seconds_count ")
            && !text.contains("shardcast_hop_seconds_count 0")
    });
}

#[test]
fn the_busiest_rooms_have_ranks_there_and_names_in_the_api() {
    let folder = Folder::new("busiest");
    let served = folder.serve("");
    let (status, body) = served.ask("/api/top?limit=0");
    assert_eq!(status, 400, "{body}");
    let publish = |room: &str, times: usize| {
        let request = json!({"publish": {"room": room, "data": 1}});
        let requests: Vec<Value> = (0..times).map(|_| request.clone()).collect();
        post(&served, "/api/batch", 200, &json!({ "requests": requests }));
    };
    // A window takes ten seconds, and the first one may end in the middle. The port takes 1,000
    // requests a second, each of a batch by itself.
    let mut published = Instant::now() - Duration::from_secs(1);
    wait_until("the busiest room is named", || {
        if published.elapsed() < Duration::from_secs(1) {
            return false;
        }
        publish("free:busy", 200);
        publish("free:calm", 40);
        published = Instant::now();
        let (status, body) = served.ask("/api/top?limit=1");
        assert_eq!(status, 200, "{body}");
        let top: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(top["window_ms"], 10_000);
        let rooms = top["rooms"].as_array().expect("a list");
        assert!(rooms.len() <= 1, "{top}");
        rooms.first().is_some_and(|first| {
            first["room"] == "free:busy" && first["publishes"].as_u64() > Some(100)
        })
    });
    let first = labelled(&served, "busiest_room_publishes", "rank=\"1\"");
    let third = labelled(&served, "busiest_room_publishes", "rank=\"3\"");
    assert!(first > 100.0, "{first}");
    assert_eq!(third, 0.0, "there are two rooms");
    let (_, text) = served.ask("/metrics");
    assert!(!text.contains("free:busy"), "no name of a room is a label");
}

/// Each family: its type, and the labels of its samples.
fn families(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut families: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a type");
            current = name.to_owned();
            families.insert(current.clone(), (kind.to_owned(), BTreeSet::new()));
        } else if !line.starts_with('#')
            && let Some((_, rest)) = line.split_once('{')
            && let Some((labels, _)) = rest.rsplit_once('}')
        {
            let names = labels
                .split("\",")
                .filter_map(|label| label.split_once('='));
            let names = names
                .map(|(name, _)| name.to_owned())
                .filter(|name| name != "le");
            families.entry(current.clone()).or_default().1.extend(names);
        }
    }
    families
}

#[test]
fn the_page_lists_every_family_as_it_is() {
    let folder = Folder::new("page");
    let store = folder.0.join("store");
    let served = folder.serve(&format!(
        "{OF_A_CLUSTER}[persistence]\npath = '{}'\n",
        store.display()
    ));
    let (_, text) = served.ask("/metrics");
    let mut listed = BTreeMap::new();
    for row in PAGE.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [name, kind, unit, labels, meaning, when] = cells[..] else {
            panic!("a row has six cells: {row}");
        };
        assert!(
            !unit.is_empty() && !meaning.is_empty() && !when.is_empty(),
            "{row}"
        );
        let labels = labels
            .split(", ")
            .map(|label| label.trim_matches('`').to_owned());
        let labels = labels.filter(|label| label != "–").collect();
        listed.insert(name.trim_matches('`').to_owned(), (kind.to_owned(), labels));
    }
    assert_eq!(families(&text), listed);
}

/// A Prometheus that scrapes a server, in a folder of its own.
struct Prometheus {
    address: SocketAddr,
    _program: Program,
}

impl Prometheus {
    #[track_caller]
    fn start(folder: &Folder, served: &Served) -> Prometheus {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let address = free.expect("a free port");
        let rules = folder.write("rules.yml", RULES);
        let target = served.address("http");
        let configuration = folder.write(
            "prometheus.yml",
            &format!(
                "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\nrule_files: ['{rules}']\n\
                 scrape_configs:\n- job_name: shardcast\n  static_configs:\n  - targets: ['{target}']\n"
            ),
        );
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={configuration}"))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.0.join("tsdb").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .args(["--enable-feature=native-histograms", "--log.level=warn"]);
        let program = Program::start(&mut command);
        let prometheus = Prometheus {
            address,
            _program: program,
        };
        wait_until("prometheus has scraped twice", || {
            let twice = "count_over_time(shardcast_connections[1m]) >= 2";
            prometheus.query(twice).is_ok_and(|found| !found.is_empty())
        });
        prometheus
    }

    fn get(&self, path: &str) -> Option<Value> {
        let mut socket = TcpStream::connect(self.address).ok()?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        socket.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    /// What a query finds.
    fn query(&self, query: &str) -> Result<Vec<Value>, String> {
        let escaped: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = self.get(&format!("/api/v1/query?query={escaped}"));
        let answer = answer.ok_or("no answer")?;
        match answer["status"].as_str() {
            Some("success") => Ok(answer["data"]["result"]
                .as_array()
                .cloned()
                .unwrap_or_default()),
            _ => Err(answer.to_string()),
        }
    }
}

impl Prometheus {
    /// The rules, each of which was evaluated without an error.
    #[track_caller]
    fn rules(&self) -> Vec<Value> {
        let mut rules = Vec::new();
        wait_until("every rule was evaluated", || {
            let Some(answer) = self.get("/api/v1/rules") else {
                return false;
            };
            let groups = answer["data"]["groups"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            rules = groups
                .iter()
                .flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default())
                .collect();
            !rules.is_empty() && rules.iter().all(|rule| rule["health"] != "unknown")
        });
        for rule in &rules {
            assert_eq!(rule["health"], "ok", "{rule}");
            let text = rule["annotations"]["summary"].as_str();
            assert!(text.is_some_and(|text| !text.is_empty()), "{rule}");
            assert!(rule["state"] != "firing", "{rule}");
        }
        rules
    }
}

/// The names of metrics in a query.
fn names(query: &str) -> BTreeSet<&str> {
    let words = query.split(|other: char| !(other.is_ascii_alphanumeric() || other == '_'));
    words
        .filter(|word| word.starts_with("shardcast_") || word.starts_with("process_"))
        .collect()
}

#[test]
fn a_real_prometheus_takes_them_and_every_query() {
    let folder = Folder::new("prometheus");
    let served = folder.serve(OF_A_CLUSTER);
    let mut member = client(&served);
    member.join("free:a");
    let prometheus = Prometheus::start(&folder, &served);
    post(
        &served,
        "/api/publish",
        200,
        &json!({"room": "free:a", "data": 1}),
    );
    // Distributions came as native histograms, by Protobuf.
    wait_until("a native histogram", || {
        let count = prometheus.query("histogram_count(shardcast_publish_seconds)");
        count.is_ok_and(|found| found.first().is_some_and(|one| one["value"][1] == "1"))
    });
    let sum = prometheus
        .query("sum(shardcast_connections)")
        .expect("a query");
    assert_eq!(sum[0]["value"][1], "1");
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    let queries: Vec<String> = targets
        .flatten()
        .map(|target| target["expr"].as_str().expect("a query"))
        .map(|query| {
            query
                .replace("$__rate_interval", "1m")
                .replace("$instance", ".*")
        })
        .collect();
    assert!(queries.len() >= 15);
    for query in &queries {
        let found = prometheus.query(query);
        assert!(found.is_ok(), "{query}: {found:?}");
    }
    let rules = prometheus.rules();
    let of_rules = rules.iter().filter_map(|rule| rule["query"].as_str());
    let all = queries.iter().map(String::as_str).chain(of_rules);
    for name in all.flat_map(names).collect::<BTreeSet<_>>() {
        // A native histogram has no samples of these names.
        let name = name
            .trim_end_matches("_bucket")
            .trim_end_matches("_sum")
            .trim_end_matches("_count");
        let there = format!("count({{__name__=~\"{name}(_bucket)?\"}})");
        let found = prometheus.query(&there).expect("a query");
        assert!(!found.is_empty(), "there is no {name}");
    }
}
