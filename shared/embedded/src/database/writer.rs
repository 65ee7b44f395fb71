//! The one thread that writes: it takes all commands that wait, runs them in one transaction, commits, and answers.
//!
//! A sync of the disk costs as much as dozens of small writes, so those who come at the same time share one.

use std::{
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

/// The handle of the thread. Dropping it ends the thread once all waiting commands are done.
pub(super) struct Writer {
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> std::io::Result<Self> {
        let (commands, waiting) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("willcall-writer".into())
            .spawn(move || write_groups(&connection, &waiting))?;
        Ok(Self { commands: Some(commands), thread: Some(thread) })
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
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write_groups(connection: &Connection, waiting: &mpsc::Receiver<Command>) {
    let mut synced = None;
    while let Ok(first) = waiting.recv() {
        let group: Vec<Command> = std::iter::once(first).chain(waiting.try_iter().take(GROUP - 1)).collect();
        let durability = match group.iter().any(|command| command.durability == Durability::Machine) {
            true => Durability::Machine,
            false => Durability::Process,
        };
        // The pragma has no effect within a transaction, so it is set between two.
        if synced != Some(durability) {
            synced = set_durability(connection, durability).ok().map(|()| durability);
        }
        let mut rest = group.into_iter();
        while rest.len() > 0 {
            write_group(connection, &mut rest, synced.is_some());
        }
    }
}

fn set_durability(connection: &Connection, durability: Durability) -> rusqlite::Result<()> {
    let level = match durability {
        Durability::Machine => "FULL",
        Durability::Process => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", level)
}

/// Runs commands in one transaction until all are done, or until SQLite has thrown the transaction away.
fn write_group(connection: &Connection, commands: &mut std::vec::IntoIter<Command>, may_write: bool) {
    let mut answers = Vec::with_capacity(commands.len());
    let begun = match may_write {
        true => execute(connection, "BEGIN IMMEDIATE"),
        false => Err(aborted()),
    };
    if let Err(error) = begun {
        // Each command's own reads would run outside a transaction; none is run.
        tracing::error!(error = %error, "failed to begin a group of writes");
        commands.for_each(drop);
        return;
    }
    for command in commands.by_ref() {
        let (keep, answer) = match execute(connection, "SAVEPOINT command") {
            Ok(()) => (command.run)(connection),
            Err(_) => continue,
        };
        answers.push(answer);
        // A full disk and the like end the whole transaction, not the one command.
        if connection.is_autocommit() {
            tracing::error!("the database dropped a group of writes");
            answer_all(answers, &Err(aborted()));
            return;
        }
        let undone = if keep { Ok(()) } else { execute(connection, "ROLLBACK TO command") };
        if let Err(error) = undone.and_then(|()| execute(connection, "RELEASE command")) {
            tracing::error!(error = %error, "failed to undo a write");
            let _ = execute(connection, "ROLLBACK");
            answer_all(answers, &Err(error));
            return;
        }
    }
    let committed = execute(connection, "COMMIT");
    if let Err(error) = &committed {
        tracing::error!(error = %error, "failed to commit a group of writes");
        if !connection.is_autocommit() {
            let _ = execute(connection, "ROLLBACK");
        }
    }
    answer_all(answers, &committed);
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
