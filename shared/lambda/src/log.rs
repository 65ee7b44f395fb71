//! What the functions write: a line of JSON for each thing that happens, each with the invocation that it happened in,
//! and beside it metrics and traces.

use std::io::{self, Write};

use tracing::{Metadata, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, Targets, filter_fn},
    fmt,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};
use willcall_core::telemetry::{METRICS, STEPS};

use crate::{Variables, metrics::Embedded, xray::Segments};

/// Where the runtime opens a span around each invocation, with its request's id and its trace.
const INVOCATIONS: &str = "lambda_runtime::layers::trace";

/// Starts log, metrics and traces; the first call of a process counts.
pub(crate) fn start(vars: &Variables) {
    let lines = fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(true)
        .with_ansi(false)
        .with_writer(io::stdout)
        .with_filter(filter(vars).and(filter_fn(|metadata: &Metadata<'_>| metadata.target() != METRICS)));
    let metrics = vars.stack().map(|stack| {
        Embedded::new(stack, write).with_filter(Targets::new().with_target(METRICS, LevelFilter::DEBUG))
    });
    let traces = vars.get("AWS_XRAY_DAEMON_ADDRESS").and_then(Segments::to).map(|segments| {
        let wanted =
            Targets::new().with_target(STEPS, LevelFilter::DEBUG).with_target(INVOCATIONS, LevelFilter::INFO);
        segments.with_filter(wanted.with_default(LevelFilter::ERROR))
    });
    let started = tracing_subscriber::registry().with(lines).with(metrics).with(traces).try_init();
    if started.is_ok() {
        std::panic::set_hook(Box::new(|panic| tracing::error!(panic = %panic, "panicked")));
    }
}

/// What `RUST_LOG` asks for, and always the spans that say which invocation a line belongs to.
fn filter(vars: &Variables) -> EnvFilter {
    let wanted = vars.get("RUST_LOG").unwrap_or("info");
    let filter = EnvFilter::try_new(wanted).unwrap_or_else(|_| EnvFilter::new("info"));
    match format!("{INVOCATIONS}=info").parse() {
        Ok(spans) => filter.add_directive(spans),
        Err(_) => filter,
    }
}

/// A line on its own. What cannot be written is lost: there is nowhere to say so.
fn write(line: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(format!("{line}\n").as_bytes());
}
