//! A subscriber's bounded queue with its own thread, and what a server does when it is full. Called
//! by `server`.

use super::{Fault, Writer, write};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use tungstenite::Message;
use tungstenite::protocol::CloseFrame;

/// What waits for one reader.
pub(crate) struct Queue {
    /// `None`: its connection is being closed, behind what waits.
    sender: Option<SyncSender<Message>>,
    policy: Fault,
}

/// So many that a busy machine is not taken for a stalled reader.
const MESSAGES_MAX: usize = 512;
/// What the kernel takes beyond the queue.
const SEND_BUFFER_BYTES: usize = 4096;

impl Queue {
    /// With a policy for who reads too slowly: `CloseSlow` or `SkipSlow`.
    pub(crate) fn new(writer: &Writer, policy: Fault) -> Queue {
        let (sender, receiver) = sync_channel(MESSAGES_MAX);
        let writer = Arc::clone(writer);
        let socket = writer.lock().unwrap().get_ref().try_clone().unwrap();
        rustix::net::sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER_BYTES).unwrap();
        std::thread::spawn(move || {
            for message in receiver {
                write(&writer, message);
            }
            let frame = CloseFrame {
                code: 1008.into(),
                reason: "too slow".into(),
            };
            write(&writer, Message::Close(Some(frame)));
        });
        Queue {
            sender: Some(sender),
            policy,
        }
    }

    /// One more.
    pub(crate) fn push(&mut self, message: Message) {
        let Some(sender) = &self.sender else {
            return;
        };
        if let Err(TrySendError::Full(_)) = sender.try_send(message)
            && self.policy == Fault::CloseSlow
        {
            self.sender = None;
        }
    }
}
