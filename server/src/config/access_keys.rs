//! The keys of section `[access]`, part of the table of keys.

use super::key::{Key, ValueKind};

pub(super) const ORIGINS: Key = Key {
    name: "access.origins",
    flag: None,
    what: "Web pages that may connect besides the server's own. Its own are those of the host that the client asked for, on the port that it asked for or the admin port; a host's name counts only for clients with public addresses, an address and localhost for all. any lets every page in. Clients that are no browsers name no origin, and are not asked for one.",
    kind: ValueKind::Other(
        "own, any, or up to 64 origins, separated by commas, such as https://example.com, http://example.com:8080 or https://*.example.com",
        |settings| &mut settings.origins,
    ),
};

pub(super) const TRUSTED_PROXIES: Key = Key {
    name: "access.trusted_proxies",
    flag: None,
    what: "Proxies in front of the server. What they say about a client's address counts: X-Forwarded-For or Forwarded, of which the last address that is no trusted proxy's is the client's, and the PROXY protocol. What anybody else says counts for nothing.",
    kind: ValueKind::Other(PROXIES_RULE, |settings| &mut settings.proxies),
};

pub(super) const PROXY_PROTOCOL: Key = Key {
    name: "access.proxy_protocol",
    flag: None,
    what: "Whether each connection of server.listen and tls.listen begins with a PROXY header, version 1 or 2 (haproxy: send-proxy, send-proxy-v2), before TLS. One without, or from a proxy that trusted_proxies does not name, is closed.",
    kind: ValueKind::Other("off or on", |settings| &mut settings.proxy_protocol),
};

pub(super) const ALLOW: Key = Key {
    name: "access.allow",
    flag: None,
    what: "Networks that clients may connect from; any is everywhere. Others are answered 403 before they have said anything, and over TLS closed before the handshake. SIGHUP reads it again.",
    kind: ValueKind::Other(ALLOW_RULE, |settings| &mut settings.allow),
};

pub(super) const BLOCK: Key = Key {
    name: "access.block",
    flag: None,
    what: "Networks that clients may not connect from, whatever allow says. SIGHUP reads it again.",
    kind: ValueKind::Other(BLOCK_RULE, |settings| &mut settings.block),
};

const PROXIES_RULE: &str = "none, or networks and addresses such as 10.0.0.0/8 or ::1, and unix for Unix sockets, separated by commas";
const ALLOW_RULE: &str = "any, or up to 10000 networks and addresses such as 10.0.0.0/8 or 2001:db8::7, separated by commas";
const BLOCK_RULE: &str = "none, or up to 10000 networks and addresses such as 10.0.0.0/8 or 2001:db8::7, separated by commas";
