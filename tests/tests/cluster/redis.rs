//! Redis as operators run it in earnest: behind Sentinel, as a Redis Cluster, over TLS and with
//! users; against the adapter.
//!
//! Invariant: programs and folders go with the test.

use crate::broker::Kind;
use crate::scene::{run, until};
use shardcast::broker::{
    Body, Broker as Adapter, BrokerKind, BrokerPassword, Cluster, Envelope, Inbox, MessageId,
    Outbound, Recipient, RedisBroker, Subject,
};
use shardcast_engine::{Data, DataEncoding};
use shardcast_patience::{PATIENCE, Program, wait_until};
use shardcast_tests::{Certificates, SERVERS};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A program of Redis.
struct Server {
    port: u16,
    folder: PathBuf,
    program: Option<Program>,
}

impl Server {
    /// With a file of its configuration, in a folder of its own; `{port}` and `{folder}` stand for
    /// these.
    fn start(configuration: &str, arguments: &[&str]) -> Server {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("shardcast-redis-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let port = free_port();
        let configuration = configuration
            .replace("{port}", &port.to_string())
            .replace("{folder}", &folder.display().to_string());
        let file = folder.join("redis.conf");
        std::fs::write(&file, configuration).expect("a file");
        let mut command = Command::new("redis-server");
        let program = Program::start(command.arg(&file).args(arguments));
        Server {
            port,
            folder,
            program: Some(program),
        }
    }

    fn plain(more: &str) -> Server {
        let server = Server::start(
            &format!(
                "bind 127.0.0.1\nport {{port}}\ndir {{folder}}\nsave \"\"\nappendonly no\n\
                 repl-diskless-sync-delay 0\n{more}"
            ),
            &[],
        );
        server.answers();
        server
    }

    fn answers(&self) {
        wait_until("the server answers", || {
            self.ask(&["ping"]).starts_with("PONG") || self.ask(&["ping"]).contains("NOAUTH")
        });
    }

    /// What it says to `redis-cli`.
    fn ask(&self, words: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        let output = command.args(words).output().expect("redis-cli runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn kill(&mut self) {
        // Dropping a program is SIGKILL and a wait.
        drop(self.program.take());
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        // A folder that stays harms nobody.
        _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Nobody has it, nor the one that a Redis Cluster puts its bus at.
fn free_port() -> u16 {
    const BUS: u16 = 10_000;
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let ports = std::iter::repeat_with(|| fastrand::u16(12_000..32_000));
    let mut free = ports.filter(|port| is_free(*port) && is_free(port + BUS));
    free.next().expect("there is always another")
}

/// One node's adapter with its inbox.
struct Node {
    adapter: RedisBroker,
    inbox: Inbox,
}

impl Node {
    fn start(urls: &[String], change: impl FnOnce(&mut Cluster)) -> Node {
        let (sender, inbox) = Inbox::new(1_000, 1 << 20);
        let mut cluster = Cluster::new(BrokerKind::Redis, "", "node");
        cluster.urls = urls.to_vec();
        change(&mut cluster);
        let adapter = RedisBroker::start(&cluster, sender).expect("good options");
        Node { adapter, inbox }
    }

    async fn connected(&self) {
        let link = self.adapter.link();
        until("it connects", || link.borrow().connected).await;
    }

    /// Says something until the other hears it: a link that is about to break takes words along.
    async fn reaches(&self, other: &mut Node, words: &str) {
        let said = tokio::time::timeout(PATIENCE, async {
            loop {
                let subscribed = other.adapter.subscribe(&[Subject::Everyone]).await;
                let published = self.adapter.publish(&[envelope(words)]).await;
                if subscribed.is_ok() && published.is_ok() && other.hears(words).await {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
        said.await.expect("it is heard in time");
    }

    /// Whether these words come in within a moment.
    async fn hears(&mut self, words: &str) -> bool {
        let moment = std::time::Duration::from_millis(200);
        let heard = tokio::time::timeout(moment, async {
            loop {
                let mut came = Vec::new();
                assert!(self.inbox.recv_many(&mut came, 100).await, "it lives");
                let is_said = came.iter().any(|message| {
                    let envelope = Envelope::read(&message.payload).expect("an envelope");
                    envelope.data == Data::Text(words)
                });
                if is_said {
                    return;
                }
            }
        });
        heard.await.is_ok()
    }
}

fn envelope(words: &str) -> Outbound {
    let envelope = Envelope {
        place: None,
        id: MessageId { run: 1, number: 1 },
        recipient: Recipient::Everyone,
        body: Body::Event { name: "said" },
        key: "",
        conflate: "",
        data: Data::Text(words),
        encoding: DataEncoding::default(),
    };
    Outbound {
        subject: Subject::Everyone,
        payload: envelope.write().expect("it is short").into(),
    }
}

#[test]
fn sentinels_say_where_the_primary_is_and_a_failover_is_followed() {
    if !Kind::Redis.is_here() {
        return;
    }
    let login = "requirepass secret\nmasterauth secret\n";
    let mut primary = Server::plain(login);
    let replica = Server::plain(&format!("{login}replicaof 127.0.0.1 {}\n", primary.port));
    let watched = format!(
        "bind 127.0.0.1\nport {{port}}\ndir {{folder}}\n\
         sentinel monitor main 127.0.0.1 {} 2\nsentinel auth-pass main secret\n\
         sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 2000\n",
        primary.port
    );
    let sentinels: Vec<Server> = (0..3)
        .map(|_| Server::start(&watched, &["--sentinel"]))
        .collect();
    wait_until("the sentinels know everybody", || {
        sentinels.iter().all(|sentinel| {
            let told = sentinel.ask(&["sentinel", "master", "main"]);
            let words: Vec<&str> = told.lines().collect();
            let value = |key: &str| {
                let at = words.iter().position(|word| *word == key)?;
                words.get(at + 1).copied()
            };
            value("num-slaves") == Some("1") && value("num-other-sentinels") == Some("2")
        })
    });
    wait_until("the replica has it all", || {
        let told = replica.ask(&["-a", "secret", "--no-auth-warning", "info", "replication"]);
        told.contains("master_link_status:up")
    });
    let urls: Vec<String> = sentinels.iter().map(Server::url).collect();
    let as_node = |cluster: &mut Cluster| {
        cluster.sentinel = Some("main".to_owned());
        cluster.credentials.password = Some(BrokerPassword("secret".to_owned()));
    };
    run(async {
        let stranger = Node::start(&urls, |cluster| {
            as_node(cluster);
            cluster.sentinel = Some("other".to_owned());
        });
        let (near, mut far) = (Node::start(&urls, as_node), Node::start(&urls, as_node));
        near.connected().await;
        far.connected().await;
        near.reaches(&mut far, "before").await;
        primary.kill();
        near.reaches(&mut far, "after").await;
        assert!(
            !stranger.adapter.link().borrow().connected,
            "nobody is called so"
        );
    });
}

#[test]
fn any_node_of_a_redis_cluster_does() {
    if !Kind::Redis.is_here() {
        return;
    }
    let of_cluster = "cluster-enabled yes\ncluster-node-timeout 2000\n";
    let mut servers: Vec<Server> = (0..3).map(|_| Server::plain(of_cluster)).collect();
    for (number, server) in servers.iter().enumerate() {
        let (first, last) = (number * 5_462, (number * 5_462 + 5_461).min(16_383));
        let slots = server.ask(&[
            "cluster",
            "addslotsrange",
            &first.to_string(),
            &last.to_string(),
        ]);
        assert!(slots.starts_with("OK"), "{slots}");
        let port = servers[0].port.to_string();
        let met = server.ask(&["cluster", "meet", "127.0.0.1", &port]);
        assert!(met.starts_with("OK"), "{met}");
    }
    wait_until("the cluster stands", || {
        servers.iter().all(|server| {
            let told = server.ask(&["cluster", "info"]);
            told.contains("cluster_state:ok") && told.contains("cluster_known_nodes:3")
        })
    });
    run(async {
        let urls = |from: usize| -> Vec<String> {
            let turned = servers.iter().cycle().skip(from);
            turned.take(3).map(Server::url).collect()
        };
        let mut nodes = [0, 1, 2].map(|from| Node::start(&urls(from), |_| {}));
        for node in &nodes {
            node.connected().await;
        }
        let [first, second, third] = &mut nodes;
        first.reaches(third, "to another server").await;
        third.reaches(second, "to a third one").await;
        servers[0].kill();
        first.reaches(third, "by another way").await;
        third.reaches(first, "and back").await;
    });
}

#[test]
fn nodes_come_to_redis_as_themselves() {
    if !Kind::Redis.is_here() {
        return;
    }
    let users = "user default off\nuser ann on >secret &shardcast:* -@all +hello +auth +client +role \
                 +publish +subscribe +unsubscribe +ping\n";
    let named = Server::plain(users);
    let certificates = Certificates::make();
    let [server, authority] =
        [SERVERS[0], "authority"].map(|name| certificates.file(&format!("{name}.pem")));
    let key = certificates.file(&format!("{}.key", SERVERS[0]));
    let tls = format!(
        "bind 127.0.0.1\nport 0\ntls-port {{port}}\ndir {{folder}}\nsave \"\"\n\
         tls-cert-file {server}\ntls-key-file {key}\ntls-ca-cert-file {authority}\n\
         tls-auth-clients yes\nrequirepass secret\n"
    );
    let encrypted = Server::start(&tls, &[]);
    let password = || Some(BrokerPassword("secret".to_owned()));
    run(async {
        let as_ann = |cluster: &mut Cluster| {
            cluster.credentials.user = Some("ann".to_owned());
            cluster.credentials.password = password();
        };
        let urls = [named.url()];
        let stranger = Node::start(&urls, |_| {});
        let (near, mut far) = (Node::start(&urls, as_ann), Node::start(&urls, as_ann));
        near.connected().await;
        far.connected().await;
        near.reaches(&mut far, "as ann").await;
        assert!(!stranger.adapter.link().borrow().connected);
        let urls = [format!("rediss://localhost:{}", encrypted.port)];
        let with_tls = |cluster: &mut Cluster| {
            cluster.credentials.password = password();
            cluster.tls.ca = Some(PathBuf::from(&authority));
            cluster.tls.certificate = Some((PathBuf::from(&server), PathBuf::from(&key)));
        };
        let unknown = Node::start(&urls, |cluster| {
            with_tls(cluster);
            cluster.tls.certificate = None;
        });
        let (near, mut far) = (Node::start(&urls, with_tls), Node::start(&urls, with_tls));
        near.connected().await;
        far.connected().await;
        near.reaches(&mut far, "in secret").await;
        assert!(
            !unknown.adapter.link().borrow().connected,
            "it shows no certificate"
        );
    });
}
