//! Following a job to its end.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Answer, Client, Repeat, wire};
use crate::{
    failure::{Exit, Failure},
    progress::Reporter,
};

/// How long one call waits for the job to end where somebody looks at the progress, and where nobody does.
const GLANCE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_secs(20);
/// The least time between two calls, should the server answer sooner than asked.
const LEAST: Duration = Duration::from_millis(500);

impl Client {
    /// The job once it has ended. After `limit` it fails, and the job goes on. A server that does not answer for a
    /// while, such as one that starts anew, is asked again.
    pub(crate) async fn follow(
        &self,
        job: &str,
        limit: Option<Duration>,
        reporter: &mut Reporter,
    ) -> Result<Answer<wire::Job>, Failure> {
        // A time that no clock reaches is no limit.
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let look = if reporter.is_silent() { LOOK } else { GLANCE };
        let mut repeat = Repeat::OnceConnected;
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let asked = Instant::now();
            let wait = left.map_or(look, |left| left.min(look));
            let found = self.status_with(job, wait, repeat).await?;
            repeat = Repeat::WhenLost;
            if found.read.has_ended() {
                return Ok(found);
            }
            reporter.update(&found.read);
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(Failure::new(
                    Exit::Unavailable,
                    format!("job {job} is still {} after the time given", found.read.state),
                )
                .advice(format!("it goes on; collect it later: willcall download {job} --wait")));
            }
            let least = left.map_or(LEAST, |left| left.min(LEAST));
            sleep(least.saturating_sub(asked.elapsed())).await;
        }
    }
}
