#!/usr/bin/env bash
# What: io_uring, removed direct descriptors. Closing a direct descriptor (IORING_OP_CLOSE, completed with 0) does not close its file while any
#   request on any OTHER direct descriptor of the ring is under way that began before: with one older multishot receive armed, the peer of the
#   closed socket never reads the end. Cancelling that receive and arming it anew releases everything behind it; a shutdown before the close at
#   least sends the end. On 6.1 each release comes a second late besides. Documented nowhere in io_uring's manual pages; gone in newer kernels.
# Versions: Debian linux-image-6.1.0-56-cloud-amd64 6.1.192-2 (booted in qemu 7.2), liburing 2.3-3, and the kernel of this host (6.18 when written).
# Output seen:
#   6.1.0-56-cloud-amd64: older receive armed: close=0, end read after 3 s: no; receive cancelled and armed anew: yes (after a second)
#   6.1.0-56-cloud-amd64: shutdown before close: end read at once: yes
#   HOST (6.18): older receive armed: close=0, end read after 3 s: yes; receive cancelled and armed anew: yes
#   HOST (6.18): shutdown before close: end read at once: yes
# Needs gcc, qemu-system-x86_64, busybox (static), cpio, apt-get. Ends with 1 when 6.1 behaves otherwise.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -qq -o APT::Sandbox::User=root download linux-image-6.1.0-56-cloud-amd64=6.1.192-2 liburing-dev=2.3-3 >/dev/null
for package in *.deb; do dpkg-deb -x "$package" .; done

cat >trial.c <<'C'
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>
static struct io_uring ring;
static int run(struct io_uring_sqe *sqe, int id) { /* submits, and waits for this one's completion */
    struct io_uring_cqe *cqe; int result;
    sqe->user_data = id; io_uring_submit(&ring);
    for (;;) {
        io_uring_wait_cqe(&ring, &cqe); result = cqe->res; int mine = cqe->user_data == (unsigned)id;
        io_uring_cqe_seen(&ring, cqe);
        if (mine) return result;
    }
}
static void arm(void) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    io_uring_prep_recv_multishot(sqe, 0, NULL, 0, 0);
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT; sqe->buf_group = 1; sqe->user_data = 100;
    io_uring_submit(&ring);
}
static const char *ended(int fd, int ms) {
    struct pollfd p = { fd, POLLIN, 0 }; char byte;
    return poll(&p, 1, ms) == 1 && read(fd, &byte, 1) == 0 ? "yes" : "no";
}
int main(void) {
    static char buffers[4][64]; int older[2], younger[2], third[2], table[3]; struct utsname host;
    uname(&host);
    io_uring_queue_init(8, &ring, 0);
    socketpair(AF_UNIX, SOCK_STREAM, 0, older); socketpair(AF_UNIX, SOCK_STREAM, 0, younger); socketpair(AF_UNIX, SOCK_STREAM, 0, third);
    table[0] = older[0]; table[1] = younger[0]; table[2] = third[0];
    io_uring_register_files(&ring, table, 3);
    close(older[0]); close(younger[0]); close(third[0]);
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    io_uring_prep_provide_buffers(sqe, buffers, 64, 4, 1, 0); run(sqe, 1);
    arm();
    sqe = io_uring_get_sqe(&ring); io_uring_prep_close_direct(sqe, 1);
    int closed = run(sqe, 2);
    const char *first = ended(younger[1], 3000);
    sqe = io_uring_get_sqe(&ring); io_uring_prep_cancel64(sqe, 100, 0); run(sqe, 3);
    arm();
    printf("%s: older receive armed: close=%d, end read after 3 s: %s; receive cancelled and armed anew: %s\n", host.release, closed, first,
           *first == 'y' ? first : ended(younger[1], 3000));
    sqe = io_uring_get_sqe(&ring); io_uring_prep_shutdown(sqe, 2, SHUT_RDWR); sqe->flags |= IOSQE_FIXED_FILE; run(sqe, 4);
    sqe = io_uring_get_sqe(&ring); io_uring_prep_close_direct(sqe, 2); run(sqe, 5);
    printf("%s: shutdown before close: end read at once: %s\n", host.release, ended(third[1], 100));
    return 0;
}
C
gcc -O1 -static -Iusr/include -o trial trial.c "$(find usr -name liburing.a)"

mkdir -p root/bin
cp trial "$(command -v busybox)" root/bin/
printf '#!/bin/busybox sh\n/bin/trial\n/bin/busybox poweroff -f\n' >root/init
chmod +x root/init
(cd root && find . | cpio --quiet -o -H newc | gzip -1) >initramfs
timeout 300 qemu-system-x86_64 -accel tcg -cpu max -m 512 -display none -nodefaults -no-reboot -serial file:console -kernel boot/vmlinuz-6.1.0-56-cloud-amd64 \
    -initrd initramfs -append 'console=ttyS0 quiet panic=-1' </dev/null
tr -d '\r' <console | grep -a '6\.1\.0.*: ' | tee seen
./trial
grep -q 'close=0, end read after 3 s: no; receive cancelled and armed anew: yes' seen && grep -q 'end read at once: yes' seen
