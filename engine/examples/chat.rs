//! The smallest application on the engine alone: everyone who connects to /chat hears what anyone
//! there says.
#![forbid(unsafe_code)]

use shardcast_engine::protocol::http::HttpRequest;
use shardcast_engine::{
    Admission, Application, Config, Context, Frame, Message, Publish, Refusal, Tag, Target,
};

/// Everyone who connects to /chat hears what anyone there says.
struct Chat;

impl Application for Chat {
    type Session = ();

    fn connect(&mut self, _: &mut Context<'_>, request: &HttpRequest<'_>) -> Admission<()> {
        match request.path() {
            "/chat" => Admission::Accept(().into()),
            _ => Admission::Refuse(Refusal::new(404, "no such room")),
        }
    }

    fn opened(&mut self, cx: &mut Context<'_>, _: &mut ()) {
        cx.join("chat", Tag(0)).expect("one room, with a fine name");
    }

    fn message(&mut self, cx: &mut Context<'_>, _: &mut (), message: Message<'_>) {
        let frame = Frame::new(message.kind(), message.bytes());
        cx.publish(Target::Room("chat"), Publish::new(frame))
            .expect("a fine name");
    }
}

fn main() -> Result<(), shardcast_engine::StartError> {
    let running = shardcast_engine::start(Config::default(), |_shard| Chat)?;
    println!("ws://{}/chat", running.addresses()[0]);
    std::thread::park();
    Ok(())
}
