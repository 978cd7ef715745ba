//! What a client reads, judged at once: the answer to its request, frames, answers to its asks.

use super::deflation::Deflation;
use super::{ACCEPT, Client, Scene, Stage, kind_of, mask};
use crate::application::{ROOM_NAMELESS, ROOM_TOO_LONG};
use crate::log::List;
use crate::temper::Opening;
use crate::words::{Ask, Audience, MessageId, Words, decode, padding};
use shardcast_engine::Report;
use shardcast_engine::protocol::deflate::{self, InflateLimits};
use shardcast_engine::protocol::frame::{Kind, OpCode, write_client_frame};
use shardcast_engine::protocol::reader::{
    self, Assembly, FrameEvent, ProtocolError, ReadLimits, Role, Step,
};

impl Client {
    pub(super) fn decode(&mut self, scene: &mut Scene<'_>) {
        if self.stage == Stage::Handshaking && !self.read_head(scene) {
            return;
        }
        if self.refusal.is_some() {
            // The rest of the refusal is for people.
            return;
        }
        let mut input = std::mem::take(&mut self.input);
        let mut at = 0;
        loop {
            let mut deflation = self.deflation.take();
            let step = next(&mut input[at..], &mut self.assembly, &mut deflation);
            let step = step.map(|step| match step {
                Step::Incomplete { .. } => None,
                Step::Event { event, used } => {
                    self.event(scene, event);
                    Some(used)
                }
            });
            self.deflation = deflation;
            match step.unwrap_or_else(|error| {
                panic!(
                    "client {}: the server broke the protocol: {error:?}",
                    self.id
                )
            }) {
                None => break,
                Some(used) => at += used,
            }
        }
        input.drain(..at);
        self.input = input;
    }

    /// Takes the answer to the request; false when nothing follows it yet, or ever.
    fn read_head(&mut self, scene: &Scene<'_>) -> bool {
        let Some(end) = self
            .input
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
        else {
            return false;
        };
        let head =
            String::from_utf8(self.input.drain(..end + 4).collect()).expect("a head is text");
        let status = head
            .get(9..12)
            .and_then(|status| status.parse().ok())
            .expect("a status line");
        if status != 101 {
            self.refusal = Some(status);
            self.input.clear();
            self.closing(scene);
            return false;
        }
        assert_eq!(
            self.temper.opening,
            Opening::Proper,
            "client {} was let in",
            self.id
        );
        assert!(head.contains(ACCEPT), "the wrong answer to the key: {head}");
        self.deflation.take_if(|deflation| !deflation.agree(&head));
        self.stage = Stage::Open;
        self.log.open(scene.now, self.started);
        true
    }

    fn event(&mut self, scene: &mut Scene<'_>, event: FrameEvent<'_>) {
        assert_eq!(
            self.close_code, None,
            "client {}: {event:?} after a close frame",
            self.id
        );
        match event {
            FrameEvent::Text(text) => self.hear(scene, Kind::Text, text),
            FrameEvent::Binary(bytes) => {
                let text = std::str::from_utf8(bytes).expect("the application sends text");
                self.hear(scene, Kind::Binary, text);
            }
            FrameEvent::Ping(payload) => {
                if self.stage == Stage::Open {
                    write_client_frame(&mut self.unsent, OpCode::Pong, payload, mask(scene.random));
                }
            }
            FrameEvent::Pong(payload) => {
                let ping = self.pings.pop_front().expect("a ping for each pong");
                assert_eq!(payload, ping.to_be_bytes());
            }
            FrameEvent::Close(close) => {
                scene
                    .world
                    .trace(|| format!("client {} is closed: {close:?}", self.id));
                self.close_code = close.code;
                if self.stage == Stage::Open && !self.temper.rude {
                    write_client_frame(&mut self.unsent, OpCode::Close, &[], mask(scene.random));
                }
                self.closing(scene);
            }
            FrameEvent::Assembled | FrameEvent::Fragment => panic!("the server does not fragment"),
        }
    }

    fn hear(&mut self, scene: &Scene<'_>, kind: Kind, text: &str) {
        scene
            .world
            .trace(|| format!("client {} hears {text:.60}", self.id));
        let text = match text.starts_with('@') {
            true => {
                let (encoding, text) = decode(text);
                assert_eq!(
                    encoding, self.encoding,
                    "client {}: {text} in another encoding",
                    self.id
                );
                text
            }
            false => text,
        };
        let mut words = Words(text);
        match words.next() {
            "welcome" => assert_eq!(words.number(), self.id),
            "closing" | "panicked" => {}
            "told" => self.log.told(words.number() as u32),
            "message" => {
                let audience = Audience::read(words.next());
                let message_id = self.message_id(kind, &mut words);
                assert_eq!(
                    words.0,
                    padding(message_id, words.0.len()),
                    "{message_id:?} is damaged"
                );
                self.log.heard(scene.now, audience, message_id);
            }
            "direct" => {
                let message_id = self.message_id(kind, &mut words);
                assert_eq!(words.number(), self.id, "{message_id:?} was for another");
                assert_eq!(
                    words.0,
                    padding(message_id, words.0.len()),
                    "{message_id:?} is damaged"
                );
                self.log.direct(message_id);
            }
            answer => {
                let number = words.number() as u32;
                assert!(
                    self.unanswered.remove(&number) || answer == "error",
                    "{text} answers nothing"
                );
                self.answer(scene, kind, answer, number, &mut words);
            }
        }
    }

    fn message_id(&self, kind: Kind, words: &mut Words<'_>) -> MessageId {
        let message_id = MessageId {
            from: words.number(),
            number: words.number() as u32,
        };
        assert_eq!(
            kind,
            kind_of(message_id.number),
            "{message_id:?} changed its kind"
        );
        message_id
    }

    fn answer(
        &mut self,
        scene: &Scene<'_>,
        kind: Kind,
        answer: &str,
        number: u32,
        words: &mut Words<'_>,
    ) {
        let now = scene.now;
        match answer {
            "echo" => {
                assert_eq!(
                    self.echoes.pop_front(),
                    Some(number),
                    "an echo is out of order"
                );
                assert_eq!(kind, kind_of(number), "an echo changed its kind");
                let message_id = MessageId {
                    from: self.id,
                    number,
                };
                assert_eq!(
                    words.0,
                    padding(message_id, words.0.len()),
                    "an echo is damaged"
                );
            }
            "joined" => self.log.joined(now, number, words.number()),
            "left" => self.log.left(now, number),
            "full" => self.log.full(now, number),
            "identified" => self.log.identities.push((number, now)),
            "listed" => {
                let list = List::read(words);
                self.log.lists.push((number, now, list));
            }
            "report" => {
                let mut count = || words.number() as u32;
                let report = Report {
                    delivered: count(),
                    queued: count(),
                    dropped: count(),
                    ..Report::default()
                };
                self.log.reports.push((number, now, report));
            }
            "error" => self.refused(number, words.next()),
            other => panic!("the application does not say {other}"),
        }
    }

    fn refused(&mut self, number: u32, why: &str) {
        let (_, ask) = self.log.asks[number as usize];
        let plausible = match (ask, why) {
            (Ask::Join(room), "BadName") => room == ROOM_TOO_LONG || room == ROOM_NAMELESS,
            (Ask::Join(_) | Ask::JoinLimited(..), "TooMany" | "Busy") => true,
            (Ask::Leave(_), "NotJoined" | "Busy") => true,
            (Ask::Identify(_), "Busy") | (Ask::List(_), "TooManyReports") => true,
            (Ask::Publish(_, options), "TooManyReports") => options.report,
            _ => false,
        };
        assert!(plausible, "{ask:?} was refused: {why}");
        self.log.refused.push(number);
    }
}

/// Reads the next frame as it was agreed.
fn next<'b>(
    bytes: &'b mut [u8],
    assembly: &mut Option<Box<Assembly>>,
    deflation: &'b mut Option<Deflation>,
) -> Result<Step<'b>, ProtocolError> {
    let message_bytes_max = 1 << 20;
    match deflation {
        None => reader::next(
            bytes,
            assembly,
            Role::Client,
            &ReadLimits { message_bytes_max },
        ),
        Some(deflation) => deflate::next(
            bytes,
            assembly,
            Role::Client,
            &InflateLimits {
                message_bytes_max,
                ratio_max: InflateLimits::RATIO_MAX_DEFAULT,
            },
            &mut deflation.inflater,
            deflation.window.as_mut(),
        ),
    }
}
