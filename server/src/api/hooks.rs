//! What an application does when connections come and go.

use crate::admission::arrival::ConnectFn;
use crate::admission::connect::Connect;
use crate::session::context::Context;
use crate::session::identity::Identity;
use crate::session::resuming::Resumed;
use crate::wire::failure::Failure;
use shardcast_engine::{CloseReason, Missed, Refusal, Topic};
use std::sync::Arc;

/// The application's hooks; each is optional.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    pub(crate) connect: Option<ConnectHook>,
    pub(crate) opened: Option<Arc<OnOpened>>,
    pub(crate) disconnect: Option<Arc<OnDisconnect>>,
    pub(crate) missed: Option<Arc<OnMissed>>,
    pub(crate) resumed: Option<Arc<OnResumed>>,
}

/// Who decides about a client.
#[derive(Clone)]
pub(crate) enum ConnectHook {
    /// At once.
    OnShard(Arc<OnConnect>),
    /// Later.
    InBackground(Arc<ConnectFn>),
}

pub(crate) type OnConnect = dyn Fn(&Connect<'_>) -> Result<Identity, Refusal> + Send + Sync;
pub(crate) type OnOpened = dyn Fn(&mut Context<'_>) -> Result<(), Failure> + Send + Sync;
pub(crate) type OnDisconnect = dyn Fn(&mut Context<'_>, CloseReason) + Send + Sync;
pub(crate) type OnResumed = dyn Fn(&mut Context<'_>, &Resumed) + Send + Sync;
pub(crate) type OnMissed = dyn Fn(&mut Context<'_>, Topic<'_>, Missed) + Send + Sync;
