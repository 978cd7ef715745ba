//! The kernel itself: its version, whether it and the sandbox permit io_uring, huge pages.

use super::driver::ChosenDriver;
use super::finding::{Finding, HostSetting};
use super::tree::HostTree;

pub(super) fn findings(tree: &HostTree, chosen: &ChosenDriver) -> Vec<Finding> {
    vec![
        version(tree),
        io_uring_disabled(tree),
        seccomp(tree, chosen),
        huge_pages(tree),
    ]
}

fn version(tree: &HostTree) -> Finding {
    let setting = HostSetting::new(
        "kernel",
        "6.12 or newer",
        "6.12: a busy shard waits for batches of completions; 6.1 is the oldest for io_uring, 5.10 the oldest for epoll that was tried",
    );
    let Some(release) = tree.sysctl("kernel.osrelease") else {
        return setting.unknown("no proc/sys/kernel/osrelease");
    };
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    let mut part = || parts.next()?.parse::<u32>().ok();
    match (part(), part()) {
        (Some(major), Some(minor)) if (major, minor) >= (6, 12) => setting.ok(release),
        (Some(_), Some(_)) => setting.warns(release, "install a kernel of Linux 6.12 or newer"),
        _ => setting.unknown(release),
    }
}

fn io_uring_disabled(tree: &HostTree) -> Finding {
    const NAME: &str = "kernel.io_uring_disabled";
    let setting = HostSetting::new(
        NAME,
        "0",
        "1 refuses io_uring to all but a group, 2 to everybody: the server runs on epoll then",
    );
    match tree.sysctl(NAME) {
        Some(found) if found == "0" => setting.ok(found),
        Some(found) => setting.warns(found, format!("sysctl -w {NAME}=0")),
        None => setting.unknown("there is no such sysctl before Linux 6.6"),
    }
}

fn seccomp(tree: &HostTree, chosen: &ChosenDriver) -> Finding {
    let setting = HostSetting::new(
        "seccomp",
        "none, or a filter that permits io_uring_setup, io_uring_enter and io_uring_register",
        "containers' default profiles refuse them",
    );
    let Some(mode) = tree.status("Seccomp") else {
        return setting.unknown("no Seccomp in proc/self/status");
    };
    match (mode.as_str(), &chosen.native_refused) {
        ("0", _) => setting.ok("no filter"),
        ("2", None) => setting.ok("a filter that permits what the driver needs"),
        ("2", Some(lack)) => setting.warns(
            format!("a filter, and {}", lack.lack()),
            "docker run --security-opt seccomp=PROFILE.json, with a profile that permits the three calls",
        ),
        (other, _) => setting.unknown(format!("mode {other}")),
    }
}

fn huge_pages(tree: &HostTree) -> Finding {
    let setting = HostSetting::new(
        "transparent huge pages",
        "any",
        "the allocator runs without them, whatever the host says",
    );
    let enabled = tree.read("sys/kernel/mm/transparent_hugepage/enabled");
    let chosen = enabled.as_deref().and_then(|text| {
        let (_, rest) = text.split_once('[')?;
        Some(rest.split_once(']')?.0.to_owned())
    });
    match chosen {
        Some(found) => setting.ok(found),
        None => setting.unknown("no sys/kernel/mm/transparent_hugepage/enabled"),
    }
}
