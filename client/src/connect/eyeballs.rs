//! One connection out of several addresses: happy eyeballs (RFC 8305).
//!
//! Invariant: of the connections that are being made, all but the first that stands are dropped.

use crate::error::{Error, ErrorKind};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep_until};

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

/// An address gets so much of a start before the next one (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to a host by whichever of its addresses answers first.
pub(super) async fn connect(host: &str, port: u16) -> Result<TcpStream, Error> {
    let found = lookup_host((host, port)).await;
    let found = found.map_err(|error| Error::caused(ErrorKind::Connect, error))?;
    let addresses = interleaved(found.take(2 * ADDRESSES_MAX).collect());
    race(addresses, TcpStream::connect)
        .await
        .map_err(|error| Error::caused(ErrorKind::Connect, error))
}

/// The families in turns, the first address's first (RFC 8305 §4).
fn interleaved(found: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_ipv6 = found.first().is_some_and(SocketAddr::is_ipv6);
    let of_first = |address: &&SocketAddr| address.is_ipv6() == first_is_ipv6;
    let mut firsts = found.iter().filter(of_first);
    let mut others = found.iter().filter(|address| !of_first(address));
    let mut order = VecDeque::new();
    loop {
        let (first, other) = (firsts.next(), others.next());
        if (first, other) == (None, None) || order.len() >= ADDRESSES_MAX {
            return order;
        }
        order.extend(first.into_iter().chain(other));
    }
}

/// The first connection that stands, of those that `connect` makes to these addresses in turn.
async fn race<T, F: Future<Output = io::Result<T>>>(
    mut addresses: VecDeque<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<T> {
    let mut attempts: Vec<Pin<Box<F>>> = Vec::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut next = pin!(sleep_until(Instant::now()));
    poll_fn(|cx| {
        loop {
            let is_due = attempts.is_empty() || next.as_mut().poll(cx).is_ready();
            if is_due && let Some(address) = addresses.pop_front() {
                attempts.push(Box::pin(connect(address)));
                next.as_mut().reset(Instant::now() + ATTEMPT_DELAY);
                // Whoever polls the timer hears of it.
                _ = next.as_mut().poll(cx);
            }
            if attempts.is_empty() {
                return Poll::Ready(Err(io::Error::new(last.kind(), last.to_string())));
            }
            let mut failed = None;
            for (index, attempt) in attempts.iter_mut().enumerate() {
                match attempt.as_mut().poll(cx) {
                    Poll::Pending => {}
                    Poll::Ready(Ok(stream)) => return Poll::Ready(Ok(stream)),
                    Poll::Ready(Err(error)) => {
                        failed = Some((index, error));
                        break;
                    }
                }
            }
            let Some((index, error)) = failed else {
                return Poll::Pending;
            };
            drop(attempts.swap_remove(index));
            last = error;
            // The next need not wait for one that has failed.
            next.as_mut().reset(Instant::now());
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::{connect, interleaved, race};
    use std::collections::VecDeque;
    use std::io;
    use std::net::SocketAddr;
    use std::time::Duration;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::{Instant, sleep};

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts
            .iter()
            .map(|text| text.parse().expect("an address"))
            .collect()
    }

    #[test]
    fn families_take_turns() {
        let found = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]);
        let expected = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
        assert_eq!(Vec::from(interleaved(found)), expected);
    }

    #[tokio::test]
    async fn an_address_that_refuses_is_passed_over() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let good = listener.local_addr().expect("it listens");
        let refusing = {
            let gone = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            gone.local_addr().expect("it listens")
        };
        let stream = race(
            VecDeque::from([refusing, refusing, good]),
            TcpStream::connect,
        );
        let stream = stream.await;
        assert_eq!(
            stream
                .expect("the last stands")
                .peer_addr()
                .expect("a peer"),
            good
        );
        race(VecDeque::from([refusing]), TcpStream::connect)
            .await
            .expect_err("nobody listens");
        race(VecDeque::new(), TcpStream::connect)
            .await
            .expect_err("no address");
        connect("127.0.0.1", good.port()).await.expect("it listens");
    }

    /// Which address wins, and when, if each answers after so many milliseconds: below zero it
    /// refuses.
    async fn check(answers: &[i64], winner: usize, at_ms: u64) {
        let address = |index: usize| SocketAddr::from(([127, 0, 0, 1], index as u16));
        let addresses = (0..answers.len()).map(address).collect();
        let start = Instant::now();
        let won = race(addresses, |address| async move {
            let index = usize::from(address.port());
            sleep(Duration::from_millis(answers[index].unsigned_abs())).await;
            match answers[index] {
                0.. => Ok(index),
                _ => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
            }
        });
        assert_eq!(won.await.expect("one stands"), winner, "{answers:?}");
        // Timers of tokio count whole milliseconds, and each step may add one.
        let took = start.elapsed().as_millis() as u64;
        assert!(
            (at_ms..=at_ms + 5).contains(&took),
            "{answers:?}: {took} ms"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_does_not_answer_holds_nobody_up() {
        const NEVER: i64 = 3_600_000;
        // The first has a start, and keeps its chance.
        check(&[20, 5], 0, 20).await;
        check(&[NEVER, 20], 1, 270).await;
        check(&[300, 100], 0, 300).await;
        check(&[NEVER, NEVER, 10], 2, 510).await;
        // Behind one that refuses the next begins at once.
        check(&[-30, 10], 1, 40).await;
        check(&[NEVER, -30, 10], 2, 290).await;
    }
}
