//! The one thread that writes: it takes all commands that wait, runs them in one transaction, commits, and answers. Those
//! whose commits must survive the death of the machine are answered by a second thread, once it has synced the log.
//!
//! A sync of the disk costs as much as dozens of small writes. So those who wait for one share it, those who need none do not
//! wait for it, and the next transaction is made meanwhile.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    thread::JoinHandle,
};

use rusqlite::Connection;

use super::{Durability, Failed};

/// The most commands in one transaction: bounds how long the first of them waits.
const GROUP: usize = 256;

/// Tells the caller the outcome; `Err` where the group was not committed though the command itself ran.
type Answer = Box<dyn FnOnce(Result<(), rusqlite::Error>) + Send>;

/// Brings what was committed so far onto the disk.
pub(super) type SyncLog = Box<dyn FnMut() -> io::Result<()> + Send>;

/// Does the work within its savepoint, and tells whether to keep it and how to answer.
type Run = Box<dyn FnOnce(&Connection) -> (bool, Answer) + Send>;

/// One write that waits for its turn.
pub(super) struct Command {
    durability: Durability,
    run: Run,
}

impl Command {
    pub(super) fn new<T, E>(
        durability: Durability,
        work: impl FnOnce(&Connection) -> Result<T, Failed<E>> + Send + 'static,
        answer: impl FnOnce(Result<T, Failed<E>>) + Send + 'static,
    ) -> Self
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let run = move |connection: &Connection| {
            let result = catch_unwind(AssertUnwindSafe(|| work(connection))).unwrap_or(Err(Failed::Stopped));
            let keep = result.is_ok();
            let answer: Answer = Box::new(move |committed| {
                answer(match committed {
                    Ok(()) => result,
                    // A refusal wrote nothing, so it stands whether or not the others could be written.
                    Err(_) if result.is_err() => result,
                    Err(error) => Err(Failed::Sql(error)),
                });
            });
            (keep, answer)
        };
        Self { durability, run: Box::new(run) }
    }
}

/// The handle of the threads. Dropping it ends them once all waiting commands are done.
pub(super) struct Writer {
    commands: Option<mpsc::Sender<Command>>,
    threads: Vec<JoinHandle<()>>,
}

impl Writer {
    /// Starts the threads. The connection commits without a sync; `sync` makes up for it.
    pub(super) fn start(connection: Connection, sync: SyncLog) -> io::Result<Self> {
        let (commands, waiting) = mpsc::channel();
        let (committed, unsynced) = mpsc::channel();
        let named = |name: &str| std::thread::Builder::new().name(name.into());
        let writer =
            named("willcall-writer").spawn(move || write_groups(&connection, &waiting, &committed))?;
        let syncer = named("willcall-syncer").spawn(move || sync_groups(sync, &unsynced))?;
        Ok(Self { commands: Some(commands), threads: vec![writer, syncer] })
    }

    /// Puts a command in line. Where the thread is gone the command is dropped, which its caller sees.
    pub(super) fn send(&self, command: Command) {
        if let Some(commands) = &self.commands {
            let _ = commands.send(command);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.commands = None;
        // The first that ends lets the second come to its end.
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn write_groups(
    connection: &Connection,
    waiting: &mpsc::Receiver<Command>,
    committed: &mpsc::Sender<Vec<Answer>>,
) {
    while let Ok(first) = waiting.recv() {
        let group: Vec<Command> = std::iter::once(first).chain(waiting.try_iter().take(GROUP - 1)).collect();
        let mut rest = group.into_iter();
        while rest.len() > 0 {
            write_group(connection, &mut rest, committed);
        }
    }
}

/// Answers what was committed once it is on the disk: all that wait, with one sync. After one that failed nobody knows what is
/// there, even where a later one succeeds, so that from then on nothing is said to be.
fn sync_groups(mut sync: SyncLog, unsynced: &mpsc::Receiver<Vec<Answer>>) {
    let mut broken = false;
    while let Ok(first) = unsynced.recv() {
        let mut answers = first;
        answers.extend(unsynced.try_iter().flatten());
        if !broken && let Err(error) = sync() {
            tracing::error!(error = %error, "failed to sync the database's log: nothing is accepted until a restart");
            broken = true;
        }
        answer_all(answers, &if broken { Err(unsynced_log()) } else { Ok(()) });
    }
}

/// Runs commands in one transaction until all are done, or until SQLite has thrown the transaction away.
fn write_group(
    connection: &Connection,
    commands: &mut std::vec::IntoIter<Command>,
    committed: &mpsc::Sender<Vec<Answer>>,
) {
    let mut answers = Vec::with_capacity(commands.len());
    if let Err(error) = execute(connection, "BEGIN IMMEDIATE") {
        // Each command's own reads would run outside a transaction; none is run.
        tracing::error!(error = %error, "failed to begin a group of writes");
        commands.for_each(drop);
        return;
    }
    for command in commands.by_ref() {
        let Command { durability, run } = command;
        let (keep, answer) = match execute(connection, "SAVEPOINT command") {
            Ok(()) => run(connection),
            Err(_) => continue,
        };
        answers.push((durability, answer));
        // A full disk and the like end the whole transaction, not the one command.
        if connection.is_autocommit() {
            tracing::error!("the database dropped a group of writes");
            answer_all(all(answers), &Err(aborted()));
            return;
        }
        let undone = if keep { Ok(()) } else { execute(connection, "ROLLBACK TO command") };
        if let Err(error) = undone.and_then(|()| execute(connection, "RELEASE command")) {
            tracing::error!(error = %error, "failed to undo a write");
            let _ = execute(connection, "ROLLBACK");
            answer_all(all(answers), &Err(error));
            return;
        }
    }
    if let Err(error) = execute(connection, "COMMIT") {
        tracing::error!(error = %error, "failed to commit a group of writes");
        if !connection.is_autocommit() {
            let _ = execute(connection, "ROLLBACK");
        }
        answer_all(all(answers), &Err(error));
        return;
    }
    let (unsynced, done): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|(durability, _)| *durability == Durability::Machine);
    // Handed over first: the sync begins while the others are answered.
    if !unsynced.is_empty()
        && let Err(lost) = committed.send(all(unsynced))
    {
        answer_all(lost.0, &Err(unsynced_log()));
    }
    answer_all(all(done), &Ok(()));
}

/// The answers, whatever they were to survive.
fn all(answers: Vec<(Durability, Answer)>) -> Vec<Answer> {
    answers.into_iter().map(|(_, answer)| answer).collect()
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}

fn answer_all(answers: Vec<Answer>, committed: &rusqlite::Result<()>) {
    for answer in answers {
        answer(match committed {
            Ok(()) => Ok(()),
            Err(rusqlite::Error::SqliteFailure(failure, message)) => {
                Err(rusqlite::Error::SqliteFailure(*failure, message.clone()))
            }
            Err(_) => Err(aborted()),
        });
    }
}

fn aborted() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK), None)
}

fn unsynced_log() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC), None)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::database::Never;

    /// A writer over an empty database, whose syncs come out as the other end says.
    fn writer() -> (Writer, mpsc::Sender<io::Result<()>>) {
        let (outcomes, next) = mpsc::channel();
        let sync = move || next.recv().unwrap_or_else(|_| Err(io::Error::other("the test is over")));
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (n INTEGER)").unwrap();
        (Writer::start(connection, Box::new(sync)).unwrap(), outcomes)
    }

    /// Inserts a number; what is received is whether that was committed as it asks for.
    fn insert(writer: &Writer, durability: Durability, n: i64) -> mpsc::Receiver<bool> {
        let (sender, receiver) = mpsc::channel();
        let work = move |connection: &Connection| -> Result<i64, Failed<Never>> {
            connection.execute("INSERT INTO t VALUES (?1)", [n])?;
            Ok(connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0))?)
        };
        writer.send(Command::new(durability, work, move |result: Result<i64, Failed<Never>>| {
            let _ = sender.send(result.is_ok());
        }));
        receiver
    }

    const SOON: Duration = Duration::from_secs(10);
    const NOT_YET: Duration = Duration::from_millis(50);

    #[test]
    fn only_those_who_need_a_sync_wait_for_it() {
        let (writer, outcomes) = writer();
        let first = insert(&writer, Durability::Machine, 1);
        let quick = insert(&writer, Durability::Process, 2);
        assert_eq!(quick.recv_timeout(SOON), Ok(true));
        let second = insert(&writer, Durability::Machine, 3);
        assert_eq!(insert(&writer, Durability::Process, 4).recv_timeout(SOON), Ok(true));
        assert!(first.recv_timeout(NOT_YET).is_err() && second.recv_timeout(NOT_YET).is_err());
        outcomes.send(Ok(())).unwrap();
        assert_eq!(first.recv_timeout(SOON), Ok(true));
        outcomes.send(Ok(())).unwrap();
        assert_eq!(second.recv_timeout(SOON), Ok(true));
    }

    #[test]
    fn those_who_wait_share_a_sync() {
        let (writer, outcomes) = writer();
        let first = insert(&writer, Durability::Machine, 0);
        let others: Vec<_> = (1..100).map(|n| insert(&writer, Durability::Machine, n)).collect();
        assert_eq!(
            insert(&writer, Durability::Process, 100).recv_timeout(SOON),
            Ok(true),
            "all are committed"
        );
        outcomes.send(Ok(())).unwrap();
        assert_eq!(first.recv_timeout(SOON), Ok(true));
        outcomes.send(Ok(())).unwrap();
        assert!(others.iter().all(|other| other.recv_timeout(SOON) == Ok(true)));
    }

    #[test]
    fn after_a_sync_that_failed_nothing_is_said_to_be_kept() {
        let (writer, outcomes) = writer();
        outcomes.send(Err(io::Error::other("the disk is broken"))).unwrap();
        assert_eq!(insert(&writer, Durability::Machine, 1).recv_timeout(SOON), Ok(false));
        outcomes.send(Ok(())).unwrap();
        assert_eq!(insert(&writer, Durability::Machine, 2).recv_timeout(SOON), Ok(false));
        assert_eq!(insert(&writer, Durability::Process, 3).recv_timeout(SOON), Ok(true));
    }

    #[test]
    fn what_waits_is_answered_before_the_threads_end() {
        let (writer, outcomes) = writer();
        let last = insert(&writer, Durability::Machine, 1);
        outcomes.send(Ok(())).unwrap();
        drop(writer);
        assert_eq!(last.try_recv(), Ok(true));
    }
}
