#!/bin/sh
# io_uring: a multishot receive drains a provided buffer ring before any other socket gets one, and arming the receives
# again in the order in which they ran out (ENOBUFS) starves every other socket for ever. The kernel keeps no turns.
#
# Two TCP connections share one ring of 16 buffers; one always has more to be read, the other has one byte. All receives
# that end with ENOBUFS are armed again, 16 buffers are given back, 200 times: in the order in which they ended, the one
# byte is never received (the busy socket takes 16 buffers each time); with the one that took none first, it comes in the next round.
# The kernel's bound on one multishot receive (32 retries, then a requeue) is larger than the ring, so it never applies.
#
# Versions: crate io-uring 0.7.15 on Linux 6.18. Seen:
#   order of ENOBUFS: quiet socket received 0 of 1 bytes in 200 rounds, busy socket took 3200 buffers
#   who took none first: quiet socket received 1 of 1 bytes in 2 rounds, busy socket took 31 buffers
# Needs cargo and a kernel with io_uring (6.1 or newer). Exits with 1 if the behaviour has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "turns"
version = "0.0.0"
edition = "2024"
[dependencies]
io-uring = "=0.7.15"
libc = "=0.2.180"
TOML
cat > src/main.rs <<'RUST'
use io_uring::types::{BufRingEntry, Fd};
use io_uring::{IoUring, cqueue, opcode};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU16, Ordering};

const BUFFERS: u16 = 16;
const BYTES: usize = 4096;
const ROUNDS: usize = 200;

struct Pool { entries: *mut BufRingEntry, memory: Vec<u8>, tail: u16 }

impl Pool {
    fn give(&mut self, buffer: u16) {
        let at = self.memory.as_mut_ptr() as u64 + u64::from(buffer) * BYTES as u64;
        // SAFETY: 16 entries in a mapped page, which the kernel reads up to the tail.
        unsafe {
            let entry = &mut *self.entries.add(usize::from(self.tail % BUFFERS));
            entry.set_addr(at);
            entry.set_len(BYTES as u32);
            entry.set_bid(buffer);
            self.tail = self.tail.wrapping_add(1);
            let tail = BufRingEntry::tail(self.entries).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// Bytes of the quiet socket, rounds until it got them, buffers of the busy one.
fn run(modest_first: bool) -> (usize, usize, usize) {
    let mut ring: IoUring = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(64).unwrap();
    // SAFETY: a fresh anonymous page.
    let entries = unsafe { libc::mmap(std::ptr::null_mut(), 4096, 3, 0x22, -1, 0) };
    let mut pool = Pool { entries: entries.cast(), memory: vec![0; BYTES * usize::from(BUFFERS)], tail: 0 };
    // SAFETY: it lives as long as the ring.
    unsafe { ring.submitter().register_buf_ring_with_flags(entries as u64, BUFFERS, 0, 0).unwrap() };
    (0..BUFFERS).for_each(|buffer| pool.give(buffer));
    let (mut flood, busy) = pair();
    let (mut talk, quiet) = pair();
    std::thread::spawn(move || while flood.write_all(&[7; 1 << 20]).is_ok() {});
    std::thread::sleep(std::time::Duration::from_millis(300));
    talk.write_all(b"x").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(100));
    let sockets = [busy, quiet];
    let (mut arm, mut heard, mut buffers) = (vec![0u64, 1], 0, 0);
    for round in 1..=ROUNDS {
        for socket in arm.drain(..) {
            let fd = Fd(sockets[socket as usize].as_raw_fd());
            let entry = opcode::RecvMulti::new(fd, 0).build().user_data(socket);
            // SAFETY: refers to no memory but the pool's.
            unsafe { ring.submission().push(&entry).unwrap() };
        }
        ring.submit_and_wait(1).unwrap();
        let mut back = Vec::new();
        while let Some(entry) = ring.completion().next() {
            if let Some(buffer) = cqueue::buffer_select(entry.flags()) {
                back.push(buffer);
                match entry.user_data() {
                    0 => buffers += 1,
                    _ => heard += entry.result() as usize,
                }
            }
            if !cqueue::more(entry.flags()) {
                assert!(entry.result() == -libc::ENOBUFS || entry.result() > 0, "{}", entry.result());
                arm.push(entry.user_data());
            }
        }
        if heard > 0 {
            return (heard, round, buffers);
        }
        if modest_first {
            arm.sort_by_key(|socket| std::cmp::Reverse(*socket));
        }
        back.into_iter().for_each(|buffer| pool.give(buffer));
    }
    (heard, ROUNDS, buffers)
}

fn main() {
    let tell = |what, (heard, rounds, buffers)| {
        println!("{what}: quiet socket received {heard} of 1 bytes in {rounds} rounds, busy socket took {buffers} buffers");
        heard
    };
    let starved = tell("order of ENOBUFS", run(false)) == 0;
    let served = tell("who took none first", run(true)) == 1;
    std::process::exit(i32::from(!(starved && served)));
}
RUST
uname -sr
cargo --version
cargo run --quiet
