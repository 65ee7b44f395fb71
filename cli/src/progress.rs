//! How far a job is: a bar on a terminal, plain lines elsewhere, always on stderr.

use std::time::{Duration, Instant};

use indicatif::{DecimalBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{client::wire, output::note};

/// The least time between two plain lines of the same stage.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Steps of the bar: tenths of a percent.
const STEPS: u64 = 1000;

/// Tells progress.
pub(crate) enum Reporter {
    /// A bar on a terminal.
    Bar(ProgressBar),
    /// Lines for a log.
    Lines(Lines),
    /// Nobody wants to know.
    Silent,
}

/// What the last line said, and when.
#[derive(Default)]
pub(crate) struct Lines {
    stage: String,
    said: Option<Instant>,
}

impl Reporter {
    /// A bar where stderr is a terminal, else lines; nothing where `quiet`.
    pub(crate) fn new(quiet: bool) -> Self {
        if quiet {
            return Self::Silent;
        }
        if !std::io::IsTerminal::is_terminal(&std::io::stderr()) {
            return Self::Lines(Lines::default());
        }
        let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr());
        // The template is a constant: were it wrong, the plain style would do.
        if let Ok(style) = ProgressStyle::with_template("{spinner} [{bar:30}] {percent:>3}% {msg} {elapsed}")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self::Bar(bar)
    }

    pub(crate) fn is_silent(&self) -> bool {
        matches!(self, Self::Silent)
    }

    /// Says something that is not progress.
    pub(crate) fn say(&self, line: &str) {
        match self {
            Self::Bar(bar) => bar.println(line),
            Self::Lines(_) => note(line),
            Self::Silent => {}
        }
    }

    /// The job is this far.
    pub(crate) fn update(&mut self, job: &wire::Job) {
        let progress = &job.progress;
        match self {
            Self::Bar(bar) => {
                bar.set_position((progress.percent * 10.0) as u64);
                bar.set_message(describe(progress));
            }
            Self::Lines(lines) => {
                if lines.is_due(&progress.stage) {
                    note(format!("{}% {}", progress.percent.floor(), describe(progress)));
                }
            }
            Self::Silent => {}
        }
    }

    /// That many of the result's bytes are here.
    pub(crate) fn received(&mut self, bytes: u64, total: u64) {
        self.moved("downloading", bytes, total);
    }

    /// That many of the input's bytes are there.
    pub(crate) fn sent(&mut self, bytes: u64, total: u64) {
        self.moved("uploading", bytes, total);
    }

    fn moved(&mut self, what: &str, bytes: u64, total: u64) {
        match self {
            Self::Bar(bar) => {
                bar.set_position((bytes as f64 / total.max(1) as f64 * STEPS as f64) as u64);
                bar.set_message(format!("{what} {} of {}", DecimalBytes(bytes), DecimalBytes(total)));
            }
            // What is over at once needs no line.
            Self::Lines(lines) => {
                let begun = lines.stage == what;
                if !begun {
                    *lines = Lines { stage: what.into(), said: Some(Instant::now()) };
                } else if lines.is_due(what) {
                    note(format!("{what} {} of {}", DecimalBytes(bytes), DecimalBytes(total)));
                }
            }
            Self::Silent => {}
        }
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

impl Lines {
    fn is_due(&mut self, stage: &str) -> bool {
        let due = self.stage != stage || self.said.is_none_or(|said| said.elapsed() >= LINE_EVERY);
        if due {
            stage.clone_into(&mut self.stage);
            self.said = Some(Instant::now());
        }
        due
    }
}

fn describe(progress: &wire::Progress) -> String {
    let mut text = progress.stage.clone();
    if let Some(place) = progress.queue_position {
        text += &format!(", {} before it", HumanCount(place));
    }
    if progress.records_written > 0 {
        text += &format!(" {}", HumanCount(progress.records_written));
        if let Some(requested) = progress.records_requested {
            text += &format!(" of {}", HumanCount(requested));
        }
        text += &format!(" records, {}", DecimalBytes(progress.bytes_written));
    } else if let Some(found) = progress.records_found {
        text += &format!(", {} records found", HumanCount(found));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> wire::Progress {
        wire::Progress {
            stage: "writing".into(),
            records_found: Some(5000),
            records_requested: Some(2000),
            records_written: 1500,
            bytes_written: 3_000_000,
            percent: 75.0,
            queue_position: None,
            counts: None,
        }
    }

    #[test]
    fn progress_reads_as_a_sentence() {
        assert_eq!(describe(&progress()), "writing 1,500 of 2,000 records, 3.00 MB");
        let queued = wire::Progress {
            stage: "queued".into(),
            records_found: None,
            records_written: 0,
            queue_position: Some(3),
            ..progress()
        };
        assert_eq!(describe(&queued), "queued, 3 before it");
    }

    #[test]
    fn lines_come_with_each_stage_and_not_with_each_look() {
        let mut lines = Lines::default();
        assert!(lines.is_due("queued"));
        assert!(!lines.is_due("queued"));
        assert!(lines.is_due("writing"));
    }
}
