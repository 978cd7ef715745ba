//! The server of all works, and the processes that work on it.
//!
//! Invariant: every process ends with what holds it.

use crate::Outcome;
use crate::work::{Client, Figure, Work};
use std::path::PathBuf;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// As many rooms as a subscription work has for each connection, and no heartbeats in between.
const CONFIGURATION: &str = "
[server]
listen = \"127.0.0.1:0\"
admin = \"127.0.0.1:0\"
shards = 1
[limits]
max_rooms_per_connection = 4096
";

/// Publishers go on for so much longer than what is measured.
const SPARE_SECONDS: u64 = 600;

/// A running server.
pub(crate) struct Served {
    address: String,
    configuration: PathBuf,
    _program: Child,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _nobody_minds = std::fs::remove_file(&self.configuration);
    }
}

impl Served {
    pub(crate) async fn start(program: &str) -> Outcome<Served> {
        let name = format!("shardcast-bench-client-{}.toml", std::process::id());
        let configuration = std::env::temp_dir().join(name);
        std::fs::write(&configuration, CONFIGURATION)?;
        let mut command = Command::new(program);
        command.args(["serve", "--config"]).arg(&configuration);
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let output = child.stdout.take().ok_or("it is piped")?;
        let ready = BufReader::new(output)
            .lines()
            .next_line()
            .await?
            .unwrap_or_default();
        let mut words = ready.split([' ', ',']);
        let address = words.find(|word| word.starts_with("ws://"));
        let address = address.ok_or_else(|| format!("not ready: {ready}"))?;
        Ok(Served {
            address: address.to_owned(),
            configuration,
            _program: child,
        })
    }

    /// One client at one work, in a process of its own.
    pub(crate) async fn measure(
        &self,
        client: Client,
        work: Work,
        seconds: u64,
        scale: usize,
    ) -> Outcome<Figure> {
        let own = std::env::current_exe()?;
        let _publisher = match work.publishes(scale) {
            None => None,
            Some((per_second, rooms)) => {
                let mut publisher = Command::new(&own);
                publisher.args(["publish", "--address", &self.address]);
                publisher.args(["--rooms", &rooms.to_string()]);
                publisher.args(["--per-second", &per_second.to_string()]);
                publisher.args(["--seconds", &SPARE_SECONDS.to_string()]);
                Some(publisher.kill_on_drop(true).spawn()?)
            }
        };
        let mut run = Command::new(own);
        run.args(["run", "--client", client.name(), "--work", work.name()]);
        run.args([
            "--address",
            &self.address,
            "--seconds",
            &seconds.to_string(),
        ]);
        run.args(["--scale", &scale.to_string()]);
        let output = run
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .output()
            .await?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}
