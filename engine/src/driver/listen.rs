//! Listening sockets: where they come from, how each shard gets its own, and what is left of them
//! at the end.
//!
//! Opened once, at start, before there are shards; a driver accepts from what it is given and knows
//! how that may be given up.

use crate::driver::boundary::StopAccept;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::fmt;
use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Connections that may wait to be accepted; the kernel cuts it at `net.core.somaxconn`.
const BACKLOG: i32 = 65_535;

/// Where a listening socket comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenSource {
    /// The engine binds this address, one socket for each shard. Port 0 picks one.
    Bind(SocketAddr),
    /// Somebody else made the socket and gave it to this process.
    Inherited(Inherited),
    /// The engine makes a socket file here, at most [`ListenSource::PATH_BYTES_MAX`] long, that its
    /// user and group may connect to ([`ListenSource::UNIX_MODE`]). A file that a server left
    /// behind without removing it is replaced; the engine removes its own when it stops accepting.
    Unix(PathBuf),
}

/// A listening stream socket that this process was given: TCP over IPv4 or IPv6, or Unix. It is
/// shared: by whoever else has it, and by all shards. Clones are the same socket.
///
/// It must listen already. The engine switches it to blocking calls, for everybody who has it,
/// because a ring waits for connections of such sockets only; the portable driver switches it to
/// calls that do not wait, so two engines that accept from one socket at the same time need the
/// same driver. It is never shut down.
#[derive(Clone, Debug)]
pub struct Inherited(Arc<OwnedFd>);

impl From<OwnedFd> for Inherited {
    fn from(descriptor: OwnedFd) -> Inherited {
        Inherited(Arc::new(descriptor))
    }
}

impl PartialEq for Inherited {
    fn eq(&self, other: &Inherited) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Inherited {}

impl From<SocketAddr> for ListenSource {
    fn from(address: SocketAddr) -> ListenSource {
        ListenSource::Bind(address)
    }
}

impl ListenSource {
    /// Longest path of a socket file in bytes (`unix(7)`: `sun_path` has 108, the last of them 0).
    pub const PATH_BYTES_MAX: usize = 107;
    /// Permissions of a socket file. To connect takes the right to write.
    pub const UNIX_MODE: u32 = 0o660;

    /// Two engines, or two listeners of one, cannot both have it.
    pub(crate) fn collides(&self, other: &ListenSource) -> bool {
        match (self, other) {
            (ListenSource::Bind(one), ListenSource::Bind(other)) => one == other && one.port() != 0,
            (ListenSource::Unix(one), ListenSource::Unix(other)) => one == other,
            (ListenSource::Inherited(one), ListenSource::Inherited(other)) => one == other,
            (
                ListenSource::Bind(_) | ListenSource::Inherited(_) | ListenSource::Unix(_),
                ListenSource::Bind(_) | ListenSource::Inherited(_) | ListenSource::Unix(_),
            ) => false,
        }
    }
}

impl fmt::Display for ListenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenSource::Bind(address) => address.fmt(f),
            ListenSource::Inherited(Inherited(descriptor)) => {
                write!(f, "inherited descriptor {}", descriptor.as_raw_fd())
            }
            ListenSource::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Where clients connect, as the kernel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// TCP.
    Ip(SocketAddr),
    /// A socket file, or `@` and a name that no file has.
    Unix(PathBuf),
}

impl ListenAddress {
    /// The address, if clients come over TCP.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            ListenAddress::Ip(address) => Some(*address),
            ListenAddress::Unix(_) => None,
        }
    }

    fn of(socket: &Socket) -> io::Result<ListenAddress> {
        let address = socket.local_addr()?;
        if let Some(ip) = address.as_socket() {
            return Ok(ListenAddress::Ip(ip));
        }
        let name = address.as_abstract_namespace().unwrap_or_default();
        let name = || format!("@{}", String::from_utf8_lossy(name)).into();
        let path = address.as_pathname().map(Path::to_path_buf);
        Ok(ListenAddress::Unix(path.unwrap_or_else(name)))
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Ip(address) => address.fmt(f),
            ListenAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// One listening socket of one shard.
#[derive(Debug)]
pub struct ListenSocket {
    socket: Socket,
    owner: Owner,
}

/// Who may end a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// This engine made it.
    Engine,
    /// Others have it, too.
    Others,
}

impl ListenSocket {
    /// Another handle to the same socket.
    ///
    /// # Errors
    /// There is no descriptor left.
    pub(crate) fn duplicate(&self) -> io::Result<ListenSocket> {
        Ok(ListenSocket {
            socket: self.socket.try_clone()?,
            owner: self.owner,
        })
    }

    /// The engine gives the socket up. Returns whether it still accepts, through others or for
    /// accepts that are under way: those must be cancelled.
    pub fn stop(&self, how: StopAccept) -> StillAccepts {
        match (how, self.owner) {
            (StopAccept::Release, Owner::Engine) => match self.socket.shutdown(Shutdown::Both) {
                Ok(()) => StillAccepts::No,
                Err(error) => {
                    tracing::warn!(%error, "the listening socket cannot be shut down");
                    StillAccepts::Yes
                }
            },
            (StopAccept::Release, Owner::Others) | (StopAccept::HandOver, _) => StillAccepts::Yes,
        }
    }
}

#[cfg(test)]
impl ListenSocket {
    /// The same socket, as a successor would have it.
    pub(crate) fn share(&self) -> io::Result<Socket> {
        self.socket.try_clone()
    }
}

impl AsFd for ListenSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for ListenSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Whether accepts that are under way on a socket could still bring connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StillAccepts {
    /// They fail by themselves.
    No,
    /// Until they are cancelled.
    Yes,
}

/// All listening sockets of an engine.
#[derive(Debug, Default)]
pub(crate) struct Listening {
    /// What sockets left in the file system. Dropped before the sockets.
    pub(crate) files: Vec<SocketFile>,
    /// Each shard's, in the order of the configuration.
    pub(crate) shards: Vec<Vec<ListenSocket>>,
    /// Where clients connect, in the same order.
    pub(crate) addresses: Vec<ListenAddress>,
}

impl Listening {
    /// Without a listener.
    pub(crate) fn new(shards: usize) -> Listening {
        Listening {
            shards: (0..shards).map(|_| Vec::new()).collect(),
            ..Listening::default()
        }
    }

    /// Opens one listener more, for every shard.
    ///
    /// # Errors
    /// The address or path is taken, forbidden or does not exist; the inherited descriptor is no
    /// listening socket.
    pub(crate) fn open(&mut self, source: &ListenSource) -> io::Result<()> {
        match source {
            ListenSource::Bind(address) => self.bind(*address),
            ListenSource::Inherited(inherited) => {
                let socket = Socket::from(inherited.0.try_clone()?);
                check_inherited(&socket)?;
                self.share(socket, Owner::Others)
            }
            ListenSource::Unix(path) => {
                let (socket, file) = patiently(|| bind_file(path))?;
                self.files.push(file);
                self.share(socket, Owner::Engine)
            }
        }
    }

    /// A socket for each shard: the kernel spreads connects over them (`SO_REUSEPORT`).
    ///
    /// Sockets that share a port do not notice each other, so the first attempt is made without
    /// sharing: otherwise a second server of the same user would silently take half of the first
    /// one's clients.
    fn bind(&mut self, mut address: SocketAddr) -> io::Result<()> {
        if address.port() != 0 {
            patiently(|| tcp_socket(address)?.bind(&address.into()))?;
        }
        for shard in &mut self.shards {
            let socket = tcp_socket(address)?;
            socket.set_reuse_port(true)?;
            // Accepted sockets inherit it. Without it a delayed acknowledgement holds frames back
            // (1.21 × the CPU, too).
            socket.set_tcp_nodelay(true)?;
            socket.bind(&address.into())?;
            socket.listen(BACKLOG)?;
            // With port 0 the first socket chooses, and the others share its choice.
            if let Some(chosen) = socket.local_addr()?.as_socket() {
                address = chosen;
            }
            shard.push(ListenSocket {
                socket,
                owner: Owner::Engine,
            });
        }
        self.addresses.push(ListenAddress::Ip(address));
        Ok(())
    }

    /// One socket for all shards.
    fn share(&mut self, socket: Socket, owner: Owner) -> io::Result<()> {
        let address = ListenAddress::of(&socket)?;
        for shard in &mut self.shards {
            let socket = socket.try_clone()?;
            shard.push(ListenSocket { socket, owner });
        }
        self.addresses.push(address);
        Ok(())
    }
}

fn tcp_socket(address: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

/// An address may still be taken by a server that was just killed, until the kernel has taken its
/// rings down: whoever restarts it at once is given a moment.
fn patiently<T>(mut open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    const TRIES: u32 = 20;
    const BETWEEN: Duration = Duration::from_millis(50);
    for _ in 1..TRIES {
        match open() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                std::thread::park_timeout(BETWEEN);
            }
            result => return result,
        }
    }
    open()
}

fn check_inherited(socket: &Socket) -> io::Result<()> {
    let wrong = |what| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    let (domain, kind) = (socket.domain()?, socket.r#type()?);
    let is_ip = domain == Domain::IPV4 || domain == Domain::IPV6;
    if !is_ip && domain != Domain::UNIX {
        return wrong("it is a socket of neither IP nor Unix");
    }
    if kind != Type::STREAM {
        return wrong("it is no stream socket");
    }
    if !socket.is_listener()? {
        return wrong("it does not listen");
    }
    socket.set_nonblocking(false)?;
    if is_ip {
        socket.set_tcp_nodelay(true)?;
    }
    Ok(())
}

/// Makes a socket file and listens there. Nobody can connect before the permissions are right,
/// because nobody listens before.
fn bind_file(path: &Path) -> io::Result<(Socket, SocketFile)> {
    let _replacing = lock_folder(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let address = SockAddr::unix(path)?;
    if let Err(error) = socket.bind(&address) {
        if error.kind() != io::ErrorKind::AddrInUse || !is_left_behind(path, &address)? {
            return Err(error);
        }
        fs::remove_file(path)?;
        socket.bind(&address)?;
    }
    let file = SocketFile::of(path)?;
    fs::set_permissions(path, Permissions::from_mode(ListenSource::UNIX_MODE))?;
    socket.listen(BACKLOG)?;
    Ok((socket, file))
}

/// Of several servers that replace a file at the same time one goes first, and the others see that
/// it lives. Where the folder cannot be read there is no lock.
fn lock_folder(path: &Path) -> io::Result<Option<File>> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) else {
        return Ok(None);
    };
    match folder.try_lock() {
        Ok(()) => Ok(Some(folder)),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::AddrInUse.into()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// A socket file at which nobody listens any more.
fn is_left_behind(path: &Path, address: &SockAddr) -> io::Result<bool> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Ok(false);
    }
    let client = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Whoever has a full backlog lives.
    client.set_nonblocking(true)?;
    let connected = client.connect(address);
    Ok(connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused))
}

/// A socket file of this engine's: removed when dropped, unless another has taken its place.
/// Dropped before its socket is closed, so that its inode is no other's.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    kept: bool,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<SocketFile> {
        let found = fs::symlink_metadata(path)?;
        // Whatever becomes of the working directory.
        let path = std::path::absolute(path)?;
        Ok(SocketFile {
            path,
            device: found.dev(),
            inode: found.ino(),
            kept: false,
        })
    }

    /// Leaves the file to whoever goes on listening there.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let found = fs::symlink_metadata(&self.path);
        let own = found.is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode));
        if own && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "the socket file cannot be removed");
        }
    }
}
