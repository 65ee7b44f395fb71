//! Work done on all cores whose outcome comes out in the order of the jobs.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{Builder, Scope},
};

use willcall_core::ports::ExecuteError;

use crate::failure::{Outcome, defect};

/// The outcome of all jobs in the order of the jobs. Dropped, it lets the workers end at their next outcome.
pub(crate) struct Ordered<T> {
    order: Receiver<Receiver<Outcome<T>>>,
    current: Option<Receiver<Outcome<T>>>,
    failed: bool,
}

/// Takes the outcome of one job, piece by piece.
pub(crate) struct Emit<T>(SyncSender<Outcome<T>>);

impl<T> Emit<T> {
    /// Hands a piece on; waits while too many of this job's pieces are waiting. An error means that nobody wants
    /// them any more.
    pub(crate) fn send(&self, piece: T) -> Outcome<()> {
        self.0.send(Ok(piece)).map_err(|_| ExecuteError::Cancelled)
    }
}

struct Feed<I, T> {
    jobs: I,
    order: Option<SyncSender<Receiver<Outcome<T>>>>,
}

/// Runs `work` for each of `jobs` on `threads` threads. At most `threads` + 2 jobs are in flight, each with at most
/// `pieces` pieces of its outcome waiting: that bounds the memory whatever a job makes. After an error nothing more
/// comes out.
pub(crate) fn ordered<'scope, J, T, I, F>(
    scope: &'scope Scope<'scope, '_>,
    threads: usize,
    pieces: usize,
    jobs: I,
    work: F,
) -> Outcome<Ordered<T>>
where
    J: Send + 'scope,
    T: Send + 'scope,
    I: Iterator<Item = Outcome<J>> + Send + 'scope,
    F: Fn(J, &Emit<T>) -> Outcome<()> + Send + Sync + 'scope,
{
    let (sender, order) = sync_channel(threads.max(1));
    let feed = Arc::new(Mutex::new(Feed { jobs, order: Some(sender) }));
    let work = Arc::new(work);
    for _ in 0..threads.max(1) {
        let (feed, work) = (Arc::clone(&feed), Arc::clone(&work));
        let run = move || {
            while let Some((job, emit)) = next(&feed, pieces) {
                let done = catch_unwind(AssertUnwindSafe(|| work(job, &emit)));
                if let Err(error) = done.unwrap_or_else(|panic| Err(panicked(&*panic))) {
                    // Nobody may be left to be told.
                    let _ = emit.0.send(Err(error));
                }
            }
        };
        Builder::new().name("willcall-engine".into()).spawn_scoped(scope, run).map_err(defect)?;
    }
    Ok(Ordered { order, current: None, failed: false })
}

/// Takes the next job and, still under the lock, its place in the order.
fn next<J, T, I: Iterator<Item = Outcome<J>>>(
    feed: &Mutex<Feed<I, T>>,
    pieces: usize,
) -> Option<(J, Emit<T>)> {
    let mut feed = feed.lock().unwrap_or_else(PoisonError::into_inner);
    let order = feed.order.take()?;
    let job = catch_unwind(AssertUnwindSafe(|| feed.jobs.next()));
    let job = job.unwrap_or_else(|panic| Some(Err(panicked(&*panic))))?;
    let (sender, receiver) = sync_channel(pieces.max(1));
    order.send(receiver).ok()?;
    match job {
        Ok(job) => {
            feed.order = Some(order);
            Some((job, Emit(sender)))
        }
        Err(error) => {
            let _ = sender.send(Err(error));
            None
        }
    }
}

impl<T> Iterator for Ordered<T> {
    type Item = Outcome<T>;

    fn next(&mut self) -> Option<Outcome<T>> {
        if self.failed {
            return None;
        }
        loop {
            if let Some(current) = &self.current {
                if let Ok(piece) = current.recv() {
                    self.failed = piece.is_err();
                    return Some(piece);
                }
                self.current = None;
            }
            self.current = Some(self.order.recv().ok()?);
        }
    }
}

/// What a thread said when it panicked, as an error of ours: damaged files can make a decoder panic.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> ExecuteError {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    defect(format!("a thread panicked: {text}"))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn run(threads: usize, jobs: u64, fail_at: Option<u64>) -> (Vec<u64>, Option<String>) {
        thread::scope(|scope| {
            let work = |job: u64, emit: &Emit<u64>| {
                if Some(job) == fail_at {
                    return Err(defect("broken"));
                }
                for piece in 0..job % 7 {
                    emit.send(job * 100 + piece)?;
                }
                Ok(())
            };
            let mut pieces = Vec::new();
            for piece in ordered(scope, threads, 2, (0..jobs).map(Ok), work).unwrap() {
                match piece {
                    Ok(piece) => pieces.push(piece),
                    Err(error) => return (pieces, Some(error.to_string())),
                }
            }
            (pieces, None)
        })
    }

    #[test]
    fn pieces_come_in_the_order_of_jobs_on_any_number_of_threads() {
        let expected: Vec<u64> = (0..500).flat_map(|job| (0..job % 7).map(move |p| job * 100 + p)).collect();
        for threads in [1, 2, 8] {
            assert_eq!(run(threads, 500, None), (expected.clone(), None));
        }
    }

    #[test]
    fn an_error_comes_in_its_place_and_ends_it() {
        let (pieces, error) = run(4, 500, Some(30));
        assert_eq!(pieces.last(), Some(&2900));
        assert!(error.is_some());
    }

    #[test]
    fn a_consumer_that_stops_early_lets_the_workers_end() {
        thread::scope(|scope| {
            let work = |job: u64, emit: &Emit<u64>| emit.send(job);
            let endless = (0..).map(Ok);
            let first: Vec<u64> =
                ordered(scope, 3, 1, endless, work).unwrap().take(5).map(Result::unwrap).collect();
            assert_eq!(first, [0, 1, 2, 3, 4]);
        });
    }

    #[test]
    fn a_panic_is_an_error_and_not_a_hang() {
        thread::scope(|scope| {
            let work = |_: u64, _: &Emit<u64>| panic!("damaged");
            let mut outcome = ordered(scope, 2, 1, (0..9).map(Ok), work).unwrap();
            assert!(matches!(outcome.next(), Some(Err(ExecuteError::Fatal { .. }))));
            assert!(outcome.next().is_none());
        });
    }
}
