//! Where a program of a cluster runs: a network namespace of its own, with one link for its clients
//! and one for its broker, or the loopback interface where the machine allows no namespaces.
//!
//! Invariant: a namespace goes with its [`Place`], and those of test programs that were killed go
//! when the next one begins. Used by whatever starts programs.

use shardcast_patience::leave_out;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Once};

/// Namespaces at the same time on one machine: each takes eight addresses of 10.222.0.0/16.
const NAMESPACES_MAX: u32 = 8_192;

/// Where a program runs.
#[derive(Debug)]
pub(crate) enum Place {
    Loopback,
    /// With the number that its links and addresses come from.
    Namespace {
        name: String,
        number: u32,
    },
}

/// One of the two links of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// For clients and operators.
    Front,
    /// To the broker.
    Back,
}

impl Side {
    /// The interface's name inside, and the end of its name outside.
    fn names(self) -> (&'static str, char) {
        match self {
            Side::Front => ("front", 'f'),
            Side::Back => ("back", 'b'),
        }
    }
}

/// Whether this machine makes namespaces; said once if not.
static MAKES_NAMESPACES: LazyLock<bool> = LazyLock::new(|| {
    sweep();
    let name = format!("shardcast-{}-trial", std::process::id());
    let makes = ip(&[format!("netns add {name}")]) && ip(&[format!("netns del {name}")]);
    if !makes {
        leave_out("network namespaces: `ip netns add` fails, so the cluster runs on loopback");
    }
    makes
});

impl Place {
    /// A namespace of its own, if there are any.
    pub(crate) fn new() -> Place {
        static MADE: AtomicU32 = AtomicU32::new(0);
        if !*MAKES_NAMESPACES {
            return Place::Loopback;
        }
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("shardcast-{}-{made}", std::process::id());
        assert!(ip(&[format!("netns add {name}")]), "no namespace {name}");
        // The name of a link is free or not, which decides between test programs, too.
        let (inside, outside) = Side::Front.names();
        let number = (0..NAMESPACES_MAX).find(|number| {
            ip(&[format!(
                "link add sc{number}{outside} type veth peer name {inside} netns {name}"
            )])
        });
        let number = number.expect("a free number of a namespace");
        let place = Place::Namespace { name, number };
        place.furnish();
        place
    }

    fn furnish(&self) {
        let Place::Namespace { name, number } = self else {
            return;
        };
        let (back, b) = Side::Back.names();
        let mut steps = vec![
            format!("link add sc{number}{b} type veth peer name {back} netns {name}"),
            format!("-n {name} link set lo up"),
        ];
        for side in [Side::Front, Side::Back] {
            let (inner, letter) = side.names();
            let (near, far) = (outer(*number, side), inside(*number, side));
            steps.extend([
                format!("addr add {near}/30 dev sc{number}{letter}"),
                format!("link set sc{number}{letter} up"),
                format!("-n {name} addr add {far}/30 dev {inner}"),
                format!("-n {name} link set {inner} up"),
            ]);
        }
        assert!(ip(&steps), "the links of {name}");
    }

    /// A command that runs here.
    pub(crate) fn command(&self, program: &str) -> Command {
        match self {
            Place::Loopback => Command::new(program),
            Place::Namespace { name, .. } => {
                // It becomes the program, so signals reach that.
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name, program]);
                command
            }
        }
    }

    /// What a program that runs here listens at.
    pub(crate) fn address(&self, side: Side) -> IpAddr {
        match self {
            Place::Loopback => Ipv4Addr::LOCALHOST.into(),
            Place::Namespace { number, .. } => inside(*number, side).into(),
        }
    }

    /// Where the test listens for programs that run here.
    pub(crate) fn outside(&self) -> IpAddr {
        match self {
            Place::Loopback => Ipv4Addr::LOCALHOST.into(),
            Place::Namespace { number, .. } => outer(*number, Side::Back).into(),
        }
    }

    /// A port that nobody has: the usual one in a namespace, where nobody else is.
    pub(crate) fn port(&self, usual: u16) -> u16 {
        match self {
            Place::Loopback => {
                let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
                free.local_addr().expect("it listens").port()
            }
            Place::Namespace { .. } => usual,
        }
    }

    /// Takes the link down, as a cable that is pulled: what is sent over it is gone, and nobody is
    /// told. False: there is no link of its own.
    pub(crate) fn pull(&self, side: Side) -> bool {
        self.set(side, "down")
    }

    /// Puts it up again.
    pub(crate) fn plug(&self, side: Side) -> bool {
        self.set(side, "up")
    }

    fn set(&self, side: Side, state: &str) -> bool {
        let Place::Namespace { number, .. } = self else {
            return false;
        };
        let (_, letter) = side.names();
        assert!(ip(&[format!("link set sc{number}{letter} {state}")]));
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Place::Namespace { name, .. } = self {
            // Its links go with it.
            ip(&[format!("netns del {name}")]);
        }
    }
}

fn outer(number: u32, side: Side) -> Ipv4Addr {
    host(number, side, 1)
}

fn inside(number: u32, side: Side) -> Ipv4Addr {
    host(number, side, 2)
}

fn host(number: u32, side: Side, host: u32) -> Ipv4Addr {
    const NETWORK: u32 = u32::from_be_bytes([10, 222, 0, 0]);
    let subnet = match side {
        Side::Front => 0,
        Side::Back => 4,
    };
    Ipv4Addr::from_bits(NETWORK + number * 8 + subnet + host)
}

/// Runs steps of ip(8), until one fails.
fn ip(steps: &[String]) -> bool {
    steps.iter().all(|step| {
        let mut command = Command::new("ip");
        command.args(step.split(' ')).stdin(Stdio::null());
        command.output().is_ok_and(|output| output.status.success())
    })
}

/// Takes away what test programs have left that were killed.
fn sweep() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let Ok(listed) = Command::new("ip").args(["netns", "list"]).output() else {
            return;
        };
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        for name in listed.lines().filter_map(|line| line.split(' ').next()) {
            let owner = name.strip_prefix("shardcast-");
            let owner = owner.and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
            if owner.is_some_and(|owner| !std::fs::exists(format!("/proc/{owner}")).unwrap_or(true))
            {
                ip(&[format!("netns del {name}")]);
                _ = writeln!(std::io::stderr(), "swept {name}");
            }
        }
    });
}
