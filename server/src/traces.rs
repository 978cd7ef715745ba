//! Traces of what clients and backends ask for, sent to an OpenTelemetry collector:
//! `docs/tracing.md`.

pub(crate) mod counts;
pub(crate) mod exporter;
pub(crate) mod options;
pub(crate) mod otlp;
pub(crate) mod prepare;
pub(crate) mod tracer;
