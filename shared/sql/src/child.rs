//! The child's side: limits first, then the work, then the statement.

use std::{
    ffi::OsString,
    io::{self, Read},
    process::ExitCode,
    sync::Arc,
    thread,
    time::Duration,
};

use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use willcall_engine::statement::Table;

use crate::{
    failure::Failure,
    files::{Parent, ParentFiles},
    session,
    wire::{self, Job, OUTCOME, Outcome, TICK, WORK, read_frame},
};

/// The one argument that makes a program the child of itself.
pub const CHILD_ARGUMENT: &str = "willcall-run-statement";

/// What planning needs at the most: it goes as deep as statements are nested.
const STACK: usize = 64 << 20;

/// The stacks of the threads that read.
const STACKS: u64 = 128 << 20;

/// Files that a child may have open: what it spills into, and the pipes.
const FILES: u64 = 512;

const TICKS: Duration = Duration::from_secs(1);

/// Runs a statement where the arguments say that this process is for that, and tells how it is to exit. Belongs first
/// into `main`, before any thread is started.
pub fn run_child(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter().skip(1);
    if arguments.next()?.to_str() != Some(CHILD_ARGUMENT) || arguments.next().is_some() {
        return None;
    }
    Some(match begin() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    })
}

fn begin() -> io::Result<()> {
    // Killed with whoever started it. What happened before this is told by the pipe, which is closed then.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    limit(Resource::Core, 0)?;
    limit(Resource::Nofile, FILES)?;
    let mut input = io::stdin().lock();
    let Some((WORK, bytes)) = read_frame(&mut input)? else { return Ok(()) };
    let job: Job = serde_json::from_slice(&bytes)?;
    limit(Resource::Cpu, job.cpu_seconds)?;
    limit(Resource::As, mapped().saturating_add(job.memory).saturating_add(STACK as u64 + STACKS))?;
    drop(input);
    let parent = Parent::new();
    let listening = Arc::clone(&parent);
    thread::Builder::new().name("parent".into()).spawn(move || {
        listening.listen(&mut LockedStdin);
        // Nobody is left to work for.
        std::process::exit(0);
    })?;
    let ticking = Arc::clone(&parent);
    thread::Builder::new().name("ticks".into()).spawn(move || {
        loop {
            thread::sleep(TICKS);
            ticking.tell(TICK, &[]);
        }
    })?;
    let running = Arc::clone(&parent);
    let thread = thread::Builder::new().name("statement".into()).stack_size(STACK);
    let outcome = thread.spawn(move || run(job, &running))?.join();
    let outcome = outcome.unwrap_or_else(|_| Failure::panicked().outcome());
    parent.tell(OUTCOME, &[&serde_json::to_vec(&outcome)?]);
    // Without waiting for threads that may still read ahead.
    std::process::exit(0)
}

fn run(job: Job, parent: &Arc<Parent>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return Failure::defect(error).outcome(),
    };
    let share = job.read_memory / job.datasets.len().max(1);
    let files: Arc<ParentFiles> = Arc::new(ParentFiles(Arc::clone(parent)));
    let tables = job.datasets.iter().cloned().map(|(dataset, listed)| {
        Arc::new(Table::new(dataset, listed, Arc::clone(&files) as _, job.threads, share))
    });
    let tables = tables.collect();
    match runtime.block_on(session::run(&job, tables, parent)) {
        Ok(session::Ended { found, more }) => Outcome::Done { found, more },
        Err(failure) => failure.outcome(),
    }
}

/// A limit that nothing raises again.
fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let most = rustix::process::getrlimit(resource).maximum.map_or(most, |now| now.min(most));
    Ok(setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?)
}

/// Bytes of address space that the program has now.
fn mapped() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.as_deref().and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    pages.map_or(256 << 20, |pages| pages * rustix::param::page_size() as u64)
}

/// Standard input, which one thread reads at a time.
struct LockedStdin;

impl Read for LockedStdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        io::stdin().lock().read(buffer)
    }
}

/// Tells the parent which files of a data set are read, by their places in its list.
pub(crate) fn tell_reading(parent: &Parent, dataset: usize, files: &[usize]) {
    // Of numbers alone: nothing in it fails to be written.
    parent.tell(wire::READING, &[&serde_json::to_vec(&(dataset, files)).unwrap_or_default()]);
}

/// Hands a piece of Arrow's stream to the parent.
pub(crate) fn tell_records(parent: &Parent, bytes: &[u8]) {
    parent.tell(wire::RECORDS, &[bytes]);
}
