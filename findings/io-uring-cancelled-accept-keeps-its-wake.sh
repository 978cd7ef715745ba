#!/usr/bin/env bash
# A client waits in the backlog although another process has an accept armed on the same socket: an accept that was woken for the client
# and is then cancelled completes with ECANCELED, and passes its wake to nobody (Linux 6.18, io_uring with IORING_SETUP_DEFER_TASKRUN).
#
# A listening socket that an old and a new process share (systemd's LISTEN_FDS, a hand-over) wakes one waiter for each client. With
# DEFER_TASKRUN the woken accept is carried out when its owner enters the kernel next. If the cancellation is in the submission queue
# by then, it is carried out first, and the accept ends without a look at the socket. The new process hears of that client when the next one
# connects. An accept that is armed and cancelled at once, after all others have ended, takes such a client: it looks before it waits.
# Without DEFER_TASKRUN the accept is carried out on the owner's next system call, whichever that is, and nothing is lost.
#
# One process with two rings stands for the two processes. Needs apt's gcc and liburing-dev, which it does not install.
#
# Seen with Linux 6.18, liburing 2.3:
#   DEFER_TASKRUN: cancelled accept -125, the other ring's accepts 0; after one more client 2; with a last look 1 and 0
#   without: cancelled accept >= 0, the other ring's accepts 0; after one more client 1; with a last look 0 and 0
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat >accept.c <<'C'
#include <arpa/inet.h>
#include <liburing.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPT = 1, CANCEL = 2 };

static int listener;
static struct sockaddr_in address;

static void arm(struct io_uring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    io_uring_prep_accept(sqe, listener, NULL, NULL, 0);
    io_uring_sqe_set_data64(sqe, ACCEPT);
}

static void cancel(struct io_uring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    io_uring_prep_cancel64(sqe, ACCEPT, 0);
    io_uring_sqe_set_data64(sqe, CANCEL);
}

/* Submits, waits a while, and counts the accepts that brought a client; each is armed again. The last result that an accept had. */
static int clients(struct io_uring *ring, int again, int *result)
{
    int count = 0;
    for (int look = 0; look < 50; look++) {
        struct io_uring_cqe *cqe;
        io_uring_submit(ring);
        io_uring_get_events(ring);
        while (io_uring_peek_cqe(ring, &cqe) == 0) {
            if (io_uring_cqe_get_data64(cqe) == ACCEPT) {
                *result = cqe->res;
                count += cqe->res >= 0;
                if (cqe->res >= 0 && again)
                    arm(ring);
            }
            io_uring_cqe_seen(ring, cqe);
        }
        usleep(2000);
    }
    return count;
}

static void come(void)
{
    int client = socket(AF_INET, SOCK_STREAM, 0);
    connect(client, (struct sockaddr *)&address, sizeof address);
}

static int try(const char *name, unsigned flags)
{
    struct io_uring old, new;
    socklen_t size = sizeof address;
    int result = 0, ignored;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 16) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) < 0 ||
        io_uring_queue_init(8, &old, flags | IORING_SETUP_SINGLE_ISSUER) < 0 ||
        io_uring_queue_init(8, &new, flags | IORING_SETUP_SINGLE_ISSUER) < 0)
        return 1;
    arm(&old);
    clients(&old, 0, &ignored);
    arm(&new);
    clients(&new, 1, &ignored);

    come(); /* The accept of the old ring is the first in the queue. */
    cancel(&old);
    clients(&old, 0, &result);
    printf("%s: cancelled accept %s, the other ring's accepts %d", name, result >= 0 ? ">= 0" : "-125", clients(&new, 1, &ignored));
    come();
    printf("; after one more client %d", clients(&new, 1, &ignored));

    /* Once more, with a last look. */
    arm(&old);
    clients(&old, 0, &ignored);
    cancel(&new);
    clients(&new, 0, &ignored);
    arm(&new);
    clients(&new, 1, &ignored);
    come();
    cancel(&old);
    clients(&old, 0, &ignored);
    arm(&old);
    cancel(&old);
    int looked = clients(&old, 0, &ignored);
    printf("; with a last look %d and %d\n", looked, clients(&new, 1, &ignored));
    return 0;
}

int main(void)
{
    return try("DEFER_TASKRUN", IORING_SETUP_DEFER_TASKRUN) || try("without", 0);
}
C
cc -O1 -o accept accept.c -luring
uname -r
./accept | tee seen
diff - seen <<'SEEN'
DEFER_TASKRUN: cancelled accept -125, the other ring's accepts 0; after one more client 2; with a last look 1 and 0
without: cancelled accept >= 0, the other ring's accepts 0; after one more client 1; with a last look 0 and 0
SEEN
