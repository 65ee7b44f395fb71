//! The parent's side: starts a child for each statement, serves it the job's files, and writes what it makes.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io::{self, Read, Write},
    path::PathBuf,
    process::{ChildStdin, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, channel, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use tempfile::TempDir;
use tracing::{debug, warn};
use willcall_core::{
    chain,
    error::Source,
    job::{Problem, ProblemType, Stage, kinds::Work},
    ports::{DataFile, DataFileEntry, DataFiles, DataFilesError, Delivered, ExecuteError, Executor, Task},
};
use willcall_engine::{
    Engine, EngineConfig,
    statement::{AtEnd, Ended, Records, Wanted, Watched},
};

use crate::{
    child::CHILD_ARGUMENT,
    wire::{
        ANSWER, ASK, Ask, Job, OUTCOME, Outcome, READING, RECORDS, TICK, WORK, What, answer, read_frame,
        write_frame,
    },
};

/// What a statement may use, beyond what the engine may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlConfig {
    /// The program that is started: this one, or another whose `main` begins with [`run_child`](crate::run_child).
    pub program: PathBuf,
    /// Bytes of memory for each statement.
    pub memory: u64,
    /// How long a statement may take.
    pub time: Duration,
}

impl SqlConfig {
    /// This program; 2 GiB, and ten minutes.
    pub fn new() -> Self {
        let program = PathBuf::from("/proc/self/exe");
        let program = if program.exists() { program } else { std::env::current_exe().unwrap_or(program) };
        Self { program, memory: 2 << 30, time: Duration::from_secs(600) }
    }

    /// For a worker with so much memory, of which its own needs are left alone.
    pub fn for_size(memory: u64) -> Self {
        Self { memory: memory / 8 * 5, ..Self::new() }
    }
}

impl Default for SqlConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// Carries out whole statements, each in a child of its own. Dropping the future of an attempt ends its child.
pub struct SqlExecutor {
    engine: Engine,
    files: Arc<dyn DataFiles>,
    limits: EngineConfig,
    config: SqlConfig,
}

impl SqlExecutor {
    /// An executor that keeps to both and reads what `files` finds and opens.
    pub fn new(limits: EngineConfig, config: SqlConfig, files: Arc<dyn DataFiles>) -> Self {
        Self { engine: Engine::new(limits.clone(), Arc::clone(&files)), files, limits, config }
    }
}

#[async_trait]
impl Executor for SqlExecutor {
    async fn execute(&self, task: Task) -> Result<Delivered, ExecuteError> {
        let Work::Sql(work) = &*task.work else { return Err(defect("work of another executor")) };
        let datasets = task.subject.datasets();
        let lists = self.engine.listed(&task, datasets).await?;
        if let Some(limit) = work.limit {
            task.control.set_requested(limit);
        }
        task.control.enter(Stage::Planning);
        // What the pool does not see (expressions, buffers, the program's own) is given as much again.
        let pool = self.limits.sort_memory.min(usize::try_from(self.config.memory / 3).unwrap_or(usize::MAX));
        let mut job = Job {
            work: (**work).clone(),
            datasets: datasets.iter().map(|dataset| (**dataset).clone()).zip(lists.iter().cloned()).collect(),
            threads: self.limits.threads.max(1),
            read_memory: self.limits.read_memory,
            pool,
            memory: self.config.memory,
            cpu_seconds: self.config.time.as_secs().saturating_mul(self.limits.threads.max(1) as u64 + 1),
            spill_dir: self.limits.spill_dir.clone(),
            spill_limit: self.limits.spill_limit,
        };
        let wanted = Wanted {
            output: work.output.clone(),
            page_size: work.page_size,
            title: "result".to_owned(),
            plan_limit: work.plan_may_cut().then_some(work.max_records),
        };
        let (config, files) = (self.config.clone(), Arc::clone(&self.files));
        let begin = move |watched| {
            // Made and removed here: a child that is killed removes nothing.
            std::fs::create_dir_all(&job.spill_dir).map_err(no_space)?;
            let spill = tempfile::Builder::new().prefix("willcall-spill-").tempdir_in(&job.spill_dir);
            let spill = spill.map_err(no_space)?;
            job.spill_dir = spill.path().to_owned();
            Statement::begin(&config, &job, files, spill, watched)
        };
        self.engine.deliver(&task, &lists, wanted, begin).await
    }
}

fn fatal(kind: ProblemType, detail: impl Into<String>, source: Option<Source>) -> ExecuteError {
    ExecuteError::Fatal { problem: Problem::new(kind, detail), source }
}

fn defect(source: impl Into<Source>) -> ExecuteError {
    fatal(ProblemType::Internal, "the engine made an error", Some(source.into()))
}

fn no_space(error: io::Error) -> ExecuteError {
    let problem = Problem::new(ProblemType::Unavailable, "there is no space to put records aside");
    ExecuteError::Transient { problem, source: error.into() }
}

/// What comes from the child, in order.
enum Event {
    Records(Vec<u8>),
    End(Result<End, ExecuteError>),
}

/// How many records there are, where they were counted, and whether there are more than came.
#[derive(Clone, Copy)]
struct End {
    found: Option<u64>,
    more: bool,
}

/// A running statement.
struct Statement {
    events: Receiver<Event>,
    decoder: StreamDecoder,
    buffer: Buffer,
    first: Option<RecordBatch>,
    schema: SchemaRef,
    ended: Arc<Mutex<Option<End>>>,
    over: bool,
    /// Dropped, it tells the watcher to end the child.
    _wanted: Arc<()>,
}

impl Statement {
    fn begin(
        config: &SqlConfig,
        job: &Job,
        files: Arc<dyn DataFiles>,
        spill: TempDir,
        watched: Watched,
    ) -> Result<(Self, AtEnd), ExecuteError> {
        let spawned = Command::new(&config.program)
            .arg(CHILD_ARGUMENT)
            .env_clear()
            // What the allocator would reserve at the start counts as memory.
            .env("MIMALLOC_ARENA_RESERVE", "65536")
            .env("MALLOC_ARENA_MAX", "2")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = spawned.map_err(|error| ExecuteError::Transient {
            problem: Problem::new(ProblemType::Unavailable, "the statement's process cannot be started"),
            source: error.into(),
        })?;
        let (Some(mut input), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(defect("a child without pipes"));
        };
        let wanted = Arc::new(());
        // Waits for the child whatever happens, and ends it when it has to.
        let (exit, exited) = channel();
        let (deadline, held) = (Instant::now() + config.time, Arc::downgrade(&wanted));
        let watching = watched.clone();
        thread::Builder::new()
            .name("willcall-child".into())
            .spawn(move || {
                let mut late = false;
                let status = loop {
                    match child.try_wait() {
                        Ok(Some(status)) => break Some(status),
                        Ok(None) => {}
                        Err(_) => break None,
                    }
                    late = Instant::now() >= deadline;
                    if late || watching.is_over() || held.strong_count() == 0 {
                        let _ = child.kill();
                        break child.wait().ok();
                    }
                    thread::sleep(Duration::from_millis(10));
                };
                drop(spill);
                let _ = exit.send((status, late));
            })
            .map_err(defect)?;
        let last = Arc::new(Mutex::new(String::new()));
        let words = Arc::clone(&last);
        let mut errors = io::BufReader::new(errors);
        let listen = move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = errors.read(&mut bytes) {
                let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
                if words.len() < 16 << 10 {
                    words.push_str(&String::from_utf8_lossy(&bytes[..count]));
                }
            }
        };
        let listening =
            thread::Builder::new().name("willcall-child-log".into()).spawn(listen).map_err(defect)?;
        let bytes = serde_json::to_vec(job).map_err(defect)?;
        // A child that does not take it has died, which is told below.
        let _ = write_frame(&mut input, WORK, &[&bytes]);
        let serving = Arc::new(Serving {
            allowed: job.datasets.iter().flat_map(|(_, listed)| listed.files()).map(identity).collect(),
            files,
            open: Mutex::default(),
            input: Mutex::new(input),
        });
        let (sender, events) = sync_channel(4);
        let read: Arc<Mutex<Vec<BTreeSet<usize>>>> =
            Arc::new(Mutex::new(vec![BTreeSet::new(); job.datasets.len()]));
        let reading = Arc::clone(&read);
        let (seconds, memory) = (config.time.as_secs(), config.memory);
        let readers = job.threads * 2 + 2;
        let hear = move || {
            let output = io::BufReader::with_capacity(1 << 16, output);
            let outcome = hear(output, &serving, &watched, &reading, &sender, readers);
            drop(serving);
            let end = outcome.unwrap_or_else(|| {
                let (status, late) = exited.recv().unwrap_or((None, false));
                let _ = listening.join();
                let words = last.lock().unwrap_or_else(PoisonError::into_inner).clone();
                Err(died(status, late, &words, seconds, memory))
            });
            let _ = sender.send(Event::End(end));
        };
        thread::Builder::new().name("willcall-child-in".into()).spawn(hear).map_err(defect)?;
        let ended: Arc<Mutex<Option<End>>> = Arc::default();
        let told = Arc::clone(&ended);
        let mut statement = Self {
            events,
            decoder: StreamDecoder::new(),
            buffer: Buffer::from(&[] as &[u8]),
            first: None,
            schema: Arc::new(arrow_schema::Schema::empty()),
            ended,
            over: false,
            _wanted: wanted,
        };
        statement.begin_stream()?;
        let ended = move || {
            let told = *told.lock().unwrap_or_else(PoisonError::into_inner);
            // Not heard of where the records were enough before their end.
            let End { found, more } = told.unwrap_or(End { found: None, more: true });
            let read = read.lock().unwrap_or_else(PoisonError::into_inner);
            Ended { found, more, files_read: read.iter().map(|files| files.len() as u64).collect() }
        };
        Ok((statement, Arc::new(ended)))
    }

    /// Waits for the columns, which are told before any record.
    fn begin_stream(&mut self) -> Result<(), ExecuteError> {
        loop {
            match self.events.recv() {
                Ok(Event::Records(bytes)) => {
                    self.buffer = Buffer::from(bytes);
                    // The first records may come with it.
                    self.first = self.decoder.decode(&mut self.buffer).map_err(defect)?;
                    if let Some(schema) = self.decoder.schema() {
                        self.schema = schema;
                        return Ok(());
                    }
                }
                Ok(Event::End(Err(error))) => return Err(error),
                Ok(Event::End(Ok(_))) | Err(_) => return Err(defect("a result without columns")),
            }
        }
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>, ExecuteError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        loop {
            if !self.buffer.is_empty()
                && let Some(batch) = self.decoder.decode(&mut self.buffer).map_err(defect)?
            {
                return Ok(Some(batch));
            }
            match self.events.recv() {
                Ok(Event::Records(bytes)) => self.buffer = Buffer::from(bytes),
                Ok(Event::End(end)) => {
                    *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(end?);
                    return Ok(None);
                }
                Err(_) => return Err(defect("the child's thread panicked")),
            }
        }
    }
}

impl Iterator for Statement {
    type Item = Result<RecordBatch, ExecuteError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.batch().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

impl Records for Statement {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// What a child that told no outcome died of.
fn died(status: Option<ExitStatus>, late: bool, words: &str, seconds: u64, memory: u64) -> ExecuteError {
    use std::os::unix::process::ExitStatusExt;
    const XCPU: i32 = 24;
    let signal = status.and_then(|status| status.signal());
    debug!(?status, late, said = words.lines().next(), "a statement's process died");
    let source =
        || Some(Source::from(format!("{status:?}: {}", words.chars().take(2000).collect::<String>())));
    if late || signal == Some(XCPU) {
        let detail = format!("the statement took longer than the {seconds} s that a statement may take");
        return fatal(ProblemType::EngineFailed, detail, source());
    }
    let lacks_memory = words.contains("memory allocation of") || words.contains("annot allocate memory");
    if lacks_memory || matches!(signal, Some(9)) {
        let detail = format!(
            "the statement needs more memory than the {memory} bytes that a statement may have; ask for fewer \
             records or columns, or for smaller values"
        );
        return fatal(ProblemType::EngineFailed, detail, source());
    }
    warn!(?status, said = words.lines().next(), "a statement's process died");
    fatal(ProblemType::Internal, "the engine made an error", source())
}

/// Takes what the child says until it ends. None where it ended without an outcome.
fn hear(
    mut from: impl Read,
    serving: &Arc<Serving>,
    watched: &Watched,
    reading: &Mutex<Vec<BTreeSet<usize>>>,
    events: &SyncSender<Event>,
    readers: usize,
) -> Option<Result<End, ExecuteError>> {
    let (asks, asked) = channel::<Ask>();
    let asked = Arc::new(Mutex::new(asked));
    for _ in 0..readers {
        let (asked, serving) = (Arc::clone(&asked), Arc::clone(serving));
        let serve = move || {
            loop {
                let ask = asked.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok(ask) = ask else { return };
                serving.serve(ask);
            }
        };
        if let Err(error) = thread::Builder::new().name("willcall-child-read".into()).spawn(serve) {
            return Some(Err(defect(error)));
        }
    }
    while let Ok(Some((kind, bytes))) = read_frame(&mut from) {
        watched.beat();
        match kind {
            TICK => {}
            READING => match serde_json::from_slice::<(usize, Vec<usize>)>(&bytes) {
                Ok((dataset, files)) => {
                    watched.reads();
                    let mut reading = reading.lock().unwrap_or_else(PoisonError::into_inner);
                    reading.get_mut(dataset)?.extend(files);
                }
                Err(error) => return Some(Err(defect(error))),
            },
            ASK => match serde_json::from_slice(&bytes) {
                Ok(ask) => asks.send(ask).ok()?,
                Err(error) => return Some(Err(defect(error))),
            },
            // Nobody takes them where there are enough.
            RECORDS => events.send(Event::Records(bytes)).ok()?,
            OUTCOME => {
                return Some(match serde_json::from_slice(&bytes) {
                    Ok(Outcome::Done { found, more }) => Ok(End { found, more }),
                    Ok(Outcome::Failed { problem, transient, log }) => {
                        let source = log.map(Source::from);
                        Err(match transient {
                            true => ExecuteError::Transient {
                                problem,
                                source: source.unwrap_or_else(|| Source::from("in the statement's process")),
                            },
                            false => ExecuteError::Fatal { problem, source },
                        })
                    }
                    Err(error) => Err(defect(error)),
                });
            }
            _ => return Some(Err(defect("a child that says what it must not"))),
        }
    }
    None
}

/// The files that a child may read, and those that it has open.
struct Serving {
    files: Arc<dyn DataFiles>,
    allowed: HashSet<(String, String, u64)>,
    open: Mutex<HashMap<u64, Arc<dyn DataFile>>>,
    input: Mutex<ChildStdin>,
}

/// What tells a listed file from all others.
fn identity(entry: &DataFileEntry) -> (String, String, u64) {
    (entry.location.clone(), entry.mark.clone(), entry.size)
}

/// The most bytes that are read at once by position.
const MOST: usize = 8 << 20;

impl Serving {
    fn serve(&self, ask: Ask) {
        let Ask { number, what } = ask;
        if let What::Close { file } = what {
            self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&file);
            return;
        }
        let done = self.answer(number, what);
        let (how, parts): (u8, Vec<Vec<u8>>) = match done {
            Ok(parts) => (answer::DONE, parts),
            Err(DataFilesError::Missing) => (answer::MISSING, Vec::new()),
            Err(DataFilesError::Changed) => (answer::CHANGED, Vec::new()),
            Err(DataFilesError::Unreadable(error)) => (answer::UNREADABLE, vec![chain(&*error).into()]),
            Err(DataFilesError::Unavailable(error)) => (answer::UNAVAILABLE, vec![chain(&*error).into()]),
        };
        let number = number.to_le_bytes();
        let mut all: Vec<&[u8]> = vec![&number, std::slice::from_ref(&how)];
        all.extend(parts.iter().map(Vec::as_slice));
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        // A child that does not hear it has ended.
        let _ = write_frame(&mut *input, ANSWER, &all).and_then(|()| input.flush());
    }

    fn answer(&self, number: u64, what: What) -> Result<Vec<Vec<u8>>, DataFilesError> {
        let open = |file| {
            let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.get(&file).cloned().ok_or(DataFilesError::Missing)
        };
        match what {
            What::Open(entry) => {
                if !self.allowed.contains(&identity(&entry)) {
                    return Err(DataFilesError::Missing);
                }
                let file = self.files.open(&entry)?;
                let far = vec![vec![u8::from(file.is_far())]];
                self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(number, file);
                Ok(far)
            }
            What::ReadAt { file, position, length } => {
                let mut bytes = vec![0; length.min(MOST)];
                let count = open(file)?.read_at(&mut bytes, position)?;
                bytes.truncate(count);
                Ok(vec![bytes])
            }
            What::Ranges { file, ranges } => {
                let ranges: Vec<_> = ranges.into_iter().map(|(start, end)| start..end).collect();
                Ok(open(file)?.read_ranges(&ranges)?.iter().map(|bytes| bytes.to_vec()).collect())
            }
            What::Check { file } => open(file)?.check().map(|()| Vec::new()),
            What::Close { .. } => Ok(Vec::new()),
        }
    }
}
