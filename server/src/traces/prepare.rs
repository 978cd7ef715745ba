//! The traces that the configuration asks for, with the files that it names read.

use crate::api::app::App;
use crate::auth::fetch::{FetchUrl, PlainHttp};
use crate::bounded;
use crate::config::Settings;
use crate::session::debugging::Debugging;
use crate::traces::counts::TraceCounts;
use crate::traces::exporter::Exporter;
use crate::traces::options::TracingOptions;
use crate::traces::tracer::Tracer;
use hyper::header::{HeaderName, HeaderValue};
use shardcast_engine::TraceSink;
use std::path::Path;
use std::sync::Arc;

/// Longest file of headers.
const HEADERS_BYTES_MAX: u64 = 16 << 10;

/// What sends what was recorded.
#[derive(Debug)]
pub(crate) struct Traces {
    pub(crate) exporter: Exporter,
    pub(crate) counts: TraceCounts,
}

/// The application with what records its requests, if the configuration asks for that.
///
/// # Errors
/// What cannot be used, as key and reason.
pub(crate) fn install(app: App, settings: &Settings) -> Result<(App, Option<Traces>), String> {
    let (tracer, traces) = start(settings, app.debugging())?.unzip();
    Ok((app.tracer(tracer), traces))
}

fn start(
    settings: &Settings,
    debugging: Arc<Debugging>,
) -> Result<Option<(Tracer, Traces)>, String> {
    let Some(options) = prepare(settings)? else {
        return Ok(None);
    };
    let (sink, reader) = TraceSink::new(options.queue);
    let tracer = Tracer::new(sink, options.sampling);
    let counts = TraceCounts::new();
    let exporter = Exporter::start(options, reader, counts.clone(), debugging);
    let traces = Traces {
        exporter: exporter.map_err(|error| format!("tracing: {error}"))?,
        counts,
    };
    Ok(Some((tracer, traces)))
}

/// `None`: nothing is recorded.
///
/// # Errors
/// What cannot be used, as key and reason.
pub(crate) fn prepare(settings: &Settings) -> Result<Option<TracingOptions>, String> {
    let tracing = settings.tracing();
    let Some(url) = &tracing.endpoint.0 else {
        return Ok(None);
    };
    let plain = match settings.is_insecure() {
        true => PlainHttp::Anywhere,
        false => PlainHttp::ThisHost,
    };
    let endpoint = FetchUrl::with(url, tracing.authorities.0.as_deref(), plain);
    let headers = match &tracing.headers_file.0 {
        Some(file) => headers(file).map_err(|why| format!("tracing.headers_file: {why}"))?,
        None => Vec::new(),
    };
    Ok(Some(TracingOptions {
        endpoint: endpoint.map_err(|why| format!("tracing.endpoint: {why}"))?,
        sampling: tracing.sampling(),
        service_name: tracing.service_name.0.clone(),
        headers,
        timeout: tracing.timeout,
        queue: tracing.queue,
    }))
}

/// One header a line, `Name: value`; empty lines and those that begin with `#` say nothing.
fn headers(file: &Path) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let shown = file.display();
    let text =
        bounded::read_file(file, HEADERS_BYTES_MAX).map_err(|error| format!("{shown}: {error}"))?;
    let text = String::from_utf8(text).map_err(|_| format!("{shown}: it is no text"))?;
    headers_in(&text)
        .map_err(|line| format!("{shown}: line {line} is no header: a name, a colon and a value"))
}

/// # Errors
/// The number of a line that is no header.
fn headers_in(text: &str) -> Result<Vec<(HeaderName, HeaderValue)>, usize> {
    let mut headers = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let header = line.split_once(':').and_then(|(name, value)| {
            let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
            let mut value = HeaderValue::from_str(value.trim()).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        });
        headers.push(header.ok_or(index + 1)?);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_lines() {
        let read = headers_in("# ours\n\nAuthorization: Bearer a:b\r\nX-Team:\tchat\n");
        let read: Vec<_> = read.expect("they are headers");
        let shown: Vec<(&str, &str)> = read
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().expect("it is text")))
            .collect();
        assert_eq!(shown, [("authorization", "Bearer a:b"), ("x-team", "chat")]);
        assert!(!format!("{read:?}").contains("a:b"), "it is a secret");
        for (text, line) in [("no header", 1), ("a: b\n: c", 2), ("a b: c", 1)] {
            assert_eq!(headers_in(text), Err(line), "{text}");
        }
    }
}
