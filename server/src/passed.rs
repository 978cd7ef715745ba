//! Listening sockets that the parent process passed to this one, as systemd's socket activation
//! does (`sd_listen_fds(3)`): `LISTEN_FDS` says how many, `LISTEN_FDNAMES` what they are called.
//! Taken by `serve` at its beginning.

use listenfd::ListenFd;
use shardcast_engine::Inherited;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// The sockets that are not taken yet.
pub(crate) struct Passed {
    sockets: ListenFd,
    names: Vec<String>,
}

/// One of the sockets.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) socket: Inherited,
    /// `None`: a Unix socket.
    pub(crate) address: Option<SocketAddr>,
}

impl Passed {
    /// Takes the variables out of the environment, so that no child process takes them for its own.
    /// Called while the process has one thread.
    pub(crate) fn of_process() -> Passed {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        Passed::new(ListenFd::from_env(), &names)
    }

    fn new(sockets: ListenFd, names: &str) -> Passed {
        let names = names.split(':').filter(|name| !name.is_empty());
        Passed {
            sockets,
            names: names.map(str::to_owned).collect(),
        }
    }

    /// The socket of this name; without a name, the only one.
    ///
    /// # Errors
    /// What was passed instead.
    pub(crate) fn take(&mut self, name: &str) -> Result<Taken, String> {
        let index = self.find(name)?;
        let wrong =
            |error: io::Error| format!("the socket that was passed cannot be used: {error}");
        if let Ok(Some(socket)) = self.sockets.take_tcp_listener(index) {
            let address = socket.local_addr().map_err(wrong)?;
            return Ok(Taken {
                socket: OwnedFd::from(socket).into(),
                address: Some(address),
            });
        }
        let socket = self.sockets.take_unix_listener(index).map_err(wrong)?;
        let socket = socket.ok_or("another listener has taken this socket")?;
        Ok(Taken {
            socket: OwnedFd::from(socket).into(),
            address: None,
        })
    }

    fn find(&self, name: &str) -> Result<usize, String> {
        let count = self.sockets.len();
        let found = match (name, count) {
            (_, 0) => {
                return Err("no socket was passed to this process (LISTEN_FDS)".to_owned());
            }
            ("", 1) => Some(0),
            ("", _) => None,
            (name, _) => self.names.iter().position(|known| known == name),
        };
        found.filter(|index| *index < count).ok_or_else(|| {
            let names = self.names.join(", ");
            format!("of {count} sockets that were passed to this process none is named so: {names}")
        })
    }
}
