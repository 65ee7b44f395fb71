//! Lambda: functions, their environments, and invocations.

mod process;
mod runtime_api;

use std::{
    collections::BTreeMap,
    ops::Deref,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use rustix::process::{Pid, Signal};
use tokio::{sync::oneshot, time::Instant};
use uuid::Uuid;

use self::{
    process::{Environment, Start, signal},
    runtime_api::Work,
};
use crate::{EnvironmentInfo, InvokeError, Victim, deployment::FunctionSpec, logs::Logs};

/// The largest event and the largest answer, in bytes, encoded.
pub(crate) const LIMIT: usize = 6_291_556;
/// How long a function may take until it asks for work, unless its time-out is longer.
const INIT: Duration = Duration::from_secs(10);
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// What an environment does.
#[derive(Debug)]
enum Event {
    /// It asks for work.
    Asked,
    /// It has answered the invocation of that id.
    Answered(String, Result<Bytes, InvokeError>),
    InitFailed(String),
    Exited(String),
}

/// A function. Its environments start when they are needed and are used again.
#[derive(Debug)]
pub(crate) struct Function {
    parts: Parts,
    pool: Mutex<Pool>,
}

#[derive(Debug, Default)]
struct Pool {
    stopping: bool,
    /// Those that wait for work, frozen; the one used last is last.
    idle: Vec<Environment>,
    /// How many there are, those that start included.
    count: usize,
    /// All whose process lives.
    alive: BTreeMap<u64, Alive>,
}

#[derive(Debug)]
struct Alive {
    pid: Pid,
    busy: bool,
}

/// What a [`Function`] is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) spec: FunctionSpec,
    pub(crate) arn: String,
    pub(crate) program: PathBuf,
    pub(crate) variables: BTreeMap<String, String>,
    /// How many environments it may have at once.
    pub(crate) limit: usize,
    pub(crate) directory: PathBuf,
    pub(crate) logs: Logs,
    /// Numbers environments over the whole run.
    pub(crate) numbers: Arc<AtomicU64>,
}

impl Deref for Function {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Function {
    pub(crate) fn new(parts: Parts) -> Self {
        Self { parts, pool: Mutex::default() }
    }

    /// Invokes the function. The invocation goes on if the caller stops waiting.
    pub(crate) async fn invoke(self: &Arc<Self>, event: Bytes, trace: &str) -> Result<Bytes, InvokeError> {
        if event.len() > LIMIT {
            return Err(InvokeError::EventTooLarge(event.len()));
        }
        let idle = self.take()?;
        let (answer, answered) = oneshot::channel();
        let (function, trace) = (Arc::clone(self), trace.to_owned());
        tokio::spawn(async move { function.run(idle, event, trace, answer).await });
        answered.await.unwrap_or(Err(InvokeError::Stopping))
    }

    /// An environment that waits for work; none where a new one may be started.
    fn take(&self) -> Result<Option<Environment>, InvokeError> {
        self.with(|pool| {
            if pool.stopping {
                return Err(InvokeError::Stopping);
            }
            while let Some(environment) = pool.idle.pop() {
                if let Some(alive) = pool.alive.get_mut(&environment.number) {
                    alive.busy = true;
                    return Ok(Some(environment));
                }
                // It was killed while it waited.
                pool.count -= 1;
            }
            if pool.count >= self.limit {
                return Err(InvokeError::Throttled);
            }
            pool.count += 1;
            Ok(None)
        })
    }

    async fn run(
        self: Arc<Self>,
        idle: Option<Environment>,
        event: Bytes,
        trace: String,
        answer: oneshot::Sender<Result<Bytes, InvokeError>>,
    ) {
        let ready = match idle {
            Some(environment) => {
                environment.thaw();
                Ok(environment)
            }
            None => self.start().await,
        };
        let kept = match ready {
            Ok(environment) => self.work(environment, event, trace, answer).await,
            Err(error) => {
                let _ = answer.send(Err(error));
                None
            }
        };
        self.with(|pool| match kept {
            Some(environment) if !pool.stopping => {
                if let Some(alive) = pool.alive.get_mut(&environment.number) {
                    alive.busy = false;
                }
                environment.freeze();
                pool.idle.push(environment);
            }
            _ => pool.count -= 1,
        });
    }

    /// A new environment that has asked for work.
    async fn start(self: &Arc<Self>) -> Result<Environment, InvokeError> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        let logical = &self.spec.logical;
        let start = Start {
            number,
            function: logical,
            program: &self.program,
            variables: &self.variables,
            directory: &self.directory,
            logs: &self.logs,
        };
        let function = Arc::clone(self);
        let ended = move || {
            function.with(|pool| pool.alive.remove(&number));
        };
        let began = Instant::now();
        let started = Environment::start(start, ended).await;
        let mut environment = started.map_err(|error| InvokeError::Init(chain(&error)))?;
        let stopping = self.with(|pool| {
            pool.alive.insert(number, Alive { pid: environment.pid, busy: true });
            pool.stopping
        });
        if stopping {
            signal(environment.pid, Signal::KILL);
        }
        let most = INIT.max(self.spec.timeout);
        let failed = match tokio::time::timeout(most, environment.events.recv()).await {
            Ok(Some(Event::Asked)) => {
                let took = began.elapsed().as_secs_f64() * 1000.0;
                self.logs.write(
                    logical,
                    number,
                    format!("INIT_START Runtime Version: provided.al2023 Init Duration: {took:.2} ms"),
                );
                return Ok(environment);
            }
            Ok(Some(Event::Exited(how))) => format!("runtime exited before it asked for work: {how}"),
            Ok(Some(Event::InitFailed(why))) => why,
            Ok(Some(Event::Answered(..)) | None) => "it answered what it was not asked".to_owned(),
            Err(_) => format!("it did not ask for work within {} s", most.as_secs()),
        };
        self.bury(&environment);
        self.logs.write(logical, number, format!("INIT_REPORT Status: error: {failed}"));
        Err(InvokeError::Init(failed))
    }

    /// Lets the environment do one invocation; it comes back if it can be used again.
    async fn work(
        &self,
        mut environment: Environment,
        event: Bytes,
        trace: String,
        answer: oneshot::Sender<Result<Bytes, InvokeError>>,
    ) -> Option<Environment> {
        let id = Uuid::now_v7().to_string();
        let log = |text: String| self.logs.write(&self.spec.logical, environment.number, text);
        log(format!("START RequestId: {id} Version: $LATEST"));
        let (began, timeout) = (Instant::now(), self.spec.timeout);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let work = Work {
            id: id.clone(),
            event,
            deadline: (now + timeout).as_millis(),
            arn: self.arn.clone(),
            trace: trace.clone(),
        };
        // An answer is passed on when the environment can be used again, or when that takes long: who asks next would
        // otherwise find its place taken.
        let mut held = None;
        let mut answer = Some(answer);
        let mut say = |result| answer.take().map(|answer| answer.send(result));
        if environment.work.send(work).is_err() {
            say(Err(InvokeError::Exited("its Runtime API is gone".to_owned())));
            return None;
        }
        let (mut most, allowed) = (0, u64::from(self.spec.memory) << 20);
        let kept = loop {
            tokio::select! {
                event = environment.events.recv() => match event {
                    Some(Event::Answered(of, result)) if of == id => held = Some(result),
                    Some(Event::Asked) => {
                        let early = || Err(InvokeError::Exited("it asked for work before it had answered".to_owned()));
                        // What was passed on already is not there any more, and is not passed on twice.
                        say(held.take().unwrap_or_else(early));
                        break true;
                    }
                    Some(Event::Exited(how)) => {
                        log(format!("RequestId: {id} Error: Runtime exited with error: {how}"));
                        say(held.take().unwrap_or(Err(InvokeError::Exited(how))));
                        break false;
                    }
                    None => break false,
                    Some(Event::Answered(..) | Event::InitFailed(_)) => {}
                },
                () = tokio::time::sleep_until(began + timeout) => {
                    log(format!("RequestId: {id} Task timed out after {:.2} seconds", timeout.as_secs_f64()));
                    say(held.take().unwrap_or(Err(InvokeError::TimedOut(timeout))));
                    break false;
                }
                () = tokio::time::sleep(LOOK) => {
                    if let Some(result) = held.take() {
                        say(result);
                    }
                    most = most.max(environment.memory().unwrap_or_default());
                    if most > allowed {
                        let why = format!("out of memory: {} MB of {} MB", most >> 20, self.spec.memory);
                        log(format!("RequestId: {id} Error: {why}"));
                        say(Err(InvokeError::Exited(why)));
                        break false;
                    }
                }
            }
        };
        most = most.max(environment.memory().unwrap_or_default());
        log(format!(
            "REPORT RequestId: {id} Duration: {:.2} ms Memory Size: {} MB Max Memory Used: {} MB XRAY TraceId: {trace}",
            began.elapsed().as_secs_f64() * 1000.0,
            self.spec.memory,
            most >> 20,
        ));
        if kept {
            return Some(environment);
        }
        self.bury(&environment);
        None
    }

    /// Sees to it that an environment is not used again.
    fn bury(&self, environment: &Environment) {
        signal(environment.pid, Signal::KILL);
        self.with(|pool| pool.alive.remove(&environment.number));
    }

    pub(crate) fn environments(&self) -> Vec<EnvironmentInfo> {
        self.with(|pool| {
            let info = |(number, alive): (&u64, &Alive)| EnvironmentInfo {
                function: self.spec.logical.clone(),
                number: *number,
                pid: alive.pid.as_raw_nonzero().get().cast_unsigned(),
                busy: alive.busy,
            };
            pool.alive.iter().map(info).collect()
        })
    }

    pub(crate) fn kill(&self, victim: Victim) -> usize {
        self.with(|pool| {
            let mut victims: Vec<(&u64, &Alive)> = pool.alive.iter().collect();
            match victim {
                Victim::All => {}
                Victim::Number(number) => victims.retain(|(known, _)| **known == number),
                Victim::Any => {
                    if victims.iter().any(|(_, alive)| alive.busy) {
                        victims.retain(|(_, alive)| alive.busy);
                    }
                    if !victims.is_empty() {
                        let chance = Uuid::new_v4().as_u128() % victims.len() as u128;
                        victims = vec![victims.swap_remove(usize::try_from(chance).unwrap_or_default())];
                    }
                }
            }
            let victims: Vec<u64> = victims
                .into_iter()
                .map(|(number, alive)| {
                    signal(alive.pid, Signal::KILL);
                    *number
                })
                .collect();
            // Those at work are found dead by whoever waits for them; of the others nobody need hear.
            let before = pool.idle.len();
            pool.idle.retain(|environment| !victims.contains(&environment.number));
            pool.count -= before - pool.idle.len();
            victims.len()
        })
    }

    /// Kills everything, and lets nothing start any more.
    pub(crate) fn stop(&self) {
        self.with(|pool| pool.stopping = true);
        self.kill(Victim::All);
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut Pool) -> T) -> T {
        use_it(&mut self.pool.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A trace header of X-Ray, of a trace that is not sampled.
pub(crate) fn trace() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (root, parent) = (Uuid::new_v4().as_u128(), Uuid::new_v4().as_u128());
    format!("Root=1-{seconds:08x}-{:024x};Parent={:016x};Sampled=0", root >> 32, parent >> 64)
}

/// An error and all that caused it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}
