//! Clients that say very much, at a rate by the clock, and clients that hear it. Used by the parts
//! of the work.

use crate::caller::Caller;
use std::io::{self, Write};
use std::net::TcpStream;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What is due within it is written at once.
const STEP: Duration = Duration::from_millis(1);

/// Writes at this rate, for so long, what `put_next` puts down for each number, to one client after
/// the other, and says how many that were and how many a second. A server that does not read slows
/// it.
///
/// # Errors
/// The connection is gone.
pub(super) fn flood(
    to: &mut [TcpStream],
    per_second: u32,
    time: Duration,
    put_next: impl Fn(usize, &mut Vec<u8>),
) -> io::Result<(usize, f64)> {
    let begun = Instant::now();
    let total = flooded(per_second, time);
    let (mut written, mut outs) = (0, vec![Vec::new(); to.len()]);
    while written < total {
        let due = begun.elapsed() + STEP;
        let due = ((f64::from(per_second) * due.as_secs_f64()) as usize).min(total);
        for number in written..due {
            put_next(number, &mut outs[number % to.len()]);
        }
        written = due;
        for (to, out) in to.iter_mut().zip(&mut outs) {
            to.write_all(out)?;
            out.clear();
        }
        thread::sleep(STEP);
    }
    Ok((total, total as f64 / begun.elapsed().as_secs_f64()))
}

/// How many messages a flood is.
pub(super) fn flooded(per_second: u32, time: Duration) -> usize {
    (f64::from(per_second) * time.as_secs_f64()) as usize
}

/// A text message as a client writes it (RFC 6455 §5.2), with a mask of zeros.
pub(super) fn put(out: &mut Vec<u8>, text: &str) {
    out.push(0x81);
    match u8::try_from(text.len()) {
        Ok(bytes) if bytes < 126 => out.push(0x80 | bytes),
        _ => {
            out.push(0x80 | 126);
            let bytes = u16::try_from(text.len()).unwrap_or(u16::MAX);
            out.extend_from_slice(&bytes.to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(text.as_bytes());
}

/// Hears messages on a thread of its own until so many of them had `last` in them; then gives the
/// client back, and how many it has heard before.
pub(super) fn hear_until(
    mut client: Caller,
    kind: &'static str,
    last: &'static str,
    lasts: usize,
) -> JoinHandle<io::Result<(Caller, usize)>> {
    thread::spawn(move || {
        let (mut heard, mut ended) = (0, 0);
        while ended < lasts {
            match client.hear_of(kind)?.contains(last) {
                true => ended += 1,
                false => heard += 1,
            }
        }
        Ok((client, heard))
    })
}

/// Messages that say which one they are, as data of so many bytes.
#[derive(Clone, Debug)]
pub(super) struct Numbered(String);

impl Numbered {
    const DIGITS: usize = 8;

    pub(super) fn new(bytes: usize) -> Numbered {
        Numbered("x".repeat(bytes.saturating_sub(Self::DIGITS)))
    }

    /// The data of one.
    pub(super) fn data(&self, number: usize) -> String {
        format!("{number:08}{}", self.0)
    }

    /// Which one a message is.
    fn number_of(message: &str) -> Option<usize> {
        let data = message.split_once(r#""data":""#)?.1;
        data.get(..Self::DIGITS)?.parse().ok()
    }
}

/// How often each of so many numbered messages was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeardNumbers(Vec<u32>);

impl HeardNumbers {
    fn hear(&mut self, message: &str) -> io::Result<()> {
        let number = Numbered::number_of(message);
        let times = number.and_then(|number| self.0.get_mut(number));
        let times = times.ok_or_else(|| io::Error::other(format!("nobody said {message}")))?;
        *times += 1;
        Ok(())
    }

    /// Those that were never heard.
    pub(super) fn lost(&self) -> usize {
        self.0.iter().filter(|times| **times == 0).count()
    }

    /// How often some was heard that had been heard before.
    pub(super) fn repeated(&self) -> usize {
        let more = self.0.iter().map(|times| times.saturating_sub(1) as usize);
        more.sum()
    }
}

/// As [`hear_until`], of messages with numbers below `count`: which it has heard.
pub(super) fn hear_numbers(
    mut client: Caller,
    count: usize,
    last: &'static str,
    lasts: usize,
) -> JoinHandle<io::Result<HeardNumbers>> {
    thread::spawn(move || {
        let (mut heard, mut ended) = (HeardNumbers(vec![0; count]), 0);
        while ended < lasts {
            let message = client.hear_of("message")?;
            match message.contains(last) {
                true => ended += 1,
                false => heard.hear(&message)?,
            }
        }
        Ok(heard)
    })
}

/// What a thread has come to.
///
/// # Errors
/// Its own, or it has panicked.
pub(super) fn joined<T>(thread: JoinHandle<io::Result<T>>) -> io::Result<T> {
    let ended = thread.join();
    ended.unwrap_or_else(|_| Err(io::Error::other("a thread has panicked")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_lost_and_one_that_is_repeated_are_two_faults() {
        let (numbered, mut heard) = (Numbered::new(100), HeardNumbers(vec![0; 3]));
        assert_eq!(numbered.data(7).len(), 100);
        for number in [0, 2, 2] {
            let data = numbered.data(number);
            let message = format!(r#"{{"type":"message","room":"r","data":"{data}"}}"#);
            heard.hear(&message).expect("it was said");
        }
        assert_eq!((heard.lost(), heard.repeated()), (1, 1));
        for stranger in [
            numbered.data(1),
            format!(r#""data":"{}""#, numbered.data(3)),
        ] {
            assert!(heard.hear(&stranger).is_err(), "{stranger}");
        }
    }

    #[test]
    fn a_message_is_framed_by_its_length() {
        for (len, head) in [(0, 2), (125, 2), (126, 4), (300, 4)] {
            let mut out = Vec::new();
            put(&mut out, &"x".repeat(len));
            assert_eq!(out.len(), head + 4 + len);
            assert_eq!(out[0], 0x81);
        }
    }
}
