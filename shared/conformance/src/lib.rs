//! The contract of each port as a suite that every adapter runs whole, and fakes in memory that run it too.
//!
//! An adapter implements the suite's harness and calls its macro, which makes a test of every case:
//!
//! ```ignore
//! willcall_conformance::job_store_suite!(MyHarness);
//! ```
//!
//! A suite names its cases once. A case that is not named is dead code, which the lints refuse.

#![expect(clippy::unwrap_used, reason = "a suite is a test: what it does not expect must end it")]

pub mod accounts;
pub mod blob_store;
pub mod data_files;
pub mod job_queue;
pub mod job_store;
mod memory;
pub mod notice_queue;
pub mod samples;
pub mod signals;
pub mod webhook_store;

pub use self::memory::{
    Answer, FakeExecutor, FakeNotifier, FakeSender, FixedCatalog, MemoryAccounts, MemoryBlobStore,
    MemoryJobQueue, MemoryJobStore, MemoryNoticeQueue, MemorySignals, MemoryWebhookStore, OpenVault, Script,
};

/// Names a suite's cases once, and makes of that list both what runs a case by name and the macro that expands to
/// a test of each.
macro_rules! suite {
    ($d:tt $suite:ident in $module:ident for $harness:ident { $($case:ident),+ $(,)? }) => {
        /// Runs one case of the suite; the suite's macro calls it.
        #[doc(hidden)]
        pub async fn run<H: $harness>(case: &str) {
            let harness = H::fresh().await;
            match case {
                $(stringify!($case) => Box::pin($case(&harness)).await,)+
                _ => panic!("{case} is not a case of the suite"),
            }
        }

        /// Makes a test of every case of the suite, each with a fresh harness of the given type.
        #[macro_export]
        macro_rules! $suite {
            ($d harness:ty) => {
                $(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $case() {
                        $crate::$module::run::<$d harness>(stringify!($case)).await;
                    }
                )+
            };
        }
    };
}
pub(crate) use suite;
