//! The smallest application: every message comes back. What is tested with it is the engine below.

use shardcast_engine::protocol::http::HttpRequest;
use shardcast_engine::{Admission, Application, Context, Message, Refusal};

/// Answers every message with the same message.
#[derive(Debug)]
pub struct Echo;

impl Application for Echo {
    type Session = ();

    fn connect(&mut self, _cx: &mut Context<'_>, request: &HttpRequest<'_>) -> Admission<()> {
        match request.path() {
            "/ws" => Admission::Accept(().into()),
            path => Admission::Refuse(Refusal::new(404, format!("no {path}"))),
        }
    }

    fn message(&mut self, cx: &mut Context<'_>, _session: &mut (), message: Message<'_>) {
        cx.send(message.kind(), message.bytes());
    }
}
