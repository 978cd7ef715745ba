//! The socket of the service manager (`NOTIFY_SOCKET`), and the messages that it knows.
//!
//! Invariant: nobody waits for the service manager. What does not fit into its queue within a
//! moment is dropped, and the next message says as much.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

/// The way to the service manager, if there is one.
#[derive(Clone, Debug, Default)]
pub(crate) struct NotifySocket(Option<Arc<UnixDatagram>>);

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotifyMessage<'a> {
    /// Clients can connect; after a reload, too.
    Ready { status: &'a str },
    /// The configuration is read again; what follows is [`NotifyMessage::Ready`].
    Reloading,
    /// It stops, and may take so long.
    Stopping { status: &'a str, within: Duration },
    /// It is well, if somebody wants to know.
    Well { status: &'a str },
    /// Something is wrong, in a line.
    Status(&'a str),
}

impl NotifySocket {
    /// A message that does not fit into the queue waits so long.
    const SEND_TIMEOUT: Duration = Duration::from_millis(200);

    /// Of this process's environment. A socket that cannot be used is as good as none: the service
    /// manager will say that it has heard nothing.
    pub(crate) fn of_process() -> NotifySocket {
        let Some(address) = std::env::var_os("NOTIFY_SOCKET") else {
            return NotifySocket::default();
        };
        match NotifySocket::connect(&address) {
            Ok(socket) => NotifySocket(Some(Arc::new(socket))),
            Err(error) => {
                tracing::warn!(%error, ?address, "the service manager cannot be told anything (NOTIFY_SOCKET)");
                NotifySocket::default()
            }
        }
    }

    /// A path, or behind an @ a name that is in no file system.
    fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
        let address = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(address)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(Self::SEND_TIMEOUT))?;
        socket.connect_addr(&address)?;
        Ok(socket)
    }

    /// Somebody listens.
    pub(crate) fn is_there(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn ready(&self, status: &str) {
        self.tell(&NotifyMessage::Ready { status });
    }

    pub(crate) fn reloading(&self) {
        self.tell(&NotifyMessage::Reloading);
    }

    pub(crate) fn stopping(&self, status: &str, within: Duration) {
        self.tell(&NotifyMessage::Stopping { status, within });
    }

    /// Sends it in one datagram.
    pub(super) fn tell(&self, told: &NotifyMessage<'_>) {
        if let Some(socket) = &self.0
            && let Err(error) = socket.send(told.to_string().as_bytes())
        {
            tracing::debug!(%error, "the service manager was not told");
        }
    }
}

impl fmt::Display for NotifyMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotifyMessage::Ready { status } => write!(f, "READY=1\nSTATUS={status}\n"),
            // Type=notify-reload tells an answer to its reload from an older one by the time.
            NotifyMessage::Reloading => {
                write!(f, "RELOADING=1\nMONOTONIC_USEC={}\n", now().as_micros())
            }
            NotifyMessage::Stopping { status, within } => write!(
                f,
                "STOPPING=1\nSTATUS={status}\nEXTEND_TIMEOUT_USEC={}\n",
                within.as_micros()
            ),
            NotifyMessage::Well { status } => write!(f, "WATCHDOG=1\nSTATUS={status}\n"),
            NotifyMessage::Status(status) => writeln!(f, "STATUS={status}"),
        }
    }
}

/// `CLOCK_MONOTONIC`.
fn now() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_sd_notify() {
        let within = Duration::from_secs(2);
        for (told, expected) in [
            (NotifyMessage::Ready { status: "a" }, "READY=1\nSTATUS=a\n"),
            (
                NotifyMessage::Well { status: "b" },
                "WATCHDOG=1\nSTATUS=b\n",
            ),
            (
                NotifyMessage::Stopping {
                    status: "c",
                    within,
                },
                "STOPPING=1\nSTATUS=c\nEXTEND_TIMEOUT_USEC=2000000\n",
            ),
            (NotifyMessage::Status("d"), "STATUS=d\n"),
        ] {
            assert_eq!(told.to_string(), expected);
        }
        let reloading = NotifyMessage::Reloading.to_string();
        assert!(
            reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="),
            "{reloading}"
        );
    }

    #[test]
    fn both_sorts_of_addresses_are_heard_and_a_full_queue_holds_nobody_up() {
        let name = format!("shardcast-notify-{}", std::process::id());
        let path = std::env::temp_dir().join(&name);
        let abstract_name = SocketAddr::from_abstract_name(&name).expect("a name");
        for (address, socket) in [
            (path.clone().into_os_string(), UnixDatagram::bind(&path)),
            (
                format!("@{name}").into(),
                UnixDatagram::bind_addr(&abstract_name),
            ),
        ] {
            let heard = socket.expect("a socket of our own");
            let connected = NotifySocket::connect(&address).expect("somebody listens");
            let notify = NotifySocket(Some(Arc::new(connected)));
            notify.ready("here");
            let mut message = [0; 64];
            let length = heard.recv(&mut message).expect("a message");
            assert_eq!(&message[..length], b"READY=1\nSTATUS=here\n");
            // Nobody reads: this ends all the same.
            (0..20).for_each(|_| notify.ready(&"x".repeat(50_000)));
        }
        std::fs::remove_file(&path).expect("the file goes");
        assert!(NotifySocket::connect(path.as_os_str()).is_err());
    }
}
