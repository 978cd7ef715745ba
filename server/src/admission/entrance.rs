//! Which dialect a client speaks: named by the path, by `dialect` in the query or by the
//! subprotocol, of which no two may differ.
//!
//! Invariant: a client that names a dialect speaks it, or is refused with the two names that
//! contradict each other. The service calls this file for every upgrade and every event stream.

use crate::admission::streams::StreamEntrance;
use crate::centrifuge::options::Centrifuge;
use shardcast_engine::{Refusal, StreamPath};
use shardcast_protocol::dialect::Dialect;
use shardcast_protocol::events::Form;
use shardcast_protocol::http::HttpRequest;

/// Where event streams are, for clients that cannot have a WebSocket.
pub(crate) const EVENTS_PATH: &str = "/sse";

/// The paths on which clients connect.
#[derive(Clone, Debug)]
pub(crate) struct Entrances {
    /// The subprotocol or the query chooses.
    pub(crate) any: String,
    /// The path chooses, unless it is `any`, too.
    pub(crate) of_dialects: Vec<(Dialect, String)>,
    /// Of streams, and of clients that ask for nothing.
    streams: Vec<StreamEntrance>,
}

/// What a client speaks, and the subprotocol that it is answered with, of those that it offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) dialect: Dialect,
    pub(crate) subprotocol: Option<&'static str>,
    /// In which form it is sent its messages; `None`: the usual one.
    pub(crate) form: Option<Form>,
    pub(crate) pings: Pings,
}

/// Which pings keep a connection alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Pings {
    /// The dialect's, where it has some.
    #[default]
    Dialect,
    /// Those of RFC 6455.
    WebSocket,
}

impl Entrances {
    /// `any`, and the default path of each dialect that has one.
    pub(crate) fn new(any: &str) -> Entrances {
        Entrances {
            any: any.to_owned(),
            of_dialects: vec![
                (Dialect::JsonRpc, "/jsonrpc".to_owned()),
                (Dialect::MessagePack, "/msgpack".to_owned()),
                (Dialect::CentrifugeJson, "/connection/websocket".to_owned()),
            ],
            streams: Vec::new(),
        }
    }

    /// The same with the streams that clients of the Centrifuge protocol may open, where there are
    /// such clients.
    pub(crate) fn with_streams(mut self, options: &Centrifuge) -> Entrances {
        let mut paths = self.of_dialects.iter();
        if paths.any(|(dialect, _)| dialect.is_centrifuge()) {
            let fallbacks = StreamEntrance::FALLBACKS;
            let fallbacks = fallbacks.into_iter().filter(|_| options.fallbacks);
            let others = StreamEntrance::UNIDIRECTIONAL;
            let others = others.into_iter().filter(|_| options.unidirectional);
            self.streams = fallbacks.chain(others).collect();
        }
        self
    }

    /// What the engine is told of the streams.
    pub(crate) fn stream_paths(&self) -> impl Iterator<Item = StreamPath> {
        self.streams
            .iter()
            .filter_map(|entrance| entrance.stream_path())
    }

    /// The stream at a path.
    pub(crate) fn stream_at(&self, path: &str) -> Option<StreamEntrance> {
        let mut streams = self.streams.iter();
        streams.find(|entrance| entrance.path() == path).copied()
    }

    /// Gives a dialect this path, or none.
    pub(crate) fn set(&mut self, dialect: Dialect, path: Option<String>) {
        self.of_dialects.retain(|(other, _)| *other != dialect);
        self.of_dialects.extend(path.map(|path| (dialect, path)));
    }

    /// Whether clients connect there.
    pub(crate) fn has(&self, path: &str) -> bool {
        let is_dialects = || self.of_dialects.iter().any(|(_, other)| other == path);
        path == self.any || is_dialects() || self.stream_at(path).is_some()
    }

    /// The text for clients of other paths.
    pub(crate) fn elsewhere(&self) -> String {
        format!("clients connect to {}", self.any)
    }

    /// The text for clients that only look.
    pub(crate) fn all(&self) -> String {
        let mut text = format!("WebSocket clients connect to {}", self.any);
        for (dialect, path) in &self.of_dialects {
            text += &format!(", in {} to {path}", word(*dialect));
        }
        text
    }

    /// What this client speaks.
    ///
    /// # Errors
    /// 404: nobody connects to this path; 400: the request names no dialect there is, or two.
    pub(crate) fn choose(&self, request: &HttpRequest<'_>) -> Result<Chosen, Refusal> {
        let is_websocket = request.asks_for_websocket();
        let streamed = self.stream_at(request.path());
        let streamed = streamed.filter(|entrance| is_websocket == entrance.is_websocket());
        if let Some((dialect, form)) = streamed.and_then(|entrance| entrance.spoken(request)) {
            return Ok(Chosen {
                dialect,
                subprotocol: request.choose_subprotocol(&[dialect.subprotocol()]),
                form: Some(form),
                pings: match form {
                    // Who says nothing answers those of its WebSocket.
                    Form::PushFrames => Pings::WebSocket,
                    _ => Pings::Dialect,
                },
            });
        }
        let by_path = if is_websocket {
            let by_path = self.by_path(request.path())?;
            if let Some(dialect) = by_path.filter(|dialect| dialect.is_centrifuge()) {
                return Ok(choose_encoding(request, dialect));
            }
            by_path
        } else {
            // An event stream, whose path the engine has compared.
            Some(Dialect::NativeJson)
        };
        let named = match (by_path, by_query(request.query())?) {
            (Some(path), Some(query)) if path != query => {
                return Err(contradiction("the query", query, "the path", path));
            }
            (path, query) => path.or(query),
        };
        let offered = request.choose_subprotocol(&SUBPROTOCOLS);
        let spoken = offered.and_then(Dialect::from_subprotocol);
        let Some(dialect) = named else {
            // A client that offers only what we do not speak is accepted without a subprotocol; it
            // then fails the handshake itself if it insists (RFC 6455 §4.1).
            return Ok(Chosen {
                dialect: spoken.unwrap_or(Dialect::NativeJson),
                subprotocol: offered,
                form: None,
                pings: Pings::default(),
            });
        };
        let subprotocol = request.choose_subprotocol(&[dialect.subprotocol()]);
        match (subprotocol, spoken) {
            (None, Some(other)) => {
                let by = if by_path.is_some() {
                    "the path"
                } else {
                    "the query"
                };
                Err(contradiction("the subprotocol", other, by, dialect))
            }
            (subprotocol, _) => Ok(Chosen {
                dialect,
                subprotocol,
                form: None,
                pings: Pings::default(),
            }),
        }
    }

    fn by_path(&self, path: &str) -> Result<Option<Dialect>, Refusal> {
        if path == self.any {
            return Ok(None);
        }
        let mut entrances = self.of_dialects.iter();
        match entrances.find(|(_, other)| other == path) {
            Some((dialect, _)) => Ok(Some(*dialect)),
            None => Err(Refusal::new(404, self.elsewhere())),
        }
    }
}

/// Of the two encodings of the Centrifuge protocol: the one that the client's subprotocol names,
/// or else its query, or else `other`.
fn choose_encoding(request: &HttpRequest<'_>, other: Dialect) -> Chosen {
    let subprotocol = request.choose_subprotocol(&[
        Dialect::CentrifugeProtobuf.subprotocol(),
        Dialect::CentrifugeJson.subprotocol(),
    ]);
    let spoken = subprotocol.and_then(Dialect::from_subprotocol);
    let parameters = || request.query().unwrap_or_default().split('&');
    let wants_protobuf =
        parameters().any(|one| matches!(one, "format=protobuf" | "cf_protocol=protobuf"));
    let wants_frames = parameters().any(|one| one == "cf_ws_frame_ping_pong=true");
    let dialect = spoken.unwrap_or(match wants_protobuf {
        true => Dialect::CentrifugeProtobuf,
        false => other,
    });
    Chosen {
        dialect,
        subprotocol,
        form: None,
        pings: match wants_frames {
            true => Pings::WebSocket,
            false => Pings::Dialect,
        },
    }
}

/// In the server's order of preference (RFC 6455 §4.2.2).
const SUBPROTOCOLS: [&str; 3] = [
    Dialect::NativeJson.subprotocol(),
    Dialect::MessagePack.subprotocol(),
    Dialect::JsonRpc.subprotocol(),
];

/// The dialect that `dialect=…` names.
fn by_query(query: Option<&str>) -> Result<Option<Dialect>, Refusal> {
    let parameters = query.unwrap_or_default().split('&');
    let mut words = parameters.filter_map(|parameter| parameter.strip_prefix("dialect="));
    let named = match words.next() {
        None => return Ok(None),
        Some(name) => Dialect::OWN
            .into_iter()
            .find(|dialect| word(*dialect) == name),
    };
    match (named, words.next()) {
        (_, Some(_)) => Err(bad("the query names the dialect twice".to_owned())),
        (None, None) => Err(bad("dialect is json, msgpack or jsonrpc".to_owned())),
        (named, None) => Ok(named),
    }
}

fn word(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::NativeJson => "json",
        Dialect::MessagePack => "msgpack",
        Dialect::JsonRpc => "jsonrpc",
        Dialect::CentrifugeJson | Dialect::CentrifugeProtobuf => "centrifuge",
    }
}

fn contradiction(one: &str, dialect: Dialect, other: &str, another: Dialect) -> Refusal {
    let (dialect, another) = (word(dialect), word(another));
    bad(format!(
        "{one} asks for the dialect {dialect}, {other} for {another}"
    ))
}

fn bad(reason: String) -> Refusal {
    Refusal::new(400, reason)
}
