//! The items of a job, one after the other: those that came with the request, or the rows of uploaded files.

use std::{
    borrow::Cow,
    io::{self, Read},
    sync::Arc,
};

use bytes::{Buf, Bytes};
use futures::StreamExt;
use serde_json::{Map, Value};
use tokio::{sync::mpsc, task::spawn_blocking};
use willcall_core::{
    catalog::{JsonSchema, Upstream},
    job::{ProblemType, kinds::CallWork},
    json::{Json, Object, bounded},
    ports::{BlobStore, Control, ExecuteError, Input, InputFile, Task},
};
use willcall_engine::read::{Columns, Declared, Field, FileError, ReadOptions, Row, RowReader};

use crate::{
    call::Item,
    failure::{Outcome, blob, defect, fatal, transient},
};

/// Items that are read ahead.
const AHEAD: usize = 64;

/// An item as it was read, or why it cannot be sent.
#[derive(Debug)]
pub(crate) struct Given {
    /// The item; without members where it could not be read.
    pub(crate) item: Item,
    /// Why it cannot be sent.
    pub(crate) wrong: Option<String>,
}

/// The items in order.
pub(crate) struct Items {
    upstream: Arc<Upstream>,
    id: String,
    rows: Rows,
    read: u64,
    /// The number of the first one, as far as items are named by theirs.
    first: u64,
    most: u64,
    /// How many there are, those beyond the plan's limit among them.
    pub(crate) total: u64,
}

enum Rows {
    Inline(std::vec::IntoIter<Object>),
    Uploaded(mpsc::Receiver<Outcome<Result<Object, String>>>),
}

impl Items {
    /// The items of a task. Uploaded files are read once before anything is sent: a file that breaks off must not be found
    /// to when half of it was.
    pub(crate) async fn open(task: &Task, work: &CallWork, upstream: &Arc<Upstream>) -> Outcome<Self> {
        let (rows, total) = match &task.input {
            Input::Work => {
                let items = work.items.clone().unwrap_or_default();
                let total = items.len() as u64;
                (Rows::Inline(items.into_iter()), total)
            }
            Input::Files(files) => {
                let total = count(task, files).await?;
                (Rows::Uploaded(rows(&task.blobs, files, upstream.input.clone())), total)
            }
        };
        Ok(Self {
            upstream: Arc::clone(upstream),
            id: work.id.clone(),
            rows,
            read: 0,
            first: work.first_item.unwrap_or(1),
            most: work.max_records,
            total,
        })
    }

    /// How many are done at most.
    pub(crate) fn expected(&self) -> u64 {
        self.total.min(self.most)
    }

    /// The next item; `None` behind the last one, and behind the last that the plan allows. May be given up and asked again.
    pub(crate) async fn next(&mut self) -> Outcome<Option<Given>> {
        if self.read >= self.most {
            return Ok(None);
        }
        let row = match &mut self.rows {
            Rows::Inline(items) => items.next().map(Ok),
            Rows::Uploaded(rows) => rows.recv().await.transpose()?,
        };
        let Some(row) = row else { return Ok(None) };
        self.read += 1;
        let (object, wrong) = match row {
            Ok(object) => {
                let misfits = self.upstream.check(&object);
                let words = misfits.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                (object, Some(words).filter(|words| !words.is_empty()))
            }
            Err(words) => (Object::from(Map::new()), Some(words)),
        };
        let number = self.read;
        let id = match object.members().get(&self.id) {
            Some(Value::String(_) | Value::Number(_)) => object.written(&self.id),
            _ => None,
        };
        let id = id.unwrap_or_else(|| Json::from(Value::from(self.first + number - 1)));
        Ok(Some(Given { item: Item { number, id, object }, wrong }))
    }
}

/// Reads all files to their end and counts their rows. Ends at once when the work is told to stop, however slowly they come.
async fn count(task: &Task, files: &[InputFile]) -> Outcome<u64> {
    let mut rows = 0;
    for file in files {
        let counted = async {
            let input = open(&task.blobs, file).await?;
            let (name, control) = (file.clone(), Arc::clone(&task.control));
            let counted =
                spawn_blocking(move || count_rows(input, &name, &control)).await.map_err(defect)??;
            pinned(&task.blobs, file).await?;
            Ok::<u64, ExecuteError>(counted)
        };
        rows += tokio::select! {
            biased;
            () = task.control.cancelled() => return Err(ExecuteError::Cancelled),
            counted = counted => counted?,
        };
    }
    Ok(rows)
}

/// The thread that counts is left behind by whoever stops waiting for it, and looks by itself whether anybody still does.
fn count_rows(input: BlobRead, file: &InputFile, control: &Control) -> Outcome<u64> {
    const LOOK_EVERY: u64 = 1024;
    let mut reader = reader(input, file)?;
    let mut row = Row::default();
    while reader.next_row(&mut row).map_err(|error| unread(file, error))?.is_some() {
        if reader.rows().is_multiple_of(LOOK_EVERY) && control.is_cancelled() {
            return Err(ExecuteError::Cancelled);
        }
    }
    Ok(reader.rows())
}

/// Reads the rows of all files in a thread of its own, which ends when nobody takes them any more.
fn rows(
    blobs: &Arc<dyn BlobStore>,
    files: &[InputFile],
    schema: Option<JsonSchema>,
) -> mpsc::Receiver<Outcome<Result<Object, String>>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let (blobs, files) = (Arc::clone(blobs), files.to_vec());
    tokio::spawn(async move {
        for file in files {
            if let Err(error) = send_rows(&blobs, file, schema.clone(), sender.clone()).await {
                // Nobody is told where nobody listens.
                let _ = sender.send(Err(error)).await;
                return;
            }
        }
    });
    receiver
}

async fn send_rows(
    blobs: &Arc<dyn BlobStore>,
    file: InputFile,
    schema: Option<JsonSchema>,
    sender: mpsc::Sender<Outcome<Result<Object, String>>>,
) -> Outcome<()> {
    let input = open(blobs, &file).await?;
    let name = file.clone();
    let read = move || {
        let mut reader = reader(input, &name)?;
        let typed = !reader.recognised().format.is_json();
        let mut row = Row::default();
        while let Some(read) = reader.next_row(&mut row).map_err(|error| unread(&name, error))? {
            let object = match read {
                Ok(()) => object(&row, reader.columns(), schema.as_ref().filter(|_| typed), typed),
                Err(error) => Err(format!("{}: {error}", name.name)),
            };
            if sender.blocking_send(Ok(object)).is_err() {
                return Ok(());
            }
        }
        Ok(())
    };
    spawn_blocking(read).await.map_err(defect)??;
    pinned(blobs, &file).await
}

fn reader(input: BlobRead, file: &InputFile) -> Outcome<RowReader> {
    let declared = Declared::of_media_type(&file.media_type);
    RowReader::open(input, declared, ReadOptions::default()).map_err(|error| unread(file, error))
}

fn unread(file: &InputFile, error: FileError) -> ExecuteError {
    match error {
        FileError::Unreadable(source) => transient(format!("{} cannot be read now", file.name), source),
        error => fatal(ProblemType::InvalidRequest, format!("{}: {error}", file.name)),
    }
}

/// Whether the file is still the one that arrived.
async fn pinned(blobs: &Arc<dyn BlobStore>, file: &InputFile) -> Outcome<()> {
    let head = blobs.head(&file.key).await.map_err(blob)?;
    if head.is_some_and(|head| head.etag == file.etag) {
        return Ok(());
    }
    let detail = format!("{} is not the file any more that arrived", file.name);
    Err(fatal(ProblemType::Conflict, detail))
}

/// A row as an object. CSV has nothing but text: where the upstream says that a member is a number or a truth value, text
/// that is one becomes one; and where nothing stands, there is no member.
fn object(row: &Row, columns: &Columns, schema: Option<&JsonSchema>, is_csv: bool) -> Result<Object, String> {
    let mut object = String::from("{");
    for (place, name) in columns.names().iter().enumerate() {
        let value = match row.field(place) {
            Field::Missing => continue,
            Field::Null if is_csv => continue,
            Field::Null => "null".into(),
            Field::Text(text) => typed(text, schema.and_then(|schema| schema.scalar_type(name))),
            Field::Boolean(truth) => truth.to_string().into(),
            Field::Number(text) | Field::Json(text) => Cow::Borrowed(text),
        };
        let separator = if object.len() > 1 { "," } else { "" };
        object.push_str(&format!("{separator}{}:{value}", quoted(name)));
    }
    object.push('}');
    Object::parse(&object).map_err(|error| format!("cannot be read: {error}"))
}

/// Text of CSV as JSON: what the upstream says is to be a number or a truth value, where it is one, and else a string.
fn typed<'a>(text: &'a str, wanted: Option<&str>) -> Cow<'a, str> {
    let is_wanted =
        wanted.is_some_and(|wanted| match (wanted, serde_json::from_str::<Value>(&bounded(text.trim()))) {
            ("boolean", Ok(value)) => value.is_boolean(),
            (_, Ok(value)) => value.is_number(),
            (_, Err(_)) => false,
        });
    if is_wanted { text.trim().into() } else { quoted(text).into() }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The bytes of a blob for a thread that reads them.
struct BlobRead {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

/// Begins to read a file that is the one that arrived.
async fn open(blobs: &Arc<dyn BlobStore>, file: &InputFile) -> Outcome<BlobRead> {
    pinned(blobs, file).await?;
    let mut stream = blobs.stream(&file.key, None).await.map_err(blob)?;
    let (sender, pieces) = mpsc::channel(4);
    tokio::spawn(async move {
        while let Some(piece) = stream.next().await {
            if sender.send(piece.map_err(io::Error::other)).await.is_err() {
                return;
            }
        }
    });
    Ok(BlobRead { pieces, piece: Bytes::new() })
}

impl Read for BlobRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
