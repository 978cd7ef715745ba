//! What arrived on a connection and is not read yet: an incomplete head or frame, or everything
//! while it is parked. Reading and growing cost a constant per byte however the bytes arrive, and
//! nobody makes it reserve memory by announcing alone. Owned by a connection's cold part, filled
//! and read by the intake.

/// The bytes, and how many more it takes.
#[derive(Debug, Default)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    /// Before it, everything was read.
    start: usize,
    need: Need,
    /// What of an unfinished frame's payload was found to be text
    /// ([`shardcast_protocol::unfinished`]).
    checked_bytes: usize,
}

/// When another try to read can get further.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Need {
    /// With any byte more.
    #[default]
    Any,
    /// When so many bytes are there, counted from the first that is not read.
    Bytes(usize),
}

impl Input {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.len() == self.start
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Memory that it takes, in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The bytes themselves, to be read in place.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }

    /// An unfinished frame as far as it has arrived, and what of its payload is known to be text.
    pub(crate) fn unfinished(&mut self) -> Option<(&[u8], &mut usize)> {
        let is_unfinished = self.need != Need::Any && !self.is_empty();
        is_unfinished.then_some((&self.bytes[self.start..], &mut self.checked_bytes))
    }

    /// How many of `arrived` bytes are to be taken before the next try; the rest can be read where
    /// they are.
    pub(crate) fn wants(&self, arrived: usize) -> usize {
        match self.need {
            Need::Any => arrived,
            Need::Bytes(need) => need.saturating_sub(self.len()).min(arrived),
        }
    }

    /// Whether another try can get further.
    pub(crate) fn is_ripe(&self) -> bool {
        match self.need {
            Need::Any => true,
            Need::Bytes(need) => self.len() >= need,
        }
    }

    /// Takes more bytes. Memory doubles, but never beyond what is needed for the next try.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let needed = self.bytes.len() + bytes.len();
        let capacity = self.bytes.capacity();
        if needed > capacity {
            let enough = match self.need {
                Need::Any => usize::MAX,
                Need::Bytes(need) => self.start + need,
            };
            let target = needed.max((2 * capacity).min(enough));
            self.bytes.reserve_exact(target - self.bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The first `used` bytes are read, and the next try has its need.
    pub(crate) fn read(&mut self, used: usize, need: Need) {
        self.start += used;
        self.need = need;
        if used > 0 {
            self.checked_bytes = 0;
        }
        // Each byte is moved at most once for every time that as many were read.
        if self.start > 0 && self.start >= self.len() {
            self.bytes.drain(..self.start);
            self.start = 0;
            if self.bytes.capacity() > Self::SLACK_BYTES_MAX
                && self.bytes.capacity() > 4 * self.bytes.len()
            {
                self.bytes.shrink_to(2 * self.bytes.len());
            }
        }
    }

    /// Below it, unused memory is not worth a copy.
    const SLACK_BYTES_MAX: usize = 64 << 10;
}

/// Read buffers between two uses, so that a busy connection's incomplete frames cost no allocation.
#[derive(Debug, Default)]
pub(crate) struct SpareBuffers(Vec<Vec<u8>>);

impl SpareBuffers {
    /// Buffers kept; more are freed.
    const BUFFERS_MAX: usize = 32;
    /// Largest buffer kept; a larger one is freed.
    const BUFFER_BYTES_MAX: usize = 64 << 10;

    /// A buffer that holds `bytes` already. It has room for as much again if that much is needed,
    /// and grows with what arrives, whatever a frame's header announces: nobody reserves memory by
    /// announcing alone.
    pub(crate) fn take(&mut self, bytes: &[u8], need: Need) -> Input {
        let mut buffer = self.0.pop().unwrap_or_default();
        let enough = match need {
            Need::Any => usize::MAX,
            Need::Bytes(need) => need,
        };
        let room = enough.min(2 * bytes.len()).max(bytes.len());
        buffer.reserve(room);
        buffer.extend_from_slice(bytes);
        Input {
            bytes: buffer,
            start: 0,
            need,
            checked_bytes: 0,
        }
    }

    /// Keeps none.
    pub(crate) fn release_memory(&mut self) {
        self.0 = Vec::new();
    }

    pub(crate) fn put(&mut self, input: Input) {
        let mut buffer = input.bytes;
        if self.0.len() < Self::BUFFERS_MAX
            && (1..=Self::BUFFER_BYTES_MAX).contains(&buffer.capacity())
        {
            buffer.clear();
            self.0.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `need` bytes that arrive in receives of `receive_bytes`: the memory they end in, and how
    /// often it grew.
    fn collect(need: usize, receive_bytes: usize) -> (usize, usize) {
        let receive = vec![7; receive_bytes];
        let first = &receive[..receive_bytes.min(need)];
        let mut input = SpareBuffers::default().take(first, Need::Bytes(need));
        let mut growths = 0;
        while !input.is_ripe() {
            let (before, wanted) = (input.capacity(), input.wants(receive_bytes));
            input.push(&receive[..wanted]);
            growths += usize::from(input.capacity() > before);
            assert!(input.capacity() <= need.max(2 * input.len()));
        }
        assert_eq!(input.len(), need, "nothing of the next frame is taken");
        (input.capacity(), growths)
    }

    #[test]
    fn memory_follows_what_arrives_and_ends_at_what_is_needed() {
        for (need, receive_bytes, growths_max) in [
            (14, 1, 4),
            (100, 60, 0),
            (20_000, 16_640, 0),
            (1 << 20, 16_640, 5),
            (16 << 20, 16_640, 9),
            (64 << 20, 16_640, 11),
        ] {
            let (capacity, growths) = collect(need, receive_bytes);
            assert_eq!(capacity, need, "in {receive_bytes}");
            assert!(growths <= growths_max, "{growths} for {need}");
        }
    }

    /// What a parked connection left is read in small steps: moved no more often than it is halved.
    #[test]
    fn reading_in_small_steps_moves_little() {
        let mut input = SpareBuffers::default().take(&vec![1; 1 << 20], Need::Any);
        let (mut moved, mut left) = (0, 1 << 20);
        while !input.is_empty() {
            let start = input.start;
            input.read(7.min(left), Need::Any);
            left -= 7.min(left);
            if input.start < start {
                moved += left;
            }
            assert_eq!(input.len(), left);
        }
        assert!(moved <= 1 << 20, "{moved} bytes moved");
        assert!(input.capacity() <= Input::SLACK_BYTES_MAX);
    }
}
