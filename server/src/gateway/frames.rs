//! Frames of the stream to a backend: a length of four bytes, the most significant first, and a
//! Protobuf message.
//!
//! Invariant: nothing is allocated for a frame whose length is more than a frame may have, and of
//! one that may be so long no more than has come, in steps.

use crate::gateway::wire::ToServer;
use prost::Message;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

/// Longest frame that a backend may send. What it is sent is as long as a message of a client, and
/// what goes with it.
pub(crate) const FRAME_BYTES_MAX: usize = 1 << 20;

/// Why a connection to a backend ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadFrame {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it has sent a frame of {0} bytes, and {FRAME_BYTES_MAX} are allowed")]
    TooLong(u32),
    #[error("it has ended within a frame")]
    Half,
    #[error("it has begun a frame, and the rest does not come")]
    Stalled,
    #[error("it has sent what is no message: {0}")]
    Malformed(#[from] prost::DecodeError),
    #[error("it has sent a message that says nothing")]
    Empty,
    #[error("it takes nothing of what it is sent")]
    NotTaken,
    #[error("a frame for it would be longer than a frame can be")]
    Unsendable,
}

/// A message with its length.
///
/// # Errors
/// It is longer than a length can say.
pub(crate) fn encode(message: &impl Message) -> Result<Vec<u8>, BadFrame> {
    let length = message.encoded_len();
    let prefix = u32::try_from(length).map_err(|_| BadFrame::Unsendable)?;
    let mut frame = Vec::with_capacity(4 + length);
    frame.extend_from_slice(&prefix.to_be_bytes());
    message.encode_raw(&mut frame);
    Ok(frame)
}

/// The next message of a backend, which comes within `patience` once it has begun. `None`: there is
/// none, and the stream has ended between two.
pub(crate) async fn read(
    from: &mut (impl AsyncRead + Unpin),
    patience: Duration,
) -> Result<Option<ToServer>, BadFrame> {
    let mut prefix = [0; 4];
    if from.read(&mut prefix[..1]).await? == 0 {
        return Ok(None);
    }
    let rest = timeout(patience, read_rest(from, prefix));
    rest.await.unwrap_or(Err(BadFrame::Stalled)).map(Some)
}

/// A frame whose first byte has come.
async fn read_rest(
    from: &mut (impl AsyncRead + Unpin),
    mut prefix: [u8; 4],
) -> Result<ToServer, BadFrame> {
    let ended = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => BadFrame::Half,
        _ => BadFrame::Io(error),
    };
    from.read_exact(&mut prefix[1..]).await.map_err(ended)?;
    let length = u32::from_be_bytes(prefix);
    if length as usize > FRAME_BYTES_MAX {
        return Err(BadFrame::TooLong(length));
    }
    let mut frame = Vec::new();
    let taken = from.take(length.into()).read_to_end(&mut frame).await?;
    if taken < length as usize {
        return Err(BadFrame::Half);
    }
    Ok(ToServer::decode(&*frame)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::wire::{Answer, ForServer};

    fn answer() -> ToServer {
        ToServer {
            what: Some(ForServer::Answer(Answer {
                id: 300,
                user: Some("ann".to_owned()),
                ..Answer::default()
            })),
        }
    }

    async fn read_all(bytes: &[u8]) -> Result<Vec<ToServer>, BadFrame> {
        let (mut from, mut all) = (bytes, Vec::new());
        while let Some(one) = read(&mut from, Duration::from_secs(60)).await? {
            all.push(one);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn frames_are_read_whole_or_not_at_all() {
        let one = encode(&answer()).expect("it fits");
        let two = [&one[..], &one[..]].concat();
        for end in 0..=two.len() {
            let read = read_all(&two[..end]).await;
            match end {
                0 => assert_eq!(read.expect("nothing"), []),
                end if end == one.len() => assert_eq!(read.expect("one"), [answer()]),
                end if end == two.len() => {
                    assert_eq!(read.expect("both"), [answer(), answer()]);
                }
                _ => assert!(matches!(read, Err(BadFrame::Half)), "{end}: {read:?}"),
            }
        }
    }

    #[tokio::test]
    async fn no_length_is_believed_that_is_too_long() {
        let too_long = FRAME_BYTES_MAX as u32 + 1;
        for length in [too_long, u32::MAX] {
            let read = read_all(&length.to_be_bytes()).await;
            assert!(matches!(read, Err(BadFrame::TooLong(told)) if told == length));
        }
        let read = read_all(&[0, 0, 0, 2, 0xff, 0xff]).await;
        assert!(matches!(read, Err(BadFrame::Malformed(_))), "{read:?}");
    }
}
