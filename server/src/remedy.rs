//! What an operator may do about a socket that the kernel refuses, in a few words behind the error.
//! For `serve`.

use std::io;
use std::net::SocketAddr;

/// The first port that needs no capability, unless the sysctl `net.ipv4.ip_unprivileged_port_start`
/// says otherwise (`ip(7)`).
const PORT_UNPRIVILEGED: u16 = 1024;

/// What to do about a socket that the kernel refuses.
pub(crate) fn remedy(error: &io::Error, address: SocketAddr, flag: &str) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("; another program has this address: stop it, or choose another with {flag}")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("; no interface of this host has this address: choose another with {flag}")
        }
        io::ErrorKind::PermissionDenied if (1..PORT_UNPRIVILEGED).contains(&address.port()) => {
            format!(
                "; ports below {PORT_UNPRIVILEGED} need CAP_NET_BIND_SERVICE: choose a higher one with {flag}"
            )
        }
        io::ErrorKind::PermissionDenied => {
            "; a security module (SELinux, AppArmor) or a seccomp filter forbids it: see its log"
                .to_owned()
        }
        _ => String::new(),
    }
}

/// What to do about a socket file that cannot be made.
pub(crate) fn file_remedy(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program listens there, or a file that is no socket is in the way".to_owned()
        }
        io::ErrorKind::NotFound => "; make its folder first".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "; this user may not make files in that folder".to_owned()
        }
        _ => String::new(),
    }
}
