//! A runtime for reading, apart from the host's: threads that wait for what they read must not wait for themselves.

use std::{io, sync::mpsc};

use tokio::runtime::{Builder, Runtime};
use willcall_core::ports::DataFilesError;

/// What moves bytes between the network and those who read; decoding them takes far more.
const THREADS: usize = 2;

/// The runtime. It ends when the last who reads by it goes.
pub(super) struct OwnRuntime(Option<Runtime>);

/// The host ends, and its runtime did first.
#[derive(Debug, thiserror::Error)]
#[error("reading has ended")]
struct Ended;

impl OwnRuntime {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("willcall-s3")
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Runs what is asked for by async code.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, DataFilesError>> + Send + 'static,
    ) -> Result<T, DataFilesError> {
        let Some(runtime) = &self.0 else { return Err(ended()) };
        runtime.spawn(work).await.map_err(|error| DataFilesError::Unavailable(error.into()))?
    }

    /// Runs what is asked for by a thread, and blocks it meanwhile.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, DataFilesError>> + Send + 'static,
    ) -> Result<T, DataFilesError> {
        let Some(runtime) = &self.0 else { return Err(ended()) };
        let (done, outcome) = mpsc::sync_channel(1);
        runtime.spawn(async move {
            // The thread waits for it.
            let _ = done.send(work.await);
        });
        outcome.recv().map_err(|_| ended())?
    }
}

fn ended() -> DataFilesError {
    DataFilesError::Unavailable(Box::new(Ended))
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        // Without a wait, which a thread of another runtime may not do.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
