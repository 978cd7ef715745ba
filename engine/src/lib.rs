//! The shard: connections, rooms and lanes as a deterministic state machine, and the drivers that
//! run it on a kernel or in a simulation.
//!
//! # Messages in pieces
//!
//! A message is held until it is complete, and then handed to [`Application::message`]. An upload
//! need not be held: on a connection that is accepted with [`Messages::InPieces`], what arrives of
//! a message is handed to [`Application::piece`].
//!
//! ```
//! use shardcast_engine::protocol::{frame::Kind, http::HttpRequest};
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
//!     fn connect(&mut self, _: &mut Context<'_>, _: &HttpRequest<'_>) -> Admission<Upload> {
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
//! A slow upload is held to [`Config::frame_timeout`] and [`Config::message_timeout`] as any other
//! message.
//!
//! # Encodings and users
//!
//! Connections of one room may be encoded differently: the application gives each a [`EncodingId`]
//! when it accepts it, and says with [`Application::encode`] how a publication reads in each. That
//! is asked once for each publication and encoding that is present, not for each connection, and
//! where the publication has got its place in the order. A connection can be a user's:
//! [`Target::User`] reaches all connections of one.
//!
//! ```
//! use shardcast_engine::protocol::{frame::Kind, http::HttpRequest};
//! use shardcast_engine::{
//!     Accepted, Admission, Application, Content, Context, Data, DataEncoding, EncodingId, Frame,
//!     Message, Position, Publication, PublicationKind, Publish, Target,
//! };
//!
//! /// Some shout (`/loud`), the others do not; each reads everything in its own way. The path of a
//! /// request names the user.
//! struct Hall;
//!
//! const CALM: EncodingId = EncodingId::FIRST;
//! const LOUD: EncodingId = EncodingId::new(1);
//!
//! impl Application for Hall {
//!     type Session = String;
//!
//!     fn connect(&mut self, _: &mut Context<'_>, request: &HttpRequest<'_>) -> Admission<String> {
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
//!     fn encode(
//!         encoding: EncodingId,
//!         publication: &Publication<'_>,
//!         _: Option<Position>,
//!     ) -> Option<Frame> {
//!         let Data::Text(text) = publication.data else { return None };
//!         let text = if encoding == LOUD { text.to_uppercase() } else { text.to_lowercase() };
//!         Some(Frame::new(Kind::Text, text.as_bytes()))
//!     }
//! }
//! ```

mod activity;
pub mod allocator;
mod application;
mod config;
mod confine;
mod connection;
mod context;
mod core;
mod counter;
mod counters;
pub mod driver;
mod egress;
mod endings;
mod events;
mod histogram;
mod listener;
mod message;
mod query;
mod reading;
mod run;
#[doc(hidden)] // Driven by the simulation tests.
pub mod shard;
mod topic;
mod types;

pub use activity::{Activity, TickPhase};
pub use application::{Accepted, Admission, Application, Messages, Page, Refusal};
pub use config::{Config, Pinning};
pub use confine::{Panicked, confine, discard};
pub use connection::heartbeat::{Heartbeat, HeartbeatMessage};
pub use connection::peer::Peer;
pub use context::Context;
pub use counter::Counter;
pub use counters::ShardCounters;
pub use driver::boundary::StopAccept;
pub use driver::choice::{DriverChoice, NoSuchDriver};
pub use driver::listen::{Inherited, ListenAddress, ListenSource};
pub use driver::platform::Unsupported;
pub use egress::compression::Compression;
pub use egress::outgoing;
pub use egress::tls::error::TlsError;
pub use egress::tls::identity::Identity;
pub use egress::tls::options::{ClientCertificates, TlsOptions, TlsVersion};
pub use egress::tls::server::Tls;
pub use endings::EndingCounters;
pub use events::{Event, EventKind, Events};
pub use histogram::Histogram;
pub use listener::{Listener, ProxyProtocol};
pub use message::command::Refused;
#[doc(hidden)] // Driven by the simulation tests.
pub use message::lane;
pub use message::queue::AwaitPlace;
pub use query::page::{Found, FoundConnection, FoundTopic, Query, TopicDetail, TopicPart};
pub use reading::{Measured, Reading};
pub use run::handle::{Handle, QueryError, SubscribeError};
pub use run::host::afford;
pub use run::memory::Memory;
pub use run::running::Running;
pub use run::start::{start, start_on};
pub use run::start_error::StartError;
pub use run::watch::{StuckShard, Watch};
pub use topic::busiest::{BusyRoom, BusyRooms};
pub use topic::data::{Data, DataEncoding};
pub use topic::joining::JoinOptions;
pub use topic::keep::{GivenPlace, SetOnly};
pub use topic::key::{Topic, TopicName, USER_BYTES_MAX};
pub use topic::log::journal::{
    Journal, JournalEnded, JournalReader, LogLeft, LogRecord, RestoredLog, StoredPublication,
};
pub use topic::log::map_options::MapOptions;
pub use topic::log::options::{
    AckOptions, Durability, KeptFor, LogClass, LogOptions, LogOrder, Newcomers, SlowReader,
};
pub use topic::log::step::LogStep;
pub use topic::presence::options::{PresenceClass, PresenceOf, PresenceOptions};
pub use topic::publication::{Content, Position, Publication, PublicationKind};
pub use topic::relay::{Relay, RelayReader, Relayed};
pub use topic::sequencer::{Publisher, Sequencer, SequencerReader, ToSequence, Unsequenced};
pub use topic::target::{Publish, PublishError, Target};
pub use topic::trace_sink::{TraceReader, TraceSink};
pub use types::answer::{Answer, Listing, Member, Notice, Repeat, Reply, Report, Tag};
pub use types::close_reason::CloseReason;
pub use types::config_error::ConfigError;
pub use types::deadline::Deadline;
pub use types::encoding::{EncodingId, EncodingsPresent};
pub use types::filter::Filter;
pub use types::frame::{Frame, Message};
pub use types::history::{
    History, HistoryQuery, JoinAcks, JoinDeltas, JoinedLog, KeptPublication, Loss, Missed,
    MissedReason, ReadOrder, Recovery, Since,
};
pub use types::presence::{
    Continuity, JoinPresence, MemberConnection, MemberElsewhere, OwnedData, PresenceKey,
    PresencePage, PresenceQuery, PresenceState, PresentMember, PresentThere,
};
pub use types::presence_event::PresenceEvent;
pub use types::quiet::Quiet;
pub use types::room_error::RoomError;
pub use types::same_user::SameUser;
pub use types::span::{SpanKind, SpanValue, TraceSpan};
pub use types::stream_path::{FirstMessage, PostedMessage, StreamPath, StreamPurpose};
pub use types::ticket::{Address, Ticket};

pub use shardcast_protocol as protocol;
pub use shardcast_protocol::pieces::Piece;
