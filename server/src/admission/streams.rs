//! Where clients of the Centrifuge protocol connect that have no WebSocket, or ask for nothing: the
//! paths, what a client hears there, and what its request says as its first message.
//!
//! Invariant: the paths are those that its SDKs know by default, and their meaning does not change
//! with the request. `entrance` knows which of them there are; the service asks.

use shardcast_engine::{FirstMessage, PostedMessage, Refusal, StreamPath, StreamPurpose};
use shardcast_protocol::dialect::Dialect;
use shardcast_protocol::dialect::centrifuge::Emulated;
use shardcast_protocol::events::Form;
use shardcast_protocol::frame::Kind;
use shardcast_protocol::http::{HttpMethod, HttpRequest, decoded_parameter};

/// A path beside that of WebSockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamEntrance {
    HttpStream,
    EventStream,
    /// Commands of clients whose replies come in one of these.
    Emulation,
    UniHttpStream,
    UniEventStream,
    UniWebSocket,
}

/// In a query: what the client says first.
const PARAMETER: &str = "cf_connect";

impl StreamEntrance {
    pub(crate) const FALLBACKS: [StreamEntrance; 3] = [
        StreamEntrance::HttpStream,
        StreamEntrance::EventStream,
        StreamEntrance::Emulation,
    ];
    pub(crate) const UNIDIRECTIONAL: [StreamEntrance; 3] = [
        StreamEntrance::UniHttpStream,
        StreamEntrance::UniEventStream,
        StreamEntrance::UniWebSocket,
    ];

    pub(crate) const fn path(self) -> &'static str {
        match self {
            StreamEntrance::HttpStream => "/connection/http_stream",
            StreamEntrance::EventStream => "/connection/sse",
            StreamEntrance::Emulation => "/emulation",
            StreamEntrance::UniHttpStream => "/connection/uni_http_stream",
            StreamEntrance::UniEventStream => "/connection/uni_sse",
            StreamEntrance::UniWebSocket => "/connection/uni_websocket",
        }
    }

    /// Whether clients come with a WebSocket.
    pub(crate) fn is_websocket(self) -> bool {
        self == StreamEntrance::UniWebSocket
    }

    /// What the engine is told of it; a WebSocket is no stream.
    pub(crate) fn stream_path(self) -> Option<StreamPath> {
        let purpose = match self {
            StreamEntrance::HttpStream | StreamEntrance::UniHttpStream => StreamPurpose::OpenByPost,
            StreamEntrance::EventStream | StreamEntrance::UniEventStream => StreamPurpose::Open,
            StreamEntrance::Emulation => StreamPurpose::Post,
            StreamEntrance::UniWebSocket => return None,
        };
        let path = self.path().to_owned();
        Some(StreamPath { path, purpose })
    }

    /// What clients that connect there speak, and how they are sent it; `None`: nobody connects.
    pub(crate) fn spoken(self, request: &HttpRequest<'_>) -> Option<(Dialect, Form)> {
        Some(match self {
            StreamEntrance::HttpStream if is_binary(request) => {
                (Dialect::CentrifugeProtobuf, Form::CentrifugeDelimited)
            }
            StreamEntrance::HttpStream => (Dialect::CentrifugeJson, Form::CentrifugeLines),
            StreamEntrance::EventStream => (Dialect::CentrifugeJson, Form::CentrifugeEvents),
            StreamEntrance::UniHttpStream => (Dialect::CentrifugeJson, Form::PushLines),
            StreamEntrance::UniEventStream => (Dialect::CentrifugeJson, Form::PushEvents),
            StreamEntrance::UniWebSocket => (Dialect::CentrifugeJson, Form::PushFrames),
            StreamEntrance::Emulation => return None,
        })
    }

    /// What a request that connects there says first.
    ///
    /// # Errors
    /// It must say something, and does not.
    pub(crate) fn first_message(
        self,
        request: &HttpRequest<'_>,
        body: &[u8],
    ) -> Result<Option<FirstMessage>, Refusal> {
        let by_query = || decoded_parameter(request.query()?, PARAMETER);
        let said = match request.method() {
            HttpMethod::Post => Some(body.to_vec()),
            _ => by_query(),
        };
        let kind = match self {
            StreamEntrance::HttpStream if is_binary(request) => Kind::Binary,
            _ => Kind::Text,
        };
        match (self, said) {
            (StreamEntrance::UniWebSocket, None) => Ok(None),
            (StreamEntrance::UniHttpStream | StreamEntrance::UniEventStream, None) => {
                let bytes = Vec::new();
                Ok(Some(FirstMessage { kind, bytes }))
            }
            (StreamEntrance::HttpStream | StreamEntrance::EventStream, None) => {
                Err(Refusal::new(400, "cf_connect is missing"))
            }
            (StreamEntrance::HttpStream | StreamEntrance::EventStream, Some(bytes))
                if bytes.is_empty() =>
            {
                Err(Refusal::new(400, "the request says nothing"))
            }
            (StreamEntrance::Emulation, None) => Ok(None),
            (_, Some(bytes)) => Ok(Some(FirstMessage { kind, bytes })),
        }
    }
}

/// Whether a request's body is Protobuf.
fn is_binary(request: &HttpRequest<'_>) -> bool {
    let kind = request.header("Content-Type");
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case(b"application/octet-stream"))
}

/// What the body of a request to [`StreamEntrance::Emulation`] says.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn posted(kind: Kind, body: &[u8]) -> Result<PostedMessage, &'static str> {
    let emulated = Emulated::read(body, kind)?;
    Ok(PostedMessage {
        token: emulated.session.into_owned(),
        bytes: emulated.data.into_owned(),
    })
}
