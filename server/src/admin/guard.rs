//! Who may use the admin port beyond probes: checked before any route is.
//!
//! Invariant: `/health` and `/ready` are answered to everybody, whatever else is asked: they tell
//! nothing, and nothing here makes them wait. Everything else, but for the files of the pages,
//! needs the token or a certificate, if operators have such;
//! a browser's request needs to come from a page of the port itself; and where the port is on the
//! loopback interface, it needs to name the port by an address or `localhost`, so that no site can
//! have its own name point here (DNS rebinding).

use crate::admin::problem::AdminProblem;
use crate::admin::tls::Proof;
use crate::admin::token::AdminToken;
use crate::auth::sources::bearer;
use crate::limits::gcra::Rate;
use axum::http::HeaderValue;
use axum::http::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Instant;

/// The checks, and what they have counted.
#[derive(Debug)]
pub(crate) struct Guard {
    /// The port listens on the loopback interface alone.
    is_loopback: bool,
    token: RwLock<Option<AdminToken>>,
    certificates: OperatorCertificates,
    started: Instant,
    /// When the buckets of requests and of refusals are full again.
    full_at: Mutex<[u64; 2]>,
}

/// Whether somebody issues certificates to operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OperatorCertificates {
    NotAsked,
    /// Who shows one needs no token.
    Asked,
}

impl Guard {
    /// Of a port on this address.
    pub(crate) fn new(
        address: IpAddr,
        token: Option<AdminToken>,
        certificates: OperatorCertificates,
    ) -> Guard {
        Guard {
            is_loopback: address.to_canonical().is_loopback(),
            token: RwLock::new(token),
            certificates,
            started: Instant::now(),
            full_at: Mutex::default(),
        }
    }

    /// From here on this token counts.
    pub(crate) fn replace_token(&self, token: AdminToken) {
        let mut current = self.token.write().unwrap_or_else(PoisonError::into_inner);
        *current = Some(token);
    }

    /// Whether a request with these headers is served, over a connection that proved this.
    ///
    /// # Errors
    /// Its answer.
    pub(crate) fn check(&self, headers: &HeaderMap, proof: Proof) -> Result<(), AdminProblem> {
        self.check_page(headers)?;
        if proof == Proof::None {
            self.check_token(headers)?;
        }
        self.take(0, REQUESTS)
    }

    /// Whether the files of the pages are served to a request with these headers. They tell nothing
    /// of the server, and a browser shows no token when it is told to go somewhere.
    ///
    /// # Errors
    /// Its answer.
    pub(crate) fn check_visit(&self, headers: &HeaderMap) -> Result<(), AdminProblem> {
        self.check_page(headers)?;
        self.take(0, REQUESTS)
    }

    fn check_page(&self, headers: &HeaderMap) -> Result<(), AdminProblem> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let host = text(&HOST).unwrap_or_default();
        if self.is_loopback && !host.is_empty() && !names_this_host(host) {
            return Err(AdminProblem::forbidden(
                "this port is for its own host: name it by an address or localhost",
            ));
        }
        let same = |origin: &str| {
            let page = origin
                .strip_prefix("http://")
                .or(origin.strip_prefix("https://"));
            page.is_some_and(|page| page.eq_ignore_ascii_case(host))
        };
        let foreign = headers.get_all(ORIGIN).iter().any(|origin| {
            let origin = origin.to_str();
            !origin.is_ok_and(same)
        });
        let site = headers.get("sec-fetch-site").map(|site| site.as_bytes());
        let crossed = matches!(site, Some(b"cross-site" | b"same-site"));
        if foreign || crossed {
            return Err(AdminProblem::forbidden(
                "pages of other origins may not use this port",
            ));
        }
        Ok(())
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), AdminProblem> {
        let token = self.token.read().unwrap_or_else(PoisonError::into_inner);
        let Some(token) = token.as_ref() else {
            return match self.certificates {
                OperatorCertificates::NotAsked => Ok(()),
                OperatorCertificates::Asked => Err(AdminProblem::uncertified()),
            };
        };
        let given = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let by_key = || headers.get("x-api-key").map(HeaderValue::as_bytes);
        let shown = given
            .and_then(|given| bearer(given).or_else(|| api_key(given)))
            .or_else(by_key)
            .and_then(|shown| str::from_utf8(shown).ok());
        if shown.is_some_and(|shown| token.is(shown)) {
            return Ok(());
        }
        // Whoever guesses is slowed, and whoever knows the token is not.
        self.take(1, REFUSALS)?;
        Err(AdminProblem::unauthorized())
    }

    fn take(&self, bucket: usize, (per_second, burst): (u64, u64)) -> Result<(), AdminProblem> {
        let Some(rate) = Rate::new(per_second, burst) else {
            return Ok(());
        };
        let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        match rate.take(full_at[bucket], now, 1) {
            Ok(then) => {
                full_at[bucket] = then;
                Ok(())
            }
            Err(wait) => Err(AdminProblem::too_many(wait.milliseconds().div_ceil(1_000))),
        }
    }
}

/// The token of a header `Authorization: apikey TOKEN`, as libraries for Centrifugo write it.
fn api_key(value: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"apikey ";
    let (scheme, key) = value.split_at_checked(SCHEME.len())?;
    scheme
        .eq_ignore_ascii_case(SCHEME)
        .then(|| key.trim_ascii())
}

/// Requests a second that are served, and at once.
const REQUESTS: (u64, u64) = (1_000, 1_000);
/// Wrong tokens a second that are answered 401, and at once; more are answered 429.
const REFUSALS: (u64, u64) = (5, 20);

/// `127.0.0.1:8001`, `[::1]`, `localhost:8001`.
fn names_this_host(host: &str) -> bool {
    let name = match host.rfind(':') {
        Some(at) if !host[at..].contains(']') => &host[..at],
        _ => host,
    };
    let inner = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let is_address = inner.unwrap_or(name).parse::<IpAddr>().is_ok();
    let name = name.to_ascii_lowercase();
    is_address || name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, StatusCode};

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn token() -> AdminToken {
        let path = std::env::temp_dir().join(format!("shardcast-guard-{}", std::process::id()));
        std::fs::write(&path, TOKEN).expect("a temporary file");
        AdminToken::from_file(&path).expect("a token")
    }

    /// A guard that asks for nothing.
    fn open(address: IpAddr) -> Guard {
        Guard::new(address, None, OperatorCertificates::NotAsked)
    }

    #[test]
    fn a_certificate_or_a_token_will_do_and_neither_will_not() {
        let there = "192.0.2.1".parse().expect("an address");
        for (token, without) in [(None, 403), (Some(token()), 401)] {
            let guard = Guard::new(there, token, OperatorCertificates::Asked);
            let headers = HeaderMap::new();
            assert!(guard.check(&headers, Proof::Certificate).is_ok());
            let refused = guard.check(&headers, Proof::None).expect_err("no proof");
            assert_eq!(refused.status().as_u16(), without);
        }
    }

    #[track_caller]
    fn check(guard: &Guard, headers: &[(&str, &str)], expected: Option<StatusCode>) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            map.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        let status = guard
            .check(&map, Proof::None)
            .err()
            .map(|problem| problem.status());
        assert_eq!(status, expected, "{headers:?}");
    }

    const NO: Option<StatusCode> = Some(StatusCode::FORBIDDEN);

    /// Headers, and what a port on the loopback interface and one elsewhere answer.
    type PageRow = (
        &'static [(&'static str, &'static str)],
        Option<StatusCode>,
        Option<StatusCode>,
    );

    const PAGES: &[PageRow] = &[
        (&[("Host", "127.0.0.1:8001")], None, None),
        (&[("Host", "localhost")], None, None),
        (&[("Host", "[::1]:8001")], None, None),
        (&[], None, None),
        (&[("Host", "evil.example:8001")], NO, None),
        (&[("Host", "127.0.0.1.evil.example")], NO, None),
        (&[("Host", "localhost.evil.example")], NO, None),
        (
            &[
                ("Host", "127.0.0.1:8001"),
                ("Origin", "http://127.0.0.1:8001"),
            ],
            None,
            None,
        ),
        (
            &[
                ("Host", "127.0.0.1:8001"),
                ("Origin", "http://127.0.0.1:8000"),
            ],
            NO,
            NO,
        ),
        (&[("Host", "127.0.0.1:8001"), ("Origin", "null")], NO, NO),
        (
            &[
                ("Host", "127.0.0.1:8001"),
                ("Origin", "http://127.0.0.1:8001@evil.example"),
            ],
            NO,
            NO,
        ),
        (
            &[
                ("Host", "127.0.0.1:8001"),
                ("Origin", "http://127.0.0.1:8001"),
                ("Origin", "http://evil.example"),
            ],
            NO,
            NO,
        ),
        (
            &[("Host", "127.0.0.1"), ("Sec-Fetch-Site", "cross-site")],
            NO,
            NO,
        ),
        (
            &[("Host", "127.0.0.1"), ("Sec-Fetch-Site", "same-site")],
            NO,
            NO,
        ),
        (
            &[("Host", "127.0.0.1"), ("Sec-Fetch-Site", "same-origin")],
            None,
            None,
        ),
        (
            &[("Host", "127.0.0.1"), ("Sec-Fetch-Site", "none")],
            None,
            None,
        ),
    ];

    #[test]
    fn no_page_of_another_site_reaches_the_port() {
        let here: IpAddr = "127.0.0.1".parse().expect("an address");
        let there: IpAddr = "0.0.0.0".parse().expect("an address");
        let (near, far) = (open(here), open(there));
        for (headers, on_loopback, elsewhere) in PAGES {
            let (on_loopback, elsewhere) = (*on_loopback, *elsewhere);
            check(&near, headers, on_loopback);
            check(&far, headers, elsewhere);
        }
    }

    #[test]
    fn whoever_guesses_is_slowed_and_whoever_knows_is_not() {
        let here = "127.0.0.1".parse().expect("an address");
        let guard = Guard::new(here, Some(token()), OperatorCertificates::NotAsked);
        let good = format!("Bearer {TOKEN}");
        for wrong in ["", "Bearer", "Bearer x", &format!("Basic {TOKEN}"), TOKEN] {
            check(
                &guard,
                &[("Authorization", wrong)],
                Some(StatusCode::UNAUTHORIZED),
            );
        }
        check(
            &guard,
            &[("authorization", &good.replace("Bearer", "bearer"))],
            None,
        );
        let mut map = HeaderMap::new();
        map.insert(AUTHORIZATION, HeaderValue::from_static("Bearer guess"));
        let answers = (0..40).map(|_| guard.check(&map, Proof::None).expect_err("wrong").status());
        let slowed = answers.filter(|status| *status == StatusCode::TOO_MANY_REQUESTS);
        assert!(slowed.count() > 0);
        check(&guard, &[("Authorization", &good)], None);
        // So many in a moment are too many for anybody.
        map.insert(
            AUTHORIZATION,
            HeaderValue::from_str(&good).expect("a value"),
        );
        assert!((0..2_000).any(|_| guard.check(&map, Proof::None).is_err()));
    }
}
