//! A handler without its types: data in, an answer out. On the shard it runs at once and must not
//! block; in the background it is a future on the runtime of background handlers.

use crate::dispatch::options::Options;
use crate::session::background::Background;
use crate::session::context::Context;
use crate::wire::encoding::{self, Nesting};
use crate::wire::failure::Failure;
use crate::wire::from_data::{Data, FromData};
use serde::Serialize;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

/// What answers the requests of one type.
#[derive(Clone)]
pub struct Handler(pub(crate) HandlerKind);

#[derive(Clone)]
pub(crate) enum HandlerKind {
    Shard(Arc<ShardFn>),
    Background(Arc<BackgroundFn>),
}

/// Answers by [`Context::reply`], or fails.
pub(crate) type ShardFn = dyn Fn(&mut Context<'_>, &Data<'_>) -> Result<(), Failure> + Send + Sync;

/// Reads the data at once, so that data that does not fit is answered at once.
pub(crate) type BackgroundFn =
    dyn Fn(Background, &Data<'_>) -> Result<HandlerFuture, Failure> + Send + Sync;

/// The future of a handler; its output is the encoded answer.
pub(crate) type HandlerFuture = Pin<Box<dyn Future<Output = Result<Vec<u8>, Failure>> + Send>>;

impl Handler {
    /// Runs on the shard's thread, between two messages: for what takes microseconds. The returned
    /// value is the answer, unless the handler has called [`Context::reply`] before.
    pub fn on_shard<T, R, F>(handler: F) -> Handler
    where
        T: FromData,
        R: Serialize,
        F: Fn(&mut Context<'_>, T) -> Result<R, Failure> + Send + Sync + 'static,
    {
        Handler(HandlerKind::Shard(Arc::new(move |cx, data| {
            let answer = handler(cx, T::from_data(data)?)?;
            if cx.is_answered() {
                return Ok(());
            }
            cx.reply(&answer)
        })))
    }

    /// Runs on the runtime of background handlers: for what waits (a database, another service). It
    /// ends when the client goes or its time is over.
    pub fn in_background<T, R, F, W>(handler: F) -> Handler
    where
        T: FromData,
        R: Serialize,
        F: Fn(Background, T) -> W + Send + Sync + 'static,
        W: Future<Output = Result<R, Failure>> + Send + 'static,
    {
        Handler(HandlerKind::Background(Arc::new(move |cx, data| {
            let encoding = cx.dialect().encoding();
            let work = handler(cx, T::from_data(data)?);
            Ok(Box::pin(async move {
                let answer = work.await?;
                let mut bytes = Vec::new();
                encoding::write(encoding, Nesting::Answer, &mut bytes, &answer)?;
                Ok(bytes)
            }))
        })))
    }
}

/// A handler, and the type and the options that it is registered with.
#[derive(Clone, Debug)]
pub(crate) struct Registered {
    pub(crate) kind: Box<str>,
    pub(crate) handler: Handler,
    pub(crate) options: Options,
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            HandlerKind::Shard(_) => "Handler on the shard",
            HandlerKind::Background(_) => "Handler in the background",
        })
    }
}
