#!/usr/bin/env bash
# The eventfd of an io_uring with IORING_SETUP_DEFER_TASKRUN rings once and never again: Debian's Linux 6.12.117, against 6.12.113.
#
# Since 6.12.115 what is queued from a wait queue's wake-up signals the eventfd from an RCU callback (io_eventfd_signal(ctx, defer), a
# guard against recursion through epoll). The callback does not clear IO_EVENTFD_OP_SIGNAL_BIT, and whoever finds the bit set does not
# signal. So an event loop that sleeps in epoll or in another ring on the eventfd hears of the first socket that becomes ready, and of
# nothing after it. A ring without DEFER_TASKRUN signals when it posts the completion, and is heard.
#
# Boots both kernels in qemu (emulated, about a minute each) with a program of 60 lines on liburing, and needs apt, gcc, qemu-system-x86,
# busybox-static, cpio and liburing-dev, which it does not install. Kernels come from the archive that the machine's apt sources name.
#
# Seen with linux-image-6.12.113+deb13-cloud-amd64 6.12.113-1 and linux-image-6.12.117+deb13-cloud-amd64 6.12.117-1, liburing 2.3:
#   6.12.113+deb13-cloud-amd64: DEFER_TASKRUN: 5 of 5 messages rang
#   6.12.113+deb13-cloud-amd64: without: 5 of 5 messages rang
#   6.12.117+deb13-cloud-amd64: DEFER_TASKRUN: 1 of 5 messages rang
#   6.12.117+deb13-cloud-amd64: without: 5 of 5 messages rang
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat >ring.c <<'C'
#include <liburing.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

/* What io_uring_enter and a look at the queue bring. */
static int reap(struct io_uring *ring)
{
    struct io_uring_cqe *cqe;
    int count = 0;
    io_uring_get_events(ring);
    while (io_uring_peek_cqe(ring, &cqe) == 0) {
        io_uring_cqe_seen(ring, cqe);
        count++;
    }
    return count;
}

static int rings(unsigned flags)
{
    struct io_uring ring;
    int pair[2], bell = eventfd(0, EFD_NONBLOCK), rang = 0;
    uint64_t count;
    char byte;
    struct pollfd on_bell = {.fd = bell, .events = POLLIN};
    if (io_uring_queue_init(8, &ring, flags | IORING_SETUP_SINGLE_ISSUER) < 0 || io_uring_register_eventfd(&ring, bell) < 0 ||
        socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        return -1;
    for (int message = 0; message < 5; message++) {
        io_uring_prep_recv(io_uring_get_sqe(&ring), pair[0], &byte, 1, 0);
        io_uring_submit(&ring);
        reap(&ring);
        /* Posting a completion rings, too: not counted. */
        while (poll(&on_bell, 1, 200) == 1)
            read(bell, &count, 8);
        write(pair[1], "x", 1);
        rang += poll(&on_bell, 1, 2000) == 1;
        reap(&ring);
    }
    return rang;
}

int main(void)
{
    struct utsname host;
    uname(&host);
    printf("%s: DEFER_TASKRUN: %d of 5 messages rang\n", host.release, rings(IORING_SETUP_DEFER_TASKRUN));
    printf("%s: without: %d of 5 messages rang\n", host.release, rings(0));
    return 0;
}
C
gcc -O1 -static -o ring ring.c -luring
mkdir -p root/bin root/dev
cp /bin/busybox root/bin/busybox
cp ring root/ring
printf '#!/bin/busybox sh\n/bin/busybox mount -t devtmpfs dev /dev\n/ring >/dev/ttyS0 2>&1\n/bin/busybox poweroff -f\n' >root/init
chmod +x root/init
(cd root && find . | cpio --quiet -o -H newc) >initramfs

archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian-Security' | head -n 1)
printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s trixie-security main\n' "$archive" >sources.list
mkdir -p lists/partial cache/archives/partial
private=(-o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User="$(id -un)")
apt-get "${private[@]}" update >/dev/null
for version in 6.12.113 6.12.117; do
    apt-get "${private[@]}" download "linux-image-$version+deb13-cloud-amd64=$version-1" >/dev/null
    dpkg-deb --fsys-tarfile "linux-image-$version"*.deb | tar -x --wildcards './boot/vmlinuz-*'
    timeout 300 qemu-system-x86_64 -accel tcg -cpu max -m 512 -display none -nodefaults -no-reboot -serial "file:console-$version" \
        -kernel "boot/vmlinuz-$version+deb13-cloud-amd64" -initrd initramfs -append 'console=ttyS0 loglevel=1 panic=-1 no_timer_check'
    tr -d '\r' <"console-$version" | grep rang
done | tee seen
diff seen - <<'SEEN'
6.12.113+deb13-cloud-amd64: DEFER_TASKRUN: 5 of 5 messages rang
6.12.113+deb13-cloud-amd64: without: 5 of 5 messages rang
6.12.117+deb13-cloud-amd64: DEFER_TASKRUN: 1 of 5 messages rang
6.12.117+deb13-cloud-amd64: without: 5 of 5 messages rang
SEEN
