//! Tokens: who the client is, asked of its user before each connection and when one expires.
//!
//! Invariant: a provider is asked by one connection at a time. Used by the options, the rooms and
//! the driver.

use crate::error::BoxError;
use std::fmt;
use std::future::{poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

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

    /// Asks. A provider that panics has no token, and harms nobody else.
    pub(crate) fn ask(&self) -> TokenFuture {
        let panicked = || Err("the provider of tokens panicked".into());
        let Ok(mut asked) = catch_unwind(AssertUnwindSafe(|| (self.0)())) else {
            return Box::pin(ready(panicked()));
        };
        Box::pin(poll_fn(move |cx| {
            let polled = catch_unwind(AssertUnwindSafe(|| asked.as_mut().poll(cx)));
            polled.unwrap_or_else(|_| Poll::Ready(panicked()))
        }))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Waker};

    #[test]
    fn a_provider_that_panics_has_no_token() {
        async fn panics() -> Result<String, BoxError> {
            panic!("a provider that fails");
        }
        let providers = [
            TokenProvider::new(panics),
            TokenProvider::new(|| -> std::future::Ready<Result<String, BoxError>> {
                panic!("a provider that fails at once")
            }),
        ];
        for provider in providers {
            let mut asked = provider.ask();
            let polled = asked.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(polled, Poll::Ready(Err(_))));
        }
        let mut asked = TokenProvider::fixed("token").ask();
        let polled = asked.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(Ok(token)) if token == "token"));
    }
}
