//! What a client writes: its request, its asks whole or in fragments, its end.

use super::{Client, Scene, Stage, kind_of, mask, message_bytes_max};
use crate::temper::Ending;
use crate::words::{Ask, MessageId};
use shardcast_engine::driver::Millis;
use shardcast_engine::driver::sim::SocketId;
use shardcast_engine::protocol::deflate::Deflater;
use shardcast_engine::protocol::frame::{OpCode, write_client_frame};

impl Client {
    pub(super) fn ask(&mut self, scene: &mut Scene<'_>) {
        if !self.may_ask() {
            return;
        }
        self.asks_left -= 1;
        let ask = self.temper.ask(scene.random, scene.rooms, scene.clients);
        self.say(scene, ask);
        if scene.random.chance(self.temper.stall_permille) {
            self.stalled_until =
                scene.world.now() + scene.random.between(1, STALL_MS_MAX) as Millis;
        }
    }

    /// Writes one ask, whole or in fragments.
    pub(crate) fn say(&mut self, scene: &mut Scene<'_>, ask: Ask) {
        let number = self.log.ask(scene.now, ask);
        if ask.is_answered() {
            self.unanswered.insert(number);
        }
        if ask == Ask::Echo {
            self.echoes.push_back(number);
        }
        let message_id = MessageId {
            from: self.id,
            number,
        };
        let padding_bytes = scene.random.between(0, self.temper.padding_bytes_max);
        let text = ask.write(message_id, padding_bytes);
        scene
            .world
            .trace(|| format!("client {} asks {number}: {ask:?}", self.id));
        let opcode: OpCode = kind_of(number).into();
        let compressed = match &mut self.deflation {
            Some(deflation) if scene.random.chance(500) => deflation.deflate(text.as_bytes()),
            Some(_) | None => None,
        };
        let payload = compressed.as_deref().unwrap_or(text.as_bytes());
        let start = self.unsent.len();
        if self.temper.fragments && scene.random.chance(500) {
            self.write_fragments(scene, opcode, payload);
        } else {
            write_client_frame(&mut self.unsent, opcode, payload, mask(scene.random));
        }
        if compressed.is_some() {
            self.unsent[start] |= COMPRESSED;
        }
    }

    fn write_fragments(&mut self, scene: &mut Scene<'_>, opcode: OpCode, mut payload: &[u8]) {
        let mut opcode = opcode;
        loop {
            let (part, rest) = payload.split_at(scene.random.below(payload.len() + 1));
            let part = if rest.len() < 3 { payload } else { part };
            let start = self.unsent.len();
            write_client_frame(&mut self.unsent, opcode, part, mask(scene.random));
            if part.len() == payload.len() {
                return;
            }
            self.unsent[start] &= !FINAL;
            opcode = OpCode::Continuation;
            payload = rest;
            if scene.random.chance(300) {
                self.ping(scene);
            }
        }
    }

    fn ping(&mut self, scene: &mut Scene<'_>) {
        let number = scene.now as u32;
        self.pings.push_back(number);
        write_client_frame(
            &mut self.unsent,
            OpCode::Ping,
            &number.to_be_bytes(),
            mask(scene.random),
        );
    }

    pub(super) fn end(&mut self, scene: &mut Scene<'_>, socket: SocketId) {
        scene
            .world
            .trace(|| format!("client {} ends: {:?}", self.id, self.temper.ending));
        self.closing(scene);
        match self.temper.ending {
            Ending::Handshake => {
                write_client_frame(
                    &mut self.unsent,
                    OpCode::Close,
                    &[0x03, 0xe8],
                    mask(scene.random),
                );
            }
            Ending::Garbage => self.misbehave(scene),
            Ending::Unfinished => {
                let start = self.unsent.len();
                write_client_frame(
                    &mut self.unsent,
                    OpCode::Text,
                    b"unfinished",
                    mask(scene.random),
                );
                let frame_bytes = self.unsent.len() - start;
                self.unsent
                    .truncate(start + scene.random.below(frame_bytes));
            }
            Ending::Fragment => {
                for opcode in [OpCode::Text, OpCode::Continuation] {
                    let start = self.unsent.len();
                    write_client_frame(&mut self.unsent, opcode, b"part", mask(scene.random));
                    self.unsent[start] &= !FINAL;
                }
            }
            Ending::HalfClose => {
                self.unsent.clear();
                scene.world.half_close(socket);
            }
            Ending::Leave => {
                scene.world.close(socket);
                self.stage = Stage::Over;
            }
            Ending::Reset => {
                scene.world.reset(socket);
                self.stage = Stage::Over;
            }
            Ending::Vanish => self.stage = Stage::Over,
        }
    }

    /// One of the ways to break the protocol, and what it deserves.
    fn misbehave(&mut self, scene: &mut Scene<'_>) {
        let start = self.unsent.len();
        let mask = mask(scene.random);
        let code = match scene.random.below(5) {
            0 => {
                // A reserved bit (RFC 6455 §5.2).
                write_client_frame(&mut self.unsent, OpCode::Text, b"bad", mask);
                let agreed = self.deflation.is_some();
                self.unsent[start] |= if agreed { 0x20 } else { COMPRESSED };
                1002
            }
            1 => {
                // No mask (RFC 6455 §5.1).
                self.unsent.extend_from_slice(&[0x81, 3, b'b', b'a', b'd']);
                1002
            }
            2 => {
                write_client_frame(&mut self.unsent, OpCode::Continuation, b"bad", mask);
                1002
            }
            3 => {
                write_client_frame(&mut self.unsent, OpCode::Text, b"b\xffd", mask);
                1007
            }
            _ if self.deflation.is_some() => {
                // A bomb.
                let mut deflater = Deflater::default();
                let large = vec![b'x'; 100 * message_bytes_max(self.listener())];
                let payload = deflater.deflate(&large, 15).expect("zeros compress");
                write_client_frame(&mut self.unsent, OpCode::Binary, payload, mask);
                self.unsent[start] |= COMPRESSED;
                1009
            }
            _ => {
                let large = vec![b'x'; message_bytes_max(self.listener()) + 1];
                write_client_frame(&mut self.unsent, OpCode::Binary, &large, mask);
                1009
            }
        };
        self.expected_code = Some(code);
    }
}

/// RSV1: the message is compressed (RFC 7692 §6), if that was agreed on.
const COMPRESSED: u8 = 0x40;
/// The bit that says that a frame is its message's last (RFC 6455 §5.2).
const FINAL: u8 = 0x80;
/// Longest time in which a client reads nothing. Below the shortest pong deadline of a run.
const STALL_MS_MAX: usize = 3000;
