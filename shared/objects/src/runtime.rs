//! A runtime for reading, apart from the host's: threads that wait for what they read must not wait for themselves.

use std::sync::{Mutex, PoisonError, mpsc};

use tokio::runtime::{Builder, Handle, Runtime};
use willcall_core::ports::DataFilesError;

/// What moves bytes between the network and those who read; decoding them takes far more.
const THREADS: usize = 2;

/// The runtime. It starts when somebody first reads, and ends when the last who reads by it goes.
#[derive(Default)]
pub struct OwnRuntime(Mutex<Option<Runtime>>);

/// The host ends, and what was read for it did first.
#[derive(Debug, thiserror::Error)]
#[error("reading has ended")]
struct Ended;

impl OwnRuntime {
    fn handle(&self) -> Result<Handle, DataFilesError> {
        let mut runtime = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*runtime {
            return Ok(runtime.handle().clone());
        }
        let started = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("willcall-s3")
            .enable_all()
            .build()
            .map_err(|error| DataFilesError::Unavailable(error.into()))?;
        let handle = started.handle().clone();
        *runtime = Some(started);
        Ok(handle)
    }

    /// Runs what is asked for by async code.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, DataFilesError>> + Send + 'static,
    ) -> Result<T, DataFilesError> {
        self.handle()?.spawn(work).await.map_err(|error| DataFilesError::Unavailable(error.into()))?
    }

    /// Runs what is asked for by a thread, and blocks it meanwhile.
    pub fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, DataFilesError>> + Send + 'static,
    ) -> Result<T, DataFilesError> {
        let (done, outcome) = mpsc::sync_channel(1);
        self.handle()?.spawn(async move {
            // The thread waits for it.
            let _ = done.send(work.await);
        });
        outcome.recv().map_err(|_| DataFilesError::Unavailable(Box::new(Ended)))?
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        // Without a wait, which a thread of another runtime may not do.
        let runtime = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = runtime.take() {
            runtime.shutdown_background();
        }
    }
}
