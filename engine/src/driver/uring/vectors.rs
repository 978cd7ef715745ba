//! Message headers and vectors of one turn's vectored transmits. Their addresses are given to the
//! kernel, so they must not move between `prepare` and the end of the turn.

use crate::egress::outgoing::Outgoing;

/// Set on every transmit: never blocks, and reports a short count instead of success only when the
/// socket's buffer is full. Without `MSG_WAITALL` a short send would look like success and post
/// nothing.
pub(super) const TRANSMIT_FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;

#[derive(Default)]
pub(super) struct Vectors {
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::msghdr>,
}

impl Vectors {
    /// Forgets the last turn and makes room for all of this one.
    pub(super) fn prepare(&mut self, outgoing: &Outgoing) {
        self.vectors.clear();
        self.headers.clear();
        if outgoing.segments() > outgoing.len() {
            self.vectors.reserve(outgoing.segments());
            self.headers.reserve(outgoing.len());
        }
    }

    /// One transmit's header; stays where it is until the next `prepare`.
    pub(super) fn gather<'a>(
        &mut self,
        slices: impl Iterator<Item = &'a [u8]>,
    ) -> *const libc::msghdr {
        let first = self.vectors.len();
        for slice in slices {
            assert!(
                self.vectors.len() < self.vectors.capacity(),
                "prepare counted every segment"
            );
            self.vectors.push(libc::iovec {
                iov_base: slice.as_ptr().cast_mut().cast(),
                iov_len: slice.len(),
            });
        }
        assert!(
            self.headers.len() < self.headers.capacity(),
            "prepare counted every transmit"
        );
        self.headers.push(header(&mut self.vectors[first..]));
        &raw const self.headers[self.headers.len() - 1]
    }
}

/// A header for a connected socket.
pub(super) fn header(vectors: &mut [libc::iovec]) -> libc::msghdr {
    libc::msghdr {
        msg_name: std::ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: vectors.as_mut_ptr(),
        msg_iovlen: vectors.len() as _,
        msg_control: std::ptr::null_mut(),
        msg_controllen: 0,
        msg_flags: 0,
    }
}

impl std::fmt::Debug for Vectors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vectors")
            .field("headers", &self.headers.len())
            .finish_non_exhaustive()
    }
}
