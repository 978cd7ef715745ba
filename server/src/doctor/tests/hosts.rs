//! A host that has nothing to mend, and what each check finds where one of its files says something
//! else.

use super::HostState;
use HostState::{Ok as Good, Unknown, Warning};

/// A file and what it says; `None`: it is not there.
pub(super) type Change = (&'static str, Option<&'static str>);
/// What changes of [`GOOD`], the finding that it makes, and parts of what is found and what mends.
pub(super) type Row = (
    &'static [Change],
    &'static str,
    HostState,
    &'static str,
    &'static str,
);

pub(super) const STATUS: &str = "proc/self/status";
pub(super) const LIMITS: &str = "proc/self/limits";
const GROUP: &str = "proc/self/cgroup";

/// A host that has nothing to mend for two shards and 100,000 connections.
pub(super) const GOOD: &[(&str, &str)] = &[
    ("proc/sys/kernel/osrelease", "6.12.43-amd64\n"),
    ("proc/sys/kernel/io_uring_disabled", "0\n"),
    (
        STATUS,
        "Name:\tx\nCapEff:\t0000000000000000\nSeccomp:\t0\nCpus_allowed_list:\t0-3\n",
    ),
    (
        LIMITS,
        "Limit  Soft Limit  Hard Limit  Units\nMax locked memory  8388608  8388608  bytes\nMax open files  1024  1048576  files\n",
    ),
    ("proc/self/uid_map", "         0          0 4294967295\n"),
    (
        "sys/kernel/mm/transparent_hugepage/enabled",
        "always [madvise] never\n",
    ),
    ("proc/sys/fs/nr_open", "1048576\n"),
    ("proc/sys/fs/file-max", "9223372036854775807\n"),
    ("proc/sys/net/core/somaxconn", "65535\n"),
    ("proc/sys/net/ipv4/tcp_max_syn_backlog", "65535\n"),
    ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
    ("proc/sys/net/ipv4/ip_local_reserved_ports", "\n"),
    ("proc/sys/net/ipv4/tcp_mem", "90000\t120000\t180000\n"),
    ("proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n"),
    ("proc/sys/net/ipv4/tcp_wmem", "4096\t16384\t4194304\n"),
    ("proc/sys/net/netfilter/nf_conntrack_max", "262144\n"),
    ("sys/class/net/lo/operstate", "unknown\n"),
    ("sys/class/net/eth0/operstate", "up\n"),
    ("sys/class/net/eth0/device/msi_irqs/33", "msix\n"),
    ("sys/class/net/eth0/device/msi_irqs/34", "msix\n"),
    ("sys/class/net/eth0/queues/rx-0/rps_cpus", "0\n"),
    ("sys/class/net/eth0/queues/rx-1/rps_cpus", "0\n"),
    ("proc/irq/33/effective_affinity_list", "0\n"),
    ("proc/irq/34/effective_affinity_list", "1\n"),
    (
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
        "performance\n",
    ),
    (
        "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor",
        "performance\n",
    ),
    ("sys/devices/system/node/online", "0\n"),
    ("sys/devices/system/node/node0/cpulist", "0-3\n"),
    (
        "sys/devices/system/clocksource/clocksource0/current_clocksource",
        "tsc\n",
    ),
    (GROUP, "0::/system.slice/a.service\n"),
    (
        "sys/fs/cgroup/system.slice/a.service/cpu.max",
        "max 100000\n",
    ),
    ("sys/fs/cgroup/system.slice/a.service/memory.max", "max\n"),
];

pub(super) const KERNEL: &[Row] = &[
    (
        &[("proc/sys/kernel/osrelease", Some("6.1.0-9"))],
        "kernel",
        Warning,
        "6.1.0-9",
        "6.12",
    ),
    (
        &[("proc/sys/kernel/osrelease", Some("strange"))],
        "kernel",
        Unknown,
        "strange",
        "",
    ),
    (
        &[("proc/sys/kernel/osrelease", None)],
        "kernel",
        Unknown,
        "osrelease",
        "",
    ),
    (
        &[("proc/sys/kernel/io_uring_disabled", Some("2"))],
        "kernel.io_uring_disabled",
        Warning,
        "2",
        "sysctl -w kernel.io_uring_disabled=0",
    ),
    (
        &[("proc/sys/kernel/io_uring_disabled", None)],
        "kernel.io_uring_disabled",
        Unknown,
        "6.6",
        "",
    ),
    (
        &[(STATUS, Some("Seccomp:\t2\n"))],
        "seccomp",
        Good,
        "permits",
        "",
    ),
    (
        &[(STATUS, Some("Seccomp:\t1\n"))],
        "seccomp",
        Unknown,
        "mode 1",
        "",
    ),
    (&[(STATUS, None)], "seccomp", Unknown, "no Seccomp", ""),
    (
        &[("sys/kernel/mm/transparent_hugepage/enabled", None)],
        "transparent huge pages",
        Unknown,
        "transparent_hugepage",
        "",
    ),
    (&[], "transparent huge pages", Good, "madvise", ""),
];

pub(super) const FILES: &[Row] = &[
    (
        &[(LIMITS, Some("Max open files  1024  20000  files"))],
        "ulimit -Hn",
        Warning,
        "20000",
        "LimitNOFILE=51000",
    ),
    (
        &[(LIMITS, Some("Max open files  1024  unlimited  files"))],
        "ulimit -Hn",
        Good,
        "unlimited",
        "",
    ),
    (&[(LIMITS, None)], "ulimit -Hn", Unknown, "limits", ""),
    (
        &[("proc/sys/fs/nr_open", Some("1024"))],
        "fs.nr_open",
        Warning,
        "1024",
        "sysctl -w fs.nr_open=51000",
    ),
    (
        &[("proc/sys/fs/file-max", Some("100000"))],
        "fs.file-max",
        Warning,
        "100000",
        "sysctl -w fs.file-max=101000",
    ),
    (
        &[("proc/sys/fs/file-max", Some("many"))],
        "fs.file-max",
        Unknown,
        "many",
        "",
    ),
    (
        &[(LIMITS, Some("Max locked memory  65536  65536  bytes"))],
        "ulimit -l",
        Warning,
        "64 KiB",
        "LimitMEMLOCK=infinity",
    ),
    (
        &[(
            LIMITS,
            Some("Max locked memory  unlimited  unlimited  bytes"),
        )],
        "ulimit -l",
        Good,
        "unlimited",
        "",
    ),
    (
        &[(STATUS, Some("CapEff:\t0000000000004000\n"))],
        "ulimit -l",
        Good,
        "CAP_IPC_LOCK",
        "",
    ),
    (
        // Root of a user namespace: the limit binds it.
        &[
            (STATUS, Some("CapEff:\t0000000000004000\n")),
            ("proc/self/uid_map", Some("0 1000 1\n")),
        ],
        "ulimit -l",
        Good,
        "8192 KiB",
        "",
    ),
    (&[(LIMITS, None)], "ulimit -l", Unknown, "limits", ""),
];

pub(super) const NETWORK: &[Row] = &[
    (
        &[("proc/sys/net/core/somaxconn", Some("4096"))],
        "net.core.somaxconn",
        Warning,
        "4096",
        "sysctl -w net.core.somaxconn=65535",
    ),
    (
        &[("proc/sys/net/core/somaxconn", None)],
        "net.core.somaxconn",
        Unknown,
        "",
        "",
    ),
    (
        &[("proc/sys/net/ipv4/tcp_max_syn_backlog", Some("512"))],
        "net.ipv4.tcp_max_syn_backlog",
        Warning,
        "512",
        "tcp_max_syn_backlog=65535",
    ),
    (
        &[("proc/sys/net/ipv4/ip_local_port_range", Some("1024 65535"))],
        "net.ipv4.ip_local_port_range",
        Warning,
        "1024 65535",
        "ip_local_reserved_ports=8000,8001",
    ),
    (
        &[
            ("proc/sys/net/ipv4/ip_local_port_range", Some("1024 65535")),
            (
                "proc/sys/net/ipv4/ip_local_reserved_ports",
                Some("7999-8001"),
            ),
        ],
        "net.ipv4.ip_local_port_range",
        Good,
        "1024 65535",
        "",
    ),
    (
        &[("proc/sys/net/ipv4/ip_local_port_range", Some("1024"))],
        "net.ipv4.ip_local_port_range",
        Unknown,
        "1024",
        "",
    ),
    (
        &[("proc/sys/net/ipv4/tcp_mem", Some("1 2 3"))],
        "net.ipv4.tcp_mem",
        Warning,
        "1 2 3",
        "tcp_mem=\"50000 75000 100000\"",
    ),
    (
        &[("proc/sys/net/ipv4/tcp_mem", Some("1 2"))],
        "net.ipv4.tcp_mem",
        Unknown,
        "1 2",
        "",
    ),
    (
        &[("proc/sys/net/ipv4/tcp_wmem", Some("4096 1048576 4194304"))],
        "net.ipv4.tcp_wmem",
        Warning,
        "1048576",
        "tcp_wmem=\"4096 16384 4194304\"",
    ),
    (
        &[("proc/sys/net/ipv4/tcp_wmem", None)],
        "net.ipv4.tcp_wmem",
        Unknown,
        "",
        "",
    ),
    (
        &[("proc/sys/net/ipv4/tcp_rmem", None)],
        "net.ipv4.tcp_rmem",
        Unknown,
        "",
        "",
    ),
    (
        &[("proc/sys/net/netfilter/nf_conntrack_max", Some("65536"))],
        "net.netfilter.nf_conntrack_max",
        Warning,
        "65536",
        "nf_conntrack_max=200000",
    ),
    (
        &[("proc/sys/net/netfilter/nf_conntrack_max", None)],
        "net.netfilter.nf_conntrack_max",
        Unknown,
        "no tracking",
        "",
    ),
];

pub(super) const CARDS: &[Row] = &[
    (
        &[("sys/class/net/eth0/queues/rx-1/rps_cpus", None)],
        "eth0 receive queues",
        Warning,
        "1",
        "ethtool -L eth0 combined 2",
    ),
    (
        &[
            ("sys/class/net/eth0/queues/rx-1/rps_cpus", None),
            ("sys/class/net/eth0/queues/rx-0/rps_cpus", Some("3")),
        ],
        "eth0 receive queues",
        Good,
        "1, with steering",
        "",
    ),
    (
        &[("proc/irq/34/effective_affinity_list", Some("0"))],
        "eth0 interrupts",
        Warning,
        "2 on core 0",
        "/proc/irq/34/smp_affinity_list",
    ),
    (
        &[
            ("proc/irq/34/effective_affinity_list", None),
            ("proc/irq/34/smp_affinity_list", Some("2-3")),
        ],
        "eth0 interrupts",
        Good,
        "2 on 3 cores",
        "",
    ),
    (
        &[
            ("proc/irq/33/effective_affinity_list", None),
            ("proc/irq/34/effective_affinity_list", None),
        ],
        "eth0 interrupts",
        Unknown,
        "cannot be seen",
        "",
    ),
    (
        // A virtual card: what carries it has the interrupts.
        &[
            ("sys/class/net/eth0/device/msi_irqs/33", None),
            ("sys/class/net/eth0/device/msi_irqs/34", None),
            ("sys/class/net/eth0/device/uevent", Some("")),
            ("sys/class/net/eth0/msi_irqs/33", Some("msix")),
        ],
        "eth0 interrupts",
        Good,
        "1 on 1 cores",
        "",
    ),
    (
        &[("sys/class/net/eth0/operstate", Some("down"))],
        "network cards",
        Unknown,
        "none",
        "",
    ),
];

const CURRENT_CLOCK: &str = "sys/devices/system/clocksource/clocksource0/current_clocksource";

pub(super) const PROCESSORS: &[Row] = &[
    (
        &[(STATUS, Some("Cpus_allowed_list:\t3\n"))],
        "cores",
        Warning,
        "1",
        "--shards 1",
    ),
    (&[(STATUS, None)], "cores", Unknown, "Cpus_allowed_list", ""),
    (
        &[(
            "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor",
            Some("powersave"),
        )],
        "scaling_governor",
        Warning,
        "performance, powersave",
        "cpupower",
    ),
    (
        &[
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", None),
            ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", None),
        ],
        "scaling_governor",
        Unknown,
        "cpufreq",
        "",
    ),
    (
        &[
            ("sys/devices/system/node/online", Some("0-1")),
            ("sys/devices/system/node/node0/cpulist", Some("0-1")),
            ("sys/devices/system/node/node1/cpulist", Some("2-3")),
        ],
        "NUMA nodes",
        Warning,
        "2 of 2",
        "numactl --cpunodebind=0",
    ),
    (
        &[
            (STATUS, Some("Cpus_allowed_list:\t2-3\n")),
            ("sys/devices/system/node/online", Some("0-1")),
            ("sys/devices/system/node/node0/cpulist", Some("0-1")),
            ("sys/devices/system/node/node1/cpulist", Some("2-3")),
        ],
        "NUMA nodes",
        Good,
        "1 of 2",
        "",
    ),
    (
        &[("sys/devices/system/node/online", None)],
        "NUMA nodes",
        Unknown,
        "online",
        "",
    ),
    (
        &[("sys/devices/system/node/node0/cpulist", None)],
        "NUMA nodes",
        Unknown,
        "cannot be seen",
        "",
    ),
    (
        &[
            (CURRENT_CLOCK, Some("hpet")),
            (
                "sys/devices/system/clocksource/clocksource0/available_clocksource",
                Some("hpet acpi_pm tsc"),
            ),
        ],
        "clock source",
        Warning,
        "hpet",
        "echo tsc > /sys/devices",
    ),
    (
        &[(CURRENT_CLOCK, Some("acpi_pm"))],
        "clock source",
        Warning,
        "acpi_pm",
        "dmesg",
    ),
    (
        &[(CURRENT_CLOCK, None)],
        "clock source",
        Unknown,
        "clocksource0",
        "",
    ),
];

const SPLIT: &str = "4:memory:/m\n3:cpu,cpuacct:/c\n1:name=systemd:/x\n";

pub(super) const GROUPS: &[Row] = &[
    (
        // The group above is the tighter one.
        &[
            (
                "sys/fs/cgroup/system.slice/a.service/cpu.max",
                Some("300000 100000"),
            ),
            ("sys/fs/cgroup/system.slice/cpu.max", Some("150000 100000")),
        ],
        "cgroup cpu",
        Warning,
        "1.500 cores",
        "CPUQuota=200%",
    ),
    (
        &[("sys/fs/cgroup/system.slice/cpu.max", Some("200000 100000"))],
        "cgroup cpu",
        Good,
        "2.000 cores",
        "",
    ),
    (
        &[(
            "sys/fs/cgroup/system.slice/a.service/memory.max",
            Some("536870912"),
        )],
        "cgroup memory",
        Warning,
        "512 MiB",
        "limits.memory=384MiB",
    ),
    (
        &[("sys/fs/cgroup/memory.max", Some("2147483648"))],
        "cgroup memory",
        Good,
        "2048 MiB",
        "",
    ),
    (&[(GROUP, None)], "cgroup cpu", Unknown, "cgroup", ""),
    (&[(GROUP, None)], "cgroup memory", Unknown, "cgroup", ""),
    (&[(GROUP, None)], "cgroup version", Unknown, "cgroup", ""),
    (
        &[(GROUP, Some(SPLIT))],
        "cgroup version",
        Warning,
        "1",
        "limits.memory",
    ),
    (
        &[
            (GROUP, Some(SPLIT)),
            ("sys/fs/cgroup/cpu/c/cpu.cfs_quota_us", Some("100000")),
            ("sys/fs/cgroup/cpu/c/cpu.cfs_period_us", Some("100000")),
        ],
        "cgroup cpu",
        Warning,
        "1.000 cores",
        "--shards 1",
    ),
    (
        &[
            (GROUP, Some(SPLIT)),
            ("sys/fs/cgroup/cpu/c/cpu.cfs_quota_us", Some("-1")),
            ("sys/fs/cgroup/cpu/c/cpu.cfs_period_us", Some("100000")),
        ],
        "cgroup cpu",
        Good,
        "no limit",
        "",
    ),
    (
        &[
            (GROUP, Some(SPLIT)),
            (
                "sys/fs/cgroup/memory/m/memory.limit_in_bytes",
                Some("9223372036854771712"),
            ),
        ],
        "cgroup memory",
        Good,
        "no limit",
        "",
    ),
    (
        &[
            (GROUP, Some(SPLIT)),
            (
                "sys/fs/cgroup/memory/memory.limit_in_bytes",
                Some("104857600"),
            ),
        ],
        "cgroup memory",
        Warning,
        "100 MiB",
        "MemoryMax=1024M",
    ),
];
