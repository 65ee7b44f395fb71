//! The executor of calls: what the jobs of a worker share, and what an attempt is put together of.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use willcall_core::{
    catalog::Upstream,
    format::WRITER_VERSION,
    job::{
        Stage, Truncation, TruncationReason,
        kinds::{CallWork, Work},
    },
    ports::{Clock, Delivered, ExecuteError, Executor, Secrets, Task},
};
use willcall_outbound::{Client, Guard, PlainHttp, Resolve, Reuse, SystemResolver};

use crate::{
    call::{Calls, Line},
    failure::{Outcome, defect},
    headers::Headers,
    items::Items,
    journal::{Journal, Past},
    limit::{Limits, Memory},
    result::{ResultFile, Written},
    run::{Ended, Run},
};

/// Calls upstreams. One of it serves all jobs of a process, so that they share what an upstream allows.
pub struct UpstreamExecutor {
    secrets: Arc<dyn Secrets>,
    clock: Arc<dyn Clock>,
    resolver: Arc<dyn Resolve>,
    lines: Mutex<HashMap<String, Arc<Line>>>,
    memory: Memory,
    /// How long calls that are under way are waited for when the work is told to stop.
    grace: Duration,
}

impl UpstreamExecutor {
    /// An executor that looks secrets up in `secrets`.
    pub fn new(secrets: Arc<dyn Secrets>, clock: Arc<dyn Clock>) -> Self {
        Self::with_resolver(secrets, clock, Arc::new(SystemResolver))
    }

    /// As [`Self::new`], with names resolved otherwise than by the system.
    pub fn with_resolver(
        secrets: Arc<dyn Secrets>,
        clock: Arc<dyn Clock>,
        resolver: Arc<dyn Resolve>,
    ) -> Self {
        // Less than an attempt has before it is dropped.
        let grace = Duration::from_secs(5);
        Self { secrets, clock, resolver, lines: Mutex::default(), memory: Memory::default(), grace }
    }

    /// The same executor with another idea of how long calls under way are waited for.
    pub fn with_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// What all jobs share that call this upstream. One that the operator has changed is another one.
    fn line(&self, upstream: &Arc<Upstream>) -> Arc<Line> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(&upstream.name)
            && line.upstream == *upstream
        {
            return Arc::clone(line);
        }
        let guard = Guard::new(upstream.allow.clone(), PlainHttp::Allowed);
        // A request on a connection that is just being closed is lost, and was perhaps done: only where it may be sent
        // again are connections worth that.
        let reuse = if upstream.idempotent { Reuse::Idle } else { Reuse::Never };
        let line = Arc::new(Line {
            upstream: Arc::clone(upstream),
            client: Client::new(guard, Arc::clone(&self.resolver), reuse),
            limits: Limits::of(upstream, &self.memory),
            clock: Arc::clone(&self.clock),
        });
        lines.insert(upstream.name.clone(), Arc::clone(&line));
        line
    }

    async fn run(&self, task: &Task, work: &CallWork, file: &mut ResultFile) -> Outcome<(Ended, u64)> {
        let upstream = task.subject.upstream().ok_or_else(|| defect("a call without an upstream"))?;
        let headers = Headers::of(upstream, &self.secrets).await?;
        task.control.enter(Stage::Reading);
        let items = Items::open(task, work, upstream).await?;
        let total = items.total;
        let past = Past::read(&task.blobs, &task.job, task.attempt).await?;
        let journal = Journal::new(&task.blobs, &task.job, task.attempt);
        let calls = Calls { line: self.line(upstream), headers, job: task.job.job, stop: Default::default() };
        task.control.enter(Stage::Calling);
        let run = Run::new(task, work, calls, items, past, journal, self.grace);
        Ok((run.finish(file).await?, total))
    }
}

#[async_trait]
impl Executor for UpstreamExecutor {
    async fn execute(&self, task: Task) -> Result<Delivered, ExecuteError> {
        if task.control.is_cancelled() {
            return Err(ExecuteError::Cancelled);
        }
        let work = match &*task.work {
            Work::Call(work) => work,
            Work::Query(_) | Work::Append(_) => return Err(defect("not a call")),
        };
        let mut file = ResultFile::begin(&task, work).await?;
        match Box::pin(self.run(&task, work, &mut file)).await {
            Ok((ended, total)) => {
                task.control.enter(Stage::Committing);
                let written = file.finish().await?;
                Ok(delivered(work, ended, total, written))
            }
            Err(error) => {
                file.abort().await;
                Err(error)
            }
        }
    }
}

fn delivered(work: &CallWork, ended: Ended, total: u64, written: Written) -> Delivered {
    let Written { file, pages, schema } = written;
    let records = file.records;
    let truncated = if ended.out_of_bytes {
        Some(Truncation { reason: TruncationReason::DailyLimit, limit: records })
    } else if total > work.max_records {
        Some(Truncation { reason: TruncationReason::PlanLimit, limit: work.max_records })
    } else {
        None
    };
    Delivered {
        records,
        files: vec![file],
        pages: Some(pages),
        schema,
        records_found: Some(total),
        truncated,
        non_finite_as_null: 0,
        dataset: None,
        counts: Some(ended.counts),
        writer: WRITER_VERSION.to_owned(),
    }
}
