//! Publications that belong to a trace: in front of the data stands its `traceparent`, so whoever
//! encodes it, here or at another node, can tell clients of it.
//!
//! Invariant: data that says it has one has it. Used where clients publish, and by
//! [`crate::wire::publication`].

use shardcast_engine::{Data, DataEncoding};
use shardcast_protocol::trace_parent::TraceParent;

/// The encodings of data are below it; with it, a `traceparent` stands in front.
const TRACED: u8 = 8;

/// The data of a publication with its trace in front.
#[derive(Debug)]
pub(crate) enum TracedData {
    Text(String, DataEncoding),
    Binary(Vec<u8>, DataEncoding),
}

impl TracedData {
    pub(crate) fn new(
        trace: TraceParent,
        (data, encoding): (Data<'_>, DataEncoding),
    ) -> TracedData {
        let front = trace.text();
        let encoding = DataEncoding(encoding.0 | TRACED);
        match data {
            Data::Text(text) => TracedData::Text([front.as_str(), text].concat(), encoding),
            Data::Binary(bytes) => {
                let bytes = [front.as_str().as_bytes(), bytes].concat();
                TracedData::Binary(bytes, encoding)
            }
        }
    }

    pub(crate) fn as_data(&self) -> (Data<'_>, DataEncoding) {
        match self {
            TracedData::Text(text, encoding) => (Data::Text(text), *encoding),
            TracedData::Binary(bytes, encoding) => (Data::Binary(bytes), *encoding),
        }
    }
}

/// The trace that stands in front, if one does.
#[inline]
pub(crate) fn trace_of(data: Data<'_>, encoding: DataEncoding) -> Option<TraceParent> {
    if encoding.0 & TRACED == 0 {
        return None;
    }
    split(data).map(|(trace, _)| trace)
}

/// The data behind a trace, or all of it, where it has none. `None`: it says that it has, and has
/// not.
#[inline]
pub(crate) fn untraced(data: Data<'_>, encoding: DataEncoding) -> Option<(Data<'_>, DataEncoding)> {
    if encoding.0 & TRACED == 0 {
        return Some((data, encoding));
    }
    split(data).map(|(_, data)| (data, DataEncoding(encoding.0 & !TRACED)))
}

#[cold]
fn split(data: Data<'_>) -> Option<(TraceParent, Data<'_>)> {
    let front = data.bytes().get(..TraceParent::TEXT_BYTES)?;
    let trace = TraceParent::parse(str::from_utf8(front).ok()?)?;
    let data = match data {
        Data::Text(text) => Data::Text(text.get(TraceParent::TEXT_BYTES..)?),
        Data::Binary(bytes) => Data::Binary(bytes.get(TraceParent::TEXT_BYTES..)?),
    };
    Some((trace, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traced_data_reads_back() {
        let trace = TraceParent::recorded(7, 9).expect("no id is zero");
        for data in [
            Data::Text(r#"{"a":"größe"}"#),
            Data::Binary(b"\xff\x00"),
            Data::Text(""),
        ] {
            for encoding in (0..TRACED).map(DataEncoding) {
                assert_eq!(trace_of(data, encoding), None);
                assert_eq!(untraced(data, encoding), Some((data, encoding)));
                let traced = TracedData::new(trace, (data, encoding));
                let (with, as_traced) = traced.as_data();
                assert_eq!(trace_of(with, as_traced), Some(trace));
                assert_eq!(untraced(with, as_traced), Some((data, encoding)));
            }
        }
    }

    #[test]
    fn what_only_says_that_it_is_traced_is_nothing() {
        for text in [
            "",
            "{}",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        ] {
            let data = Data::Text(text);
            assert_eq!(trace_of(data, DataEncoding(TRACED)), None, "{text}");
            assert_eq!(untraced(data, DataEncoding(TRACED)), None, "{text}");
        }
    }
}
