//! Waiting for a job where nothing tells of its changes: look again, ever less often.

use std::time::Duration;

use async_trait::async_trait;
use willcall_core::{
    JobRef,
    ports::{Listener, Signals},
};

use crate::backoff::jitter;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(3);

/// Wakes listeners without knowing of any change: after a quarter of a second at first, every 3 s at last. Most
/// jobs that are waited for end within a second or two.
#[derive(Debug, Clone, Copy, Default)]
pub struct PollingSignals;

impl Signals for PollingSignals {
    fn listen(&self, _job: &JobRef) -> Box<dyn Listener> {
        Box::new(PollingListener { pause: FIRST })
    }
}

struct PollingListener {
    pause: Duration,
}

#[async_trait]
impl Listener for PollingListener {
    async fn changed(&mut self, at_most: Duration) {
        // Jitter keeps many who wait for the same from reading it all at once.
        let pause = self.pause * 3 / 4 + jitter(self.pause / 4);
        self.pause = (self.pause * 3 / 2).min(LONGEST);
        tokio::time::sleep(pause.min(at_most)).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;
    use willcall_core::{AccountId, JobId};

    use super::*;

    fn listen() -> Box<dyn Listener> {
        let account: AccountId = "acme".parse().unwrap();
        PollingSignals.listen(&JobRef { account, job: JobId::generate() })
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_their_bound() {
        let mut listener = listen();
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let began = Instant::now();
            listener.changed(Duration::from_secs(60)).await;
            pauses.push(began.elapsed());
        }
        assert!(pauses[0] <= FIRST && pauses[0] >= FIRST / 2, "{pauses:?}");
        assert!(pauses[11] <= LONGEST + FIRST && pauses[11] >= LONGEST / 2, "{pauses:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_no_longer_than_asked_for() {
        let (mut listener, began) = (listen(), Instant::now());
        listener.changed(Duration::from_millis(20)).await;
        assert!(began.elapsed() < Duration::from_millis(30));
    }
}
