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

type Attempt = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// Connects to a host by whichever of its addresses answers first.
pub(super) async fn connect(host: &str, port: u16) -> Result<TcpStream, Error> {
    let found = lookup_host((host, port)).await;
    let found = found.map_err(|error| Error::caused(ErrorKind::Connect, error))?;
    let addresses = interleaved(found.take(2 * ADDRESSES_MAX).collect());
    race(addresses)
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

async fn race(mut addresses: VecDeque<SocketAddr>) -> io::Result<TcpStream> {
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut next = pin!(sleep_until(Instant::now()));
    poll_fn(|cx| {
        loop {
            let is_due = attempts.is_empty() || next.as_mut().poll(cx).is_ready();
            if is_due && let Some(address) = addresses.pop_front() {
                attempts.push(Box::pin(TcpStream::connect(address)));
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
    use std::net::SocketAddr;
    use tokio::net::TcpListener;

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
        let stream = race(VecDeque::from([refusing, refusing, good])).await;
        assert_eq!(
            stream
                .expect("the last stands")
                .peer_addr()
                .expect("a peer"),
            good
        );
        race(VecDeque::from([refusing]))
            .await
            .expect_err("nobody listens");
        race(VecDeque::new()).await.expect_err("no address");
        connect("127.0.0.1", good.port()).await.expect("it listens");
    }
}
