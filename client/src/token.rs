//! Tokens: who the client is, asked of its user before each connection and when one expires.
//!
//! Invariant: a provider is asked by one connection at a time. Used by the options, the rooms and
//! the driver.

use crate::error::BoxError;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

/// What a provider of tokens returns.
pub type TokenFuture = Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send>>;

/// Gives tokens.
#[derive(Clone)]
pub struct TokenProvider(Arc<dyn Fn() -> TokenFuture + Send + Sync>);

impl TokenProvider {
    /// Always the same.
    pub fn fixed(token: impl Into<String>) -> TokenProvider {
        let token: Arc<str> = token.into().into();
        TokenProvider::new(move || {
            let token = token.to_string();
            async move { Ok(token) }
        })
    }

    /// One from a function, which is asked before each connection, and when a token expires.
    pub fn new<F>(provider: impl Fn() -> F + Send + Sync + 'static) -> TokenProvider
    where
        F: Future<Output = Result<String, BoxError>> + Send + 'static,
    {
        TokenProvider(Arc::new(move || Box::pin(provider())))
    }

    pub(crate) fn ask(&self) -> TokenFuture {
        (self.0)()
    }
}

impl fmt::Debug for TokenProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenProvider").finish_non_exhaustive()
    }
}

/// How a token is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TokenIn {
    /// `Authorization: Bearer`.
    #[default]
    Header,
    /// Beside the subprotocol, where a proxy takes the header for itself.
    Subprotocol,
    /// In the address, where servers and proxies may log it.
    Query,
    /// As the first message, before anything else: the one way in which the server can say why it
    /// refuses a token.
    Message,
}
