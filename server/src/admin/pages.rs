//! The pages of the admin port: the dashboard, the test console, and the files that they consist
//! of, which are part of the program.
//!
//! Invariant: they hold nothing of this server but the ports of its clients, and load nothing from
//! elsewhere: their policy allows scripts and styles from these files alone, the admin API, and, in
//! the console, the ports of clients on the host that the browser asked for. Made by `serve`,
//! served by the port.

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HOST, HeaderMap, IF_NONE_MATCH,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use shardcast_engine::{Config, ListenAddress};
use std::borrow::Cow;
use std::net::Ipv6Addr;

/// All files, ready to be served.
#[derive(Debug)]
pub(crate) struct Pages {
    files: Vec<PageFile>,
}

/// One file.
#[derive(Debug)]
pub(crate) struct PageFile {
    path: &'static str,
    media: &'static str,
    body: Cow<'static, str>,
    etag: HeaderValue,
    /// Where its scripts may connect besides the admin port, on the host that was asked for.
    clients: ClientPorts,
}

/// The ports of clients, where clients connect by TCP.
#[derive(Clone, Copy, Debug, Default)]
struct ClientPorts {
    plain: Option<u16>,
    secure: Option<u16>,
}

impl Pages {
    /// Those of a server whose listeners got these addresses.
    pub(crate) fn new(config: &Config, addresses: &[ListenAddress]) -> Pages {
        let mut clients = ClientPorts::default();
        for (listener, address) in config.listeners.iter().zip(addresses) {
            if let ListenAddress::Ip(address) = address {
                let port = match listener.tls {
                    Some(_) => &mut clients.secure,
                    None => &mut clients.plain,
                };
                port.get_or_insert(address.port());
            }
        }
        Pages::of(clients)
    }

    fn of(clients: ClientPorts) -> Pages {
        let files = FILES.iter();
        Pages {
            files: files.map(|file| PageFile::new(file, clients)).collect(),
        }
    }

    /// The file of a path.
    pub(crate) fn file(&self, path: &str) -> Option<&PageFile> {
        self.files.iter().find(|file| file.path == path)
    }
}

impl Default for Pages {
    /// Where no client connects.
    fn default() -> Pages {
        Pages::of(ClientPorts::default())
    }
}

impl PageFile {
    fn new(
        (path, media, body): &(&'static str, &'static str, &'static str),
        of: ClientPorts,
    ) -> Self {
        let (body, clients) = match *path {
            CONSOLE => (Cow::Owned(of.written_into(body)), of),
            _ => (Cow::Borrowed(*body), ClientPorts::default()),
        };
        let digest = digest(&SHA256, body.as_bytes());
        let digits = digest.as_ref()[..16].iter();
        let etag: String = digits.map(|byte| format!("{byte:02x}")).collect();
        PageFile {
            path,
            media,
            etag: HeaderValue::try_from(format!("\"{etag}\"")).expect("digits and quotes"),
            body,
            clients,
        }
    }

    /// What a request with these headers is answered.
    pub(crate) fn answer(&self, headers: &HeaderMap) -> Response {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let policy = HeaderValue::try_from(self.clients.policy(host.unwrap_or_default()));
        let common = [
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (ETAG, self.etag.clone()),
            (CONTENT_SECURITY_POLICY, policy.expect("checked characters")),
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            (OPENER_POLICY, HeaderValue::from_static("same-origin")),
            (RESOURCE_POLICY, HeaderValue::from_static("same-origin")),
        ];
        let known = headers.get(IF_NONE_MATCH).map(HeaderValue::as_bytes);
        if known.is_some_and(|known| has(known, self.etag.as_bytes())) {
            return (StatusCode::NOT_MODIFIED, common).into_response();
        }
        let media = [(CONTENT_TYPE, self.media)];
        (common, media, self.body.clone().into_owned()).into_response()
    }
}

/// Whether a list of entity tags has this one (RFC 9110, 13.1.2: weak ones are as good).
fn has(list: &[u8], etag: &[u8]) -> bool {
    let mut tags = list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    tags.any(|tag| tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == etag)
}

impl ClientPorts {
    /// The console, which connects there.
    fn written_into(self, page: &str) -> String {
        let digits = |port: Option<u16>| port.map(|port| port.to_string()).unwrap_or_default();
        page.replace("@plain@", &digits(self.plain))
            .replace("@secure@", &digits(self.secure))
    }

    /// What a page may load, run and connect to, where the browser names the host so.
    fn policy(self, host: &str) -> String {
        let mut policy = POLICY.to_owned();
        let Some(name) = name_of(host) else {
            return policy;
        };
        for (scheme, port) in [("ws", self.plain), ("wss", self.secure)] {
            if let Some(port) = port {
                policy += &format!(" {scheme}://{name}:{port}");
            }
        }
        policy
    }
}

/// The host of a header `Host`, as a source of a policy: a source cannot be an address of IPv6, so
/// there only the port is fixed. `None`: it is none.
fn name_of(host: &str) -> Option<&str> {
    if let Some(rest) = host.strip_prefix('[') {
        let (address, _) = rest.split_once(']')?;
        return address.parse::<Ipv6Addr>().is_ok().then_some("*");
    }
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    let stands = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let fits = !name.is_empty() && name.len() <= 255 && name.bytes().all(stands);
    fits.then_some(name)
}

const CONSOLE: &str = "/console";

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// A row of [`FILES`].
macro_rules! file {
    ($path:literal $media:ident $name:literal) => {
        ($path, $media, include_str!(concat!("pages/", $name)))
    };
}

/// Path, media type and content.
const FILES: &[(&str, &str, &str)] = &[
    file!("/" HTML "dashboard.html"),
    file!("/console" HTML "console.html"),
    file!("/pages/page.css" STYLE "page.css"),
    file!("/pages/page.js" SCRIPT "page.js"),
    file!("/pages/calls.js" SCRIPT "calls.js"),
    file!("/pages/chart.js" SCRIPT "chart.js"),
    file!("/pages/samples.js" SCRIPT "samples.js"),
    file!("/pages/dashboard.js" SCRIPT "dashboard.js"),
    file!("/pages/lists.js" SCRIPT "lists.js"),
    file!("/pages/console.js" SCRIPT "console.js"),
    file!("/pages/dialects.js" SCRIPT "dialects.js"),
    file!("/pages/messagepack.js" SCRIPT "messagepack.js"),
    file!("/pages/timeline.js" SCRIPT "timeline.js"),
    file!("/pages/crowd.js" SCRIPT "crowd.js"),
    (
        "/pages/icon.svg",
        "image/svg+xml",
        include_str!("pages/icon.svg"),
    ),
];

const _: () = {
    let (mut bytes, mut index) = (0, 0);
    while index < FILES.len() {
        bytes += FILES[index].2.len();
        index += 1;
    }
    assert!(bytes <= BYTES_MAX, "the pages are to stay small");
};
/// All files together, in bytes.
const BYTES_MAX: usize = 84 << 10;

/// Nothing inline, nothing from elsewhere, no frame around it, and no text that becomes markup. It
/// ends with where scripts may connect.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'; connect-src 'self'";

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(headers: &[(HeaderName, &str)]) -> HeaderMap {
        let headers = headers.iter();
        headers
            .map(|(name, value)| (name.clone(), value.parse().expect("a value")))
            .collect()
    }

    #[test]
    fn a_policy_lets_the_console_reach_the_clients_port_of_its_own_host_alone() {
        let ports = ClientPorts {
            plain: Some(8000),
            secure: Some(8443),
        };
        for (host, more) in [
            (
                "127.0.0.1:8001",
                " ws://127.0.0.1:8000 wss://127.0.0.1:8443",
            ),
            (
                "a-b.example",
                " ws://a-b.example:8000 wss://a-b.example:8443",
            ),
            ("[::1]:8001", " ws://*:8000 wss://*:8443"),
            ("", ""),
            ("[::1", ""),
            ("[x]:1", ""),
            ("a b", ""),
            ("a;script-src *", ""),
            ("*.example", ""),
        ] {
            assert_eq!(ports.policy(host), format!("{POLICY}{more}"), "{host}");
        }
        let dashboard = Pages::of(ports);
        let dashboard = dashboard.file("/").expect("it is there");
        let answer = dashboard.answer(&asked(&[(HOST, "localhost")]));
        assert_eq!(answer.headers()[CONTENT_SECURITY_POLICY], POLICY);
    }

    #[test]
    fn what_a_browser_has_is_not_sent_again() {
        let pages = Pages::of(ClientPorts {
            plain: Some(8000),
            secure: None,
        });
        for file in &pages.files {
            let etag = file.etag.to_str().expect("text");
            for (known, status) in [
                (etag.to_owned(), 304),
                (format!("W/{etag}"), 304),
                (format!("\"x\", {etag}"), 304),
                ("*".to_owned(), 304),
                ("\"x\"".to_owned(), 200),
            ] {
                let answer = file.answer(&asked(&[(IF_NONE_MATCH, &known)]));
                assert_eq!(answer.status().as_u16(), status, "{} {known}", file.path);
                assert_eq!(answer.headers()[ETAG], file.etag);
            }
        }
        let console = pages.file(CONSOLE).expect("it is there");
        assert!(
            console
                .body
                .contains("data-plain=\"8000\" data-secure=\"\"")
        );
        let other = Pages::default();
        let other = other.file(CONSOLE).expect("it is there");
        assert_ne!(console.etag, other.etag);
    }

    /// What [`POLICY`] forbids would only fail in a browser.
    #[test]
    fn files_hold_no_markup_that_the_policy_forbids() {
        for (path, _, body) in FILES {
            for forbidden in [
                "style=\"",
                "onclick=",
                "<style",
                "innerHTML",
                "eval(",
                "https://",
                "<script>",
            ] {
                assert!(!body.contains(forbidden), "{path}: {forbidden}");
            }
        }
    }
}
