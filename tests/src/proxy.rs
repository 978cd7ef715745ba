//! A bad network between clients and a server: what happens to each connection stands in a script.
//!
//! Invariant: bytes of one direction keep their order, and no more than [`Way::held_bytes`] of them
//! are between the two sockets; all threads end with the proxy. Used by tests that need a slow,
//! narrow, stalling or breaking link.

use socket2::{Domain, SockRef, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

/// What one connection goes through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Script {
    /// From the client to the server.
    pub up: Way,
    /// From the server to the client.
    pub down: Way,
    /// The server hears of the connection only once so many others, whichever they are, have
    /// reached it: connects arrive in another order than they were made in.
    pub behind: usize,
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// So much later each byte arrives.
    pub delay: Duration,
    /// Up to so much later still, another time for each piece; bytes keep their order.
    pub jitter: Duration,
    /// Bytes a second; `None`: as many as there are.
    pub bytes_per_s: Option<u64>,
    /// Most bytes that are passed on at a time.
    pub piece_bytes: usize,
    /// Buffers of the kernel at each of the two sockets; `None`: as it likes.
    pub socket_bytes: Option<usize>,
    /// What happens once so many bytes have been passed on.
    pub fault: Option<(u64, Fault)>,
}

/// What can go wrong in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing passes until [`Proxy::resume`].
    Stall,
    /// The reader is told that no more comes; the other direction goes on.
    HalfClose,
    /// Both ends are reset.
    Reset,
}

impl Way {
    /// Pieces on their way in one direction.
    const PIECES_MAX: usize = 64;

    /// Most bytes that it holds between the two sockets.
    pub fn held_bytes(&self) -> usize {
        (Self::PIECES_MAX + 2) * self.piece_bytes
    }

    /// How much later than others the piece with this number arrives: spread evenly over the
    /// jitter, and the same in each run.
    fn jitter_of(&self, number: u32) -> Duration {
        /// 2^32 divided by the golden ratio: multiples of it lie as far from each other as may be.
        const STEP: u32 = 0x9e37_79b9;
        let share = f64::from(number.wrapping_mul(STEP)) / f64::from(u32::MAX);
        self.jitter.mul_f64(share)
    }
}

impl Default for Way {
    fn default() -> Way {
        Way {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            bytes_per_s: None,
            piece_bytes: 16 << 10,
            socket_bytes: None,
            fault: None,
        }
    }
}

/// A proxy in front of one server. Ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    ended: AtomicBool,
    links: Mutex<Links>,
    changed: Condvar,
}

/// All connections so far.
#[derive(Debug, Default)]
struct Links {
    links: Vec<Arc<Link>>,
    /// Have reached the server.
    connected: usize,
    threads: Vec<JoinHandle<()>>,
}

/// One connection.
#[derive(Debug)]
struct Link {
    script: Script,
    /// The client's socket, and the server's once it is connected; none once they are cut.
    ends: Mutex<[Option<TcpStream>; 2]>,
    /// Stalls are over.
    resumed: AtomicBool,
    broken: AtomicBool,
    /// Bytes passed on, up and down.
    passed: [AtomicU64; 2],
}

/// Which of a link's ways.
#[derive(Clone, Copy, Debug)]
enum Direction {
    Up = 0,
    Down = 1,
}

impl Proxy {
    /// Listens on a free port. `script` is asked for each connection, by its number.
    ///
    /// # Panics
    /// There is no port.
    pub fn before(server: SocketAddr, script: impl Fn(usize) -> Script + Send + 'static) -> Proxy {
        let listener = TcpListener::bind((server.ip(), 0)).expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let shared = Arc::new(Shared {
            server,
            ended: AtomicBool::new(false),
            links: Mutex::default(),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        let accepting = spawn(move || {
            for (number, client) in listener.incoming().enumerate() {
                if accepting.ended.load(Ordering::Acquire) {
                    return;
                }
                let Ok(client) = client else { return };
                Shared::link(&accepting, client, script(number));
            }
        });
        Proxy {
            address,
            shared,
            accepting: Some(accepting),
        }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stalls of the connection with this number are over, for good.
    pub fn resume(&self, number: usize) {
        let links = self.shared.lock();
        links.links[number].resumed.store(true, Ordering::Release);
        self.shared.changed.notify_all();
    }

    /// All connections so far are reset.
    pub fn cut(&self) {
        let links = self.shared.lock().links.clone();
        links.iter().for_each(|link| link.cut());
        self.shared.changed.notify_all();
    }

    /// Bytes that went up to the server so far on the connection with this number, and down.
    pub fn passed(&self, number: usize) -> (u64, u64) {
        let links = self.shared.lock();
        let link = links.links.get(number);
        link.map_or((0, 0), |link| {
            let [up, down] = [&link.passed[0], &link.passed[1]];
            (up.load(Ordering::Acquire), down.load(Ordering::Acquire))
        })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        // It looks once it has accepted.
        _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            _ = accepting.join();
        }
        let (links, threads) = {
            let mut links = self.shared.lock();
            (links.links.clone(), std::mem::take(&mut links.threads))
        };
        links.iter().for_each(|link| link.cut());
        self.shared.changed.notify_all();
        threads.into_iter().for_each(|thread| _ = thread.join());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client has connected.
    fn link(shared: &Arc<Shared>, client: TcpStream, script: Script) {
        narrow(&client, script.up.socket_bytes, script.down.socket_bytes);
        let link = Arc::new(Link {
            script,
            ends: Mutex::new([Some(client), None]),
            resumed: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            passed: [AtomicU64::new(0), AtomicU64::new(0)],
        });
        let (owned, thread) = (Arc::clone(shared), Arc::clone(&link));
        let thread = spawn(move || owned.connect(&thread));
        let mut links = shared.lock();
        links.links.push(link);
        links.threads.push(thread);
    }

    /// Connects to the server in its turn, and passes on in both directions.
    fn connect(self: &Arc<Shared>, link: &Arc<Link>) {
        let mut links = self.lock();
        while links.connected < link.script.behind && !self.ended.load(Ordering::Acquire) {
            let waited = self.changed.wait(links);
            links = waited.unwrap_or_else(PoisonError::into_inner);
        }
        drop(links);
        let server = self.reach(link.script);
        let Ok((client, server)) = server.and_then(|server| link.join(server)) else {
            return link.cut();
        };
        self.lock().connected += 1;
        self.changed.notify_all();
        let ways = [
            (Direction::Up, client.try_clone(), server.try_clone()),
            (Direction::Down, Ok(server), Ok(client)),
        ];
        for (direction, from, to) in ways {
            let (Ok(from), Ok(to)) = (from, to) else {
                return link.cut();
            };
            let (pieces, flying) = sync_channel(Way::PIECES_MAX);
            let (shared, its) = (Arc::clone(self), Arc::clone(link));
            let reading = spawn(move || shared.read(&its, direction, from, &pieces));
            let (shared, its) = (Arc::clone(self), Arc::clone(link));
            let writing = spawn(move || shared.write(&its, direction, to, &flying));
            self.lock().threads.extend([reading, writing]);
        }
    }

    fn reach(&self, script: Script) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(self.server), Type::STREAM, None)?;
        let socket = TcpStream::from(socket);
        narrow(&socket, script.down.socket_bytes, script.up.socket_bytes);
        SockRef::from(&socket).connect(&self.server.into())?;
        Ok(socket)
    }

    fn read(
        &self,
        link: &Link,
        direction: Direction,
        mut from: TcpStream,
        pieces: &SyncSender<(Instant, Vec<u8>)>,
    ) {
        let way = link.way(direction);
        for number in 0.. {
            let mut piece = vec![0; way.piece_bytes];
            let Ok(count @ 1..) = from.read(&mut piece) else {
                return;
            };
            piece.truncate(count);
            let due = Instant::now() + way.delay + way.jitter_of(number);
            if pieces.send((due, piece)).is_err() {
                return;
            }
        }
    }

    fn write(
        &self,
        link: &Link,
        direction: Direction,
        mut to: TcpStream,
        flying: &Receiver<(Instant, Vec<u8>)>,
    ) {
        // So that a write to somebody who does not read ends with the proxy.
        _ = to.set_write_timeout(Some(Duration::from_millis(20)));
        let (mut passed, mut free_at) = (0, Instant::now());
        for (due, piece) in flying {
            let mut rest = &piece[..];
            while !rest.is_empty() {
                let Some(length) = self.before_fault(link, direction, &to, passed, rest.len())
                else {
                    return;
                };
                self.wait_until(link, due.max(free_at));
                if self.is_over(link) {
                    return;
                }
                let written = self.write_some(link, &mut to, &rest[..length]);
                if written == 0 {
                    return link.shut(direction);
                }
                rest = &rest[written..];
                passed += written as u64;
                link.passed[direction as usize].store(passed, Ordering::Release);
                if let Some(rate) = link.way(direction).bytes_per_s {
                    let takes = Duration::from_secs_f64(written as f64 / rate as f64);
                    free_at = Instant::now().max(free_at) + takes;
                }
            }
        }
        // Whoever is reset hears nothing before.
        if !self.is_over(link) {
            _ = to.shutdown(Shutdown::Write);
        }
    }

    /// How much of `length` bytes may pass before the fault, which happens once none may. `None`:
    /// nothing more goes this way.
    fn before_fault(
        &self,
        link: &Link,
        direction: Direction,
        to: &TcpStream,
        passed: u64,
        length: usize,
    ) -> Option<usize> {
        let Some((after, fault)) = link.way(direction).fault else {
            return Some(length);
        };
        if fault == Fault::Stall && link.resumed.load(Ordering::Acquire) {
            return Some(length);
        }
        match after.saturating_sub(passed) {
            0 => self.suffer(link, to, fault).then_some(length),
            left => Some(length.min(left as usize)),
        }
    }

    /// The fault's time has come. False: nothing more goes this way.
    fn suffer(&self, link: &Link, to: &TcpStream, fault: Fault) -> bool {
        match fault {
            Fault::Stall => {
                let mut links = self.lock();
                while !link.resumed.load(Ordering::Acquire) && !self.is_over(link) {
                    let waited = self.changed.wait(links);
                    links = waited.unwrap_or_else(PoisonError::into_inner);
                }
                !self.is_over(link)
            }
            Fault::HalfClose => {
                _ = to.shutdown(Shutdown::Write);
                false
            }
            Fault::Reset => {
                link.cut();
                self.changed.notify_all();
                false
            }
        }
    }

    fn is_over(&self, link: &Link) -> bool {
        self.ended.load(Ordering::Acquire) || link.broken.load(Ordering::Acquire)
    }

    /// The time of a piece comes, or the end of everything.
    fn wait_until(&self, link: &Link, due: Instant) {
        let mut links = self.lock();
        while !self.is_over(link) {
            let Some(left) = due.checked_duration_since(Instant::now()) else {
                return;
            };
            let waited = self.changed.wait_timeout(links, left);
            links = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How much the reader took; 0: it takes nothing more.
    fn write_some(&self, link: &Link, to: &mut TcpStream, bytes: &[u8]) -> usize {
        loop {
            match to.write(bytes) {
                Ok(count) => return count,
                Err(error)
                    if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind())
                        && !self.is_over(link) => {}
                Err(_) => return 0,
            }
        }
    }
}

impl Link {
    fn way(&self, direction: Direction) -> &Way {
        match direction {
            Direction::Up => &self.script.up,
            Direction::Down => &self.script.down,
        }
    }

    fn ends(&self) -> MutexGuard<'_, [Option<TcpStream>; 2]> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server is connected: both sockets, for the threads.
    fn join(&self, server: TcpStream) -> io::Result<(TcpStream, TcpStream)> {
        let mut ends = self.ends();
        let [Some(client), end] = &mut *ends else {
            return Err(ErrorKind::NotConnected.into());
        };
        *end = Some(server.try_clone()?);
        Ok((client.try_clone()?, server))
    }

    /// Both ends hear a reset, once the last thread has let go of them.
    fn cut(&self) {
        self.broken.store(true, Ordering::Release);
        for socket in self.ends().iter_mut().filter_map(Option::take) {
            _ = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
            // Wakes who reads, and says nothing to the peer.
            _ = socket.shutdown(Shutdown::Read);
        }
    }

    /// Who is written to takes no more: nobody needs to read for it.
    fn shut(&self, direction: Direction) {
        if let Some(from) = &self.ends()[direction as usize] {
            _ = from.shutdown(Shutdown::Read);
        }
    }
}

/// Buffers of the kernel: before a connect they bound the window that is announced.
fn narrow(socket: &TcpStream, receive_bytes: Option<usize>, send_bytes: Option<usize>) {
    let socket = SockRef::from(socket);
    _ = socket.set_tcp_nodelay(true);
    if let Some(bytes) = receive_bytes {
        _ = socket.set_recv_buffer_size(bytes);
    }
    if let Some(bytes) = send_bytes {
        _ = socket.set_send_buffer_size(bytes);
    }
}
