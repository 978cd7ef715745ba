//! The works that our own clients do, small, on development builds: who takes part starts, answers
//! and ends, and every figure is measured. What they come to is of no interest here.
#![forbid(unsafe_code)]

use shardcast_bench::cluster::{BrokerName, ClusterPart, ClusterWork};
use shardcast_bench::own_works::OwnWork;
use shardcast_bench::prepare::Places;
use shardcast_patience::Program;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How long a build may take that nobody has made before.
const BUILD_TIME_MAX: Duration = Duration::from_secs(600);

fn check(work: OwnWork, places: &Places, rows: usize) {
    let name = format!("{work:?}");
    let figures = work.run(places, &[]).expect(&name).to_string();
    assert_eq!(figures.lines().count(), 2 + rows, "{name}:\n{figures}");
    assert!(!figures.contains("not measured"), "{name}:\n{figures}");
}

fn check_cluster(places: &Places) {
    if has_brokers() {
        let cluster = OwnWork::Cluster(ClusterWork {
            brokers: BrokerName::ALL.to_vec(),
            parts: ClusterPart::ALL.to_vec(),
            subscribers: 6,
            messages: 5,
            per_second: vec![100],
            seconds: 1,
            ordered: 300,
            rooms: 100,
            clients: 12,
            rounds: 1,
        });
        check(cluster, places, 47);
    }
}

/// Whether this machine has the brokers that clusters are measured with.
fn has_brokers() -> bool {
    BrokerName::ALL.iter().all(|broker| {
        let program = format!("{broker}-server");
        let is_here = Command::new(&program).arg("--version").output().is_ok();
        if !is_here {
            shardcast_patience::leave_out(&format!("nodes with {program}, which is missing"));
        }
        is_here
    })
}

/// Our programs, as development builds.
fn build(target: &Path) {
    let built = Program::start(
        Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--package",
                "shardcast",
                "--bin",
                "shardcast",
                "--package",
                "shardcast-load",
                "--bin",
                "shardcast-load",
            ])
            .arg("--target-dir")
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR")),
    )
    .end_within(BUILD_TIME_MAX);
    assert_eq!(built.code, Some(0), "{}", built.errors);
}

#[test]
fn works_of_our_own_measure_what_they_name() {
    let raw_server = Path::new(env!("CARGO_BIN_EXE_raw-server"));
    let target = raw_server.ancestors().nth(2).expect("a folder");
    build(target);
    let folder = std::env::temp_dir().join(format!("shardcast-own-works-{}", std::process::id()));
    let release = folder.join("release");
    fs::create_dir_all(&release).expect("a folder");
    let link = |program: &Path, name: &str| symlink(program, release.join(name)).expect("a link");
    link(raw_server, "raw-server");
    link(&target.join("debug/shardcast"), "shardcast");
    let places = Places {
        repository: folder.clone(),
        target: folder.clone(),
        floor: None,
        against: None,
    };
    let recovery = OwnWork::Recovery {
        clients: 20,
        messages: 10,
        rounds: 1,
    };
    check(recovery, &places, 3);
    let stalled = OwnWork::Stalled {
        readers: 20,
        per_second: 1_000,
        seconds: 1,
        rounds: 1,
    };
    check(stalled, &places, 7);
    let joins = OwnWork::Joins {
        clients: 2,
        rooms: 100,
        rounds: 1,
        against: None,
    };
    check(joins, &places, 2);
    let deltas = OwnWork::Deltas {
        clients: 10,
        messages: 5,
        rounds: 1,
    };
    check(deltas, &places, 6);
    check_cluster(&places);
    let uploads = OwnWork::Uploads {
        clients: 4,
        messages: 8,
        rounds: 1,
    };
    check(uploads, &places, 2);
    check_watched(&places);
    check_dialects(&target.join("debug"));
    fs::remove_dir_all(&folder).expect("the folder goes");
}

/// The load generator speaks each protocol of our product that works compare, to the product.
fn check_dialects(programs: &Path) {
    let mut server = Program::start(Command::new(programs.join("shardcast")).args([
        "--shards",
        "1",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ]));
    let ready = server.line().expect("a line once it serves");
    let clients = ready.split("clients ws://").nth(1).expect(&ready);
    let address = clients.split('/').next().expect(&ready);
    for (protocol, path) in [
        ("native", "/ws"),
        ("native-room", "/ws"),
        ("centrifuge-json", "/"),
        ("centrifuge-protobuf", "/"),
    ] {
        let ended = Program::start(
            Command::new(programs.join("shardcast-load"))
                .args(["echo", "--connections", "4", "--duration", "300ms"])
                .args(["--protocol", protocol])
                .args(["--url", &format!("ws://{address}{path}")]),
        )
        .end();
        assert_eq!(ended.code, Some(0), "{protocol}: {}", ended.errors);
    }
}

/// Those that are about running a server.
fn check_watched(places: &Places) {
    let backends = OwnWork::Backends {
        clients: 4,
        calls: 200,
        rounds: 1,
    };
    check(backends, places, 5);
    let batches = OwnWork::Batches {
        publishes: 300,
        rounds: 1,
    };
    check(batches, places, 3);
    let scraped = OwnWork::Scraped {
        connections: 20,
        rooms: 200,
        scrapes: 3,
    };
    check(scraped, places, 5);
    let observed = OwnWork::Observed {
        members: 10,
        messages: 200,
        rounds: 1,
    };
    check(observed, places, 3);
}
