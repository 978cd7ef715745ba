//! What runs before and after the handlers of the types that a pattern fits, in the order of
//! registration.

use crate::dispatch::pattern::Pattern;
use crate::session::context::Context;
use crate::wire::failure::Failure;
use crate::wire::from_data::Data;
use shardcast_protocol::dialect::Problem;
use std::fmt;
use std::sync::Arc;

/// A request as middleware sees it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// The type (JSON-RPC: the method).
    pub kind: &'r str,
    /// The room that the request names, not checked yet.
    pub room: Option<&'r str>,
    /// The data.
    pub data: Data<'r>,
}

/// Whether a request goes on to the next middleware, and at last to its handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Run the next middleware, then the handler.
    Continue,
    /// Stop here: the middleware has answered the request ([`Context::reply`]), or the answer is
    /// `null`.
    Answered,
}

pub(crate) type Before =
    dyn Fn(&mut Context<'_>, &Request<'_>) -> Result<Flow, Failure> + Send + Sync;
pub(crate) type After = dyn Fn(&mut Context<'_>, &str, Result<(), &Problem>) + Send + Sync;

/// One middleware.
#[derive(Clone)]
pub(crate) struct Middleware {
    pub(crate) pattern: Pattern,
    pub(crate) act: Act,
}

#[derive(Clone)]
pub(crate) enum Act {
    Before(Arc<Before>),
    After(Arc<After>),
}

impl fmt::Debug for Middleware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = match self.act {
            Act::Before(_) => "before",
            Act::After(_) => "after",
        };
        write!(f, "{when} {}", self.pattern)
    }
}
