//! The log, on stderr.

use tracing_subscriber::EnvFilter;

use crate::args::{Command, Global, LogFormat};

/// Starts the log. A server tells what it does, other commands only what is wrong, unless RUST_LOG says otherwise.
pub(crate) fn start(global: &Global, command: &Command) {
    let usual = if matches!(command, Command::Serve(_)) { "info" } else { "warn" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match global.log_format {
        LogFormat::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => {
            log.json().flatten_event(true).with_current_span(false).with_span_list(false).init()
        }
    }
}
