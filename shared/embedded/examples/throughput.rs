//! How many jobs a second the store and the queue take through their whole life: insert, send, receive, claim, complete,
//! acknowledge. `cargo run --release -p willcall-embedded --example throughput -- [DIR]`

use std::{
    io::Write,
    path::PathBuf,
    time::{Duration, Instant},
};

use willcall_conformance::samples::{claim, complete, job_at};
use willcall_core::{
    Timestamp,
    job::Transition,
    ports::{JobFilter, JobQueue, TransitionError},
};
use willcall_embedded::{Embedded, EmbeddedConfig};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const FOR: Duration = Duration::from_secs(3);
const HELD: Duration = Duration::from_secs(600);

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let parent = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = parent.join(format!("willcall-throughput-{}", std::process::id()));
    let mut out = std::io::stdout();
    let embedded = Embedded::open(&dir, EmbeddedConfig::default()).await?;
    for clients in [1, 8, 64, 256] {
        let began = Instant::now();
        let tasks: Vec<_> = (0..clients)
            .map(|client| tokio::spawn(live(embedded.app_parts(), embedded.queue(), client, began)))
            .collect();
        let mut jobs = 0;
        for task in tasks {
            jobs += task.await??;
        }
        let rate = jobs as f64 / began.elapsed().as_secs_f64();
        writeln!(out, "{clients:4} clients: {rate:8.0} jobs/s")?;
    }
    let jobs = embedded.app_parts().jobs;
    let account = "account-0".parse()?;
    let began = Instant::now();
    let page = jobs.list(&account, &JobFilter::default(), None, 50).await?;
    writeln!(out, "a list of {} in {:?}", page.jobs.len(), began.elapsed())?;
    drop((jobs, embedded));
    std::fs::remove_dir_all(dir)?;
    Ok(())
}

async fn live(
    parts: willcall_embedded::AppParts,
    queue: willcall_embedded::SqliteJobQueue,
    client: usize,
    began: Instant,
) -> Result<u64, Failure> {
    let (jobs, account) = (parts.jobs, format!("account-{}", client % 4));
    let mut count = 0;
    while began.elapsed() < FOR {
        let now = Timestamp::system_now();
        let job = job_at(&account, now);
        jobs.insert(&job, u32::MAX).await?;
        queue.send(&job.reference(), Duration::ZERO).await?;
        match jobs.transition(&job.reference(), &Transition::Sent, now).await {
            // Another client may have received it in the meantime.
            Ok(_) | Err(TransitionError::Refused(_)) => {}
            Err(error) => return Err(error.into()),
        }
        // Whichever job comes: each client lives as many lives as it began.
        let message = queue.received(HELD).await;
        let claimed = jobs.transition(&message.job, &claim(), now).await?;
        jobs.transition(&message.job, &complete(claimed.attempt), now).await?;
        queue.acknowledge(&message);
        count += 1;
    }
    Ok(count)
}
