//! The sysctls of TCP that a server with many clients meets.

use super::files::at_least;
use super::finding::{Finding, HostSetting};
use super::needs::HostNeeds;
use super::tree::{HostTree, list, numbers};

/// Connections that may wait to be accepted: what the server asks for.
const BACKLOG: u64 = 65_535;
/// The kernel's default for the send buffer that a socket begins with, in bytes.
const SEND_BUFFER_BYTES: u64 = 16 << 10;

pub(super) fn findings(tree: &HostTree, needs: &HostNeeds) -> Vec<Finding> {
    vec![
        at_least(
            tree,
            "net.core.somaxconn",
            BACKLOG,
            "connects that may wait when everybody comes back at once; what does not fit is tried again after seconds",
        ),
        at_least(
            tree,
            "net.ipv4.tcp_max_syn_backlog",
            BACKLOG,
            "handshakes under way in the same moment; beyond it SYN cookies, which lose TCP options",
        ),
        ports(tree, needs),
        tcp_pages(tree, needs),
        receive_buffers(tree),
        send_buffers(tree),
        tracked(tree, needs),
    ]
}

fn ports(tree: &HostTree, needs: &HostNeeds) -> Finding {
    const NAME: &str = "net.ipv4.ip_local_port_range";
    let listening: Vec<String> = needs.ports.iter().map(u16::to_string).collect();
    let setting = HostSetting::new(
        NAME,
        format!("without {}, or those reserved", listening.join(", ")),
        "a client's socket that happens to have a listening port keeps the server from starting",
    );
    let Some(found) = tree.sysctl(NAME) else {
        return setting.unknown("not to be seen from here");
    };
    let [low, high] = numbers(&found)[..] else {
        return setting.unknown(found);
    };
    let range = low..=high;
    let reserved = tree.sysctl("net.ipv4.ip_local_reserved_ports");
    let reserved = list(&reserved.unwrap_or_default()).unwrap_or_default();
    let is_taken =
        |port: &u16| range.contains(&u64::from(*port)) && !reserved.contains(&usize::from(*port));
    let inside = needs.ports.iter().any(is_taken);
    let found = format!("{low} {high}");
    match inside {
        false => setting.ok(found),
        true => setting.warns(
            found,
            format!(
                "sysctl -w net.ipv4.ip_local_reserved_ports={}",
                listening.join(",")
            ),
        ),
    }
}

/// The third value is where the kernel refuses memory to sockets.
fn tcp_pages(tree: &HostTree, needs: &HostNeeds) -> Finding {
    const NAME: &str = "net.ipv4.tcp_mem";
    let wanted = needs.connections_max as u64;
    let setting = HostSetting::new(
        NAME,
        format!("a third value of {wanted} pages or more"),
        "a page for each connection that has something under way; beyond it the kernel drops",
    );
    let Some(found) = tree.sysctl(NAME) else {
        return setting.unknown("not to be seen from here");
    };
    let [low, pressure, high] = numbers(&found)[..] else {
        return setting.unknown(found);
    };
    let found = format!("{low} {pressure} {high}");
    match high >= wanted {
        true => setting.ok(found),
        false => {
            let (low, pressure) = (wanted / 2, wanted / 4 * 3);
            setting.warns(
                found,
                format!("sysctl -w {NAME}=\"{low} {pressure} {wanted}\""),
            )
        }
    }
}

fn receive_buffers(tree: &HostTree) -> Finding {
    let setting = HostSetting::new(
        "net.ipv4.tcp_rmem",
        "any",
        "a receive buffer holds what a client sends faster than it is read; the kernel sizes it",
    );
    match tree.sysctl("net.ipv4.tcp_rmem") {
        Some(found) => setting.ok(numbers_of(&found)),
        None => setting.unknown("not to be seen from here"),
    }
}

fn send_buffers(tree: &HostTree) -> Finding {
    const NAME: &str = "net.ipv4.tcp_wmem";
    let most = SEND_BUFFER_BYTES * 8;
    let setting = HostSetting::new(
        NAME,
        format!("a second value of {most} at most"),
        "what each slow reader fills in the kernel before it is seen to be slow",
    );
    let Some(found) = tree.sysctl(NAME) else {
        return setting.unknown("not to be seen from here");
    };
    let [low, begin, high] = numbers(&found)[..] else {
        return setting.unknown(found);
    };
    let found = format!("{low} {begin} {high}");
    match begin <= most {
        true => setting.ok(found),
        false => setting.warns(
            found,
            format!("sysctl -w {NAME}=\"{low} {SEND_BUFFER_BYTES} {high}\""),
        ),
    }
}

fn tracked(tree: &HostTree, needs: &HostNeeds) -> Finding {
    const NAME: &str = "net.netfilter.nf_conntrack_max";
    let wanted = needs.connections_max as u64 * 2;
    let setting = HostSetting::new(
        NAME,
        format!("{wanted} or more, or no tracking"),
        "where the firewall tracks connections, a full table drops new ones",
    );
    let Some(found) = tree.sysctl(NAME) else {
        return setting.unknown("no tracking in this network namespace, or not to be seen");
    };
    match found.parse::<u64>() {
        Ok(value) if value >= wanted => setting.ok(found),
        Ok(_) => setting.warns(found, format!("sysctl -w {NAME}={wanted}")),
        Err(_) => setting.unknown(found),
    }
}

fn numbers_of(text: &str) -> String {
    let numbers: Vec<String> = numbers(text).iter().map(u64::to_string).collect();
    numbers.join(" ")
}
