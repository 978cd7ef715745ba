//! The shard: connections, rooms and lanes as a deterministic state machine, and the drivers that run it on a kernel or in a simulation.
//!
//! # Messages in pieces
//!
//! A message is handed to [`Application::message`] whole, and is held until it is. An upload need not be: a connection that is accepted
//! with [`Messages::InPieces`] gets what arrives of it, to [`Application::piece`].
//!
//! ```
//! use shardcast_engine::protocol::{frame::Kind, upgrade::Request};
//! use shardcast_engine::{Accepted, Admission, Application, Context, Message, Messages, Piece};
//!
//! /// Says how long each upload was, and its sum, and holds none of it.
//! struct Uploads;
//!
//! #[derive(Default)]
//! struct Upload {
//!     bytes: u64,
//!     sum: u64,
//! }
//!
//! impl Application for Uploads {
//!     type Session = Upload;
//!
//!     fn connect(&mut self, _: &mut Context<'_>, _: &Request<'_>) -> Admission<Upload> {
//!         let messages = Messages::InPieces;
//!         Admission::Accept(Accepted { messages, ..Upload::default().into() })
//!     }
//!
//!     fn message(&mut self, _: &mut Context<'_>, _: &mut Upload, _: Message<'_>) {
//!         unreachable!("all messages come in pieces");
//!     }
//!
//!     fn piece(&mut self, cx: &mut Context<'_>, upload: &mut Upload, piece: Piece<'_>) {
//!         if piece.first {
//!             *upload = Upload::default();
//!         }
//!         upload.bytes += piece.bytes.len() as u64;
//!         upload.sum += piece.bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
//!         if piece.last {
//!             let Upload { bytes, sum } = upload;
//!             cx.send(Kind::Text, format!("{bytes} bytes, sum {sum}").as_bytes());
//!         }
//!     }
//! }
//! ```
//!
//! A slow upload is held to [`Config::frame_timeout`] and [`Config::message_timeout`] as any other message.
//!
//! # EncodingSet and users
//!
//! Connections of one room may be encoded differently: the application gives each a [`EncodingId`] when it accepts it, and says with
//! [`Application::encode`] how a publication reads in each. That is asked once for each publication and encoding that is present, not for each
//! connection, and where the publication has got its place in the order. A connection can be a user's: [`Target::User`] reaches all connections of one.
//!
//! ```
//! use shardcast_engine::protocol::{frame::Kind, upgrade::Request};
//! use shardcast_engine::{
//!     Accepted, Admission, Application, Content, Context, Data, DataEncoding, EncodingId, Frame, Message, Position,
//!     Publication, PublicationKind, Publish, Target,
//! };
//!
//! /// Some shout (`/loud`), the others do not; everybody hears everybody in their own way. The path of a request is who asks.
//! struct Hall;
//!
//! const CALM: EncodingId = EncodingId::FIRST;
//! const LOUD: EncodingId = EncodingId::new(1);
//!
//! impl Application for Hall {
//!     type Session = String;
//!
//!     fn connect(&mut self, _: &mut Context<'_>, request: &Request<'_>) -> Admission<String> {
//!         let encoding = if request.path().starts_with("/loud") { LOUD } else { CALM };
//!         Admission::Accept(Accepted { encoding, ..request.path().to_owned().into() })
//!     }
//!
//!     fn opened(&mut self, cx: &mut Context<'_>, user: &mut String) {
//!         // A name that is too long is nobody's.
//!         let _ = cx.identify(Some(user));
//!     }
//!
//!     fn message(&mut self, cx: &mut Context<'_>, user: &mut String, message: Message<'_>) {
//!         let Message::Text(text) = message else { return };
//!         // To all connections of the same user, each in its encoding.
//!         let publication = Publication {
//!             topic: None,
//!             kind: PublicationKind::Message { publisher: cx.address() },
//!             data: Data::Text(text),
//!             data_encoding: DataEncoding::default(),
//!         };
//!         let publish = Publish::new(Content::data(&publication, None));
//!         let _ = cx.publish(Target::User(user), publish);
//!     }
//!
//!     fn encode(encoding: EncodingId, publication: &Publication<'_>, _: Option<Position>) -> Option<Frame> {
//!         let Data::Text(text) = publication.data else { return None };
//!         let text = if encoding == LOUD { text.to_uppercase() } else { text.to_lowercase() };
//!         Some(Frame::new(Kind::Text, text.as_bytes()))
//!     }
//! }
//! ```

pub mod allocator;
mod application;
mod batch;
mod compression;
mod config;
mod confine;
mod congestion;
mod connection;
mod context;
mod core;
mod counter;
mod counters;
mod deadline;
mod delayed;
mod doorbell;
mod drain;
pub mod driver;
mod encoding;
mod events;
mod exchange;
mod frame;
mod handle;
mod heartbeat;
mod home;
mod host;
mod input;
#[doc(hidden)] // Driven by the simulation tests.
pub mod lane;
mod listener;
mod member_list;
mod membership;
mod memory;
mod message;
mod open_files;
mod outbox;
pub mod outgoing;
mod paged;
mod peer;
mod phase;
mod publication;
mod query;
mod report;
mod running;
#[doc(hidden)] // Driven by the simulation tests.
pub mod shard;
mod start;
mod subscribers;
mod ticket;
mod tls;
mod token;
mod topic;
mod wheel;

pub use application::{
    Accepted, Admission, Answer, Application, CloseReason, Listing, Member, Messages, Notice, Page,
    Quiet, Refusal, Report, Tag,
};
pub use compression::Compression;
pub use config::{Config, ConfigError, Pinning};
pub use confine::{Panicked, confine, discard};
pub use context::{Context, Publish, PublishError, RoomError, Target};
pub use counter::{Counter, Reading};
pub use counters::ShardCounters;
pub use deadline::Deadline;
pub use driver::{Inherited, ListenAddress, ListenSource, StopAccept, Unsupported};
pub use encoding::{EncodingId, EncodingsPresent};
pub use events::{Event, EventKind, Events, TopicName};
pub use frame::{Frame, Message};
pub use handle::{Handle, QueryError, Refused, Reply, SubscribeError};
pub use heartbeat::Heartbeat;
pub use host::afford;
pub use listener::Listener;
pub use memory::Memory;
pub use peer::Peer;
pub use publication::{Content, Data, DataEncoding, Position, Publication, PublicationKind};
pub use query::{Found, FoundConnection, FoundTopic, Query};
pub use running::Running;
pub use start::{StartError, start, start_on};
pub use ticket::{Address, Ticket};
pub use tls::{ClientCertificates, Identity, Tls, TlsError, TlsOptions, TlsVersion};
pub use topic::{Topic, USER_BYTES_MAX};

pub use shardcast_protocol as protocol;
pub use shardcast_protocol::pieces::Piece;
