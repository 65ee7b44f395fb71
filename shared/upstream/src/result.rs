//! Writes outcomes as the file of the result, with its pages and their index, as the engine writes records.

use std::{io::Write, sync::Arc};

use bytes::Bytes;
use flate2::{Compression as Level, GzBuilder};
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;
use willcall_core::{
    catalog::{Column, ColumnType},
    format::{Compression, CsvOptions, Format, OutputFormat},
    job::{
        Job, ManifestFile,
        kinds::{CallWork, ItemOutcome},
        pages::{PAGE_BYTES, frame, index_entry, is_formula},
    },
    ports::{BlobKey, BlobStore, BlobWriter, Control, Task},
};

use crate::failure::{Outcome, blob, defect};

/// How many bytes are handed on at once.
const PIECE: usize = 1 << 20;
const GZIP_LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 3;

/// The file of a result while it is written.
pub(crate) struct ResultFile {
    blobs: Arc<dyn BlobStore>,
    control: Arc<Control>,
    output: OutputFormat,
    page_size: u64,
    name: String,
    file: BlobKey,
    index: BlobKey,
    writer: Option<Box<dyn BlobWriter>>,
    buffer: Vec<u8>,
    entries: Vec<u8>,
    hash: Sha256,
    crc: crc32fast::Hasher,
    bytes: u64,
    pages: u64,
    records: u64,
    /// The page that is being filled, and how many outcomes it has.
    page: Vec<u8>,
    on_page: u64,
}

/// What was written.
pub(crate) struct Written {
    pub(crate) file: ManifestFile,
    pub(crate) pages: u64,
    pub(crate) schema: Vec<Column>,
}

impl ResultFile {
    /// The file of an attempt, its first bytes written.
    pub(crate) async fn begin(task: &Task, work: &CallWork) -> Outcome<Self> {
        let (job, attempt) = (task.job.clone(), task.attempt);
        let name = Job::result_file(&work.output);
        let mut file = Self {
            blobs: Arc::clone(&task.blobs),
            control: Arc::clone(&task.control),
            output: work.output.clone(),
            page_size: u64::from(work.page_size.max(1)),
            file: BlobKey::Result { job: job.clone(), attempt, file: name.clone() },
            index: BlobKey::PageIndex { job, attempt },
            name,
            writer: None,
            buffer: Vec::new(),
            entries: Vec::new(),
            hash: Sha256::new(),
            crc: crc32fast::Hasher::new(),
            bytes: 0,
            pages: 0,
            records: 0,
            page: Vec::new(),
            on_page: 0,
        };
        let (before, _) = frame(&file.output, ItemOutcome::COLUMNS.into_iter());
        file.piece(before).await?;
        Ok(file)
    }

    /// Outcomes written so far.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Bytes written so far; those of the open page are not compressed yet.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes + self.page.len() as u64
    }

    /// Writes the next outcome.
    pub(crate) async fn push(&mut self, outcome: &ItemOutcome) -> Outcome<()> {
        let row = self.encode(outcome)?;
        let separator = usize::from(self.output.format == Format::Json);
        let grown = self.page.len() + separator + row.len();
        if self.on_page > 0 && (self.on_page >= self.page_size || grown > PAGE_BYTES) {
            self.end_page().await?;
            if separator > 0 {
                self.piece(b",".to_vec()).await?;
            }
        }
        if self.on_page > 0 && separator > 0 {
            self.page.push(b',');
        }
        self.page.extend_from_slice(&row);
        self.on_page += 1;
        self.records += 1;
        self.control.add_written(1, 0);
        Ok(())
    }

    /// Ends the file and makes it and its index visible.
    pub(crate) async fn finish(mut self) -> Outcome<Written> {
        if self.on_page > 0 || self.records == 0 {
            self.end_page().await?;
        }
        let (_, after) = frame(&self.output, ItemOutcome::COLUMNS.into_iter());
        self.piece(after.to_vec()).await?;
        self.flush().await?;
        let index = Bytes::from(std::mem::take(&mut self.entries));
        self.blobs.put(&self.index, "application/octet-stream", index).await.map_err(blob)?;
        if let Some(writer) = self.writer.take() {
            writer.finish().await.map_err(blob)?;
        }
        let file = ManifestFile {
            name: self.name,
            batch: None,
            media_type: self.output.media_type().to_owned(),
            records: self.records,
            bytes: self.bytes,
            sha256: hex::encode(self.hash.finalize()),
            crc32: format!("{:08x}", self.crc.finalize()),
        };
        Ok(Written { file, pages: self.pages, schema: schema() })
    }

    /// Gives the file up.
    pub(crate) async fn abort(mut self) {
        if let Some(writer) = self.writer.take()
            && let Err(error) = writer.abort().await
        {
            tracing::debug!(error = %error, "failed to abort a blob");
        }
    }

    async fn end_page(&mut self) -> Outcome<()> {
        let start = self.bytes;
        let page = std::mem::take(&mut self.page);
        self.on_page = 0;
        let page = compress(self.output.compression, page).await?;
        self.write(&page).await?;
        self.pages += 1;
        self.entries.extend_from_slice(&index_entry(start, self.bytes - start));
        Ok(())
    }

    /// Writes what stands around pages, a member of its own where the file is compressed.
    async fn piece(&mut self, text: Vec<u8>) -> Outcome<()> {
        if text.is_empty() {
            return Ok(());
        }
        let piece = compress(self.output.compression, text).await?;
        self.write(&piece).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Outcome<()> {
        self.hash.update(bytes);
        self.crc.update(bytes);
        self.bytes += bytes.len() as u64;
        self.control.add_written(0, bytes.len() as u64);
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Outcome<()> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => {
                let writer = self.blobs.writer(&self.file, self.output.media_type()).await.map_err(blob)?;
                none.insert(writer)
            }
        };
        let piece = std::mem::take(&mut self.buffer);
        if piece.is_empty() { Ok(()) } else { writer.write(piece.into()).await.map_err(blob) }
    }

    fn encode(&self, outcome: &ItemOutcome) -> Outcome<Vec<u8>> {
        match self.output.format {
            Format::Csv => Ok(csv(self.output.csv.as_ref().unwrap_or(&CsvOptions::default()), outcome)),
            Format::Json => serde_json::to_vec(outcome).map_err(defect),
            Format::Jsonl => {
                let mut line = serde_json::to_vec(outcome).map_err(defect)?;
                line.push(b'\n');
                Ok(line)
            }
            // Refused when the job was submitted.
            Format::Parquet | Format::Arrow | Format::Xlsx => {
                Err(defect(format!("outcomes of calls as {}", self.output.format)))
            }
        }
    }
}

fn schema() -> Vec<Column> {
    let json = || ColumnType::Other("json".into());
    let types = [
        json(),
        ColumnType::Text,
        ColumnType::Int { bits: 16, signed: false },
        ColumnType::Int { bits: 32, signed: false },
        json(),
        ColumnType::Text,
    ];
    let nullable = [false, false, true, false, true, true];
    let columns = ItemOutcome::COLUMNS.into_iter().zip(types).zip(nullable);
    columns
        .map(|((name, data_type), nullable)| Column { name: name.to_owned(), data_type, nullable })
        .collect()
}

/// An outcome as a line of CSV. Its body is JSON text, quotes of a text among it.
fn csv(options: &CsvOptions, outcome: &ItemOutcome) -> Vec<u8> {
    let text = outcome.id.as_text();
    let is_text = text.is_some();
    let id = text.unwrap_or_else(|| outcome.id.to_string());
    let fields = [
        Some(id),
        Some(outcome.state.to_string()),
        outcome.status.map(|status| status.to_string()),
        Some(outcome.attempts.to_string()),
        outcome.body.as_ref().map(|body| body.get().to_owned()),
        outcome.error.clone(),
    ];
    let mut line = String::new();
    for (index, field) in fields.into_iter().enumerate() {
        // A number is none, though it may begin with a minus.
        let may_be_formula = index > 0 || is_text;
        if index > 0 {
            line.push(options.delimiter);
        }
        let asks = |text: &str| text.contains(['"', '\n', '\r', options.delimiter]);
        let (mut text, is_null) = match field {
            Some(text) => (text, false),
            None => (options.null.clone(), true),
        };
        if !is_null && options.spreadsheet_safe && may_be_formula && is_formula(&text) {
            text.insert(0, '\'');
        }
        if asks(&text) || (!is_null && (text.is_empty() || text == options.null)) {
            line.push('"');
            line.push_str(&text.replace('"', "\"\""));
            line.push('"');
        } else {
            line.push_str(&text);
        }
    }
    line.push('\n');
    line.into_bytes()
}

/// The text as one member or frame; nothing of when or where it was made is in it.
async fn compress(compression: Compression, text: Vec<u8>) -> Outcome<Vec<u8>> {
    let work = move || match compression {
        Compression::None => Ok(text),
        Compression::Gzip => {
            let buffer = Vec::with_capacity(text.len() / 3 + 64);
            let mut writer =
                GzBuilder::new().mtime(0).operating_system(255).write(buffer, Level::new(GZIP_LEVEL));
            writer.write_all(&text)?;
            writer.finish()
        }
        Compression::Zstd => zstd::bulk::compress(&text, ZSTD_LEVEL),
    };
    if compression == Compression::None {
        return work().map_err(defect);
    }
    // So much work would hold up the calls that are under way.
    spawn_blocking(work).await.map_err(defect)?.map_err(defect)
}

#[cfg(test)]
mod tests {
    use serde_json::{json, value::RawValue};
    use willcall_core::job::kinds::ItemState;

    use super::*;

    fn line(options: &CsvOptions, id: serde_json::Value, body: &str, error: Option<&str>) -> String {
        let outcome = ItemOutcome {
            id: id.into(),
            state: ItemState::Failed,
            status: None,
            attempts: 2,
            body: RawValue::from_string(body.into()).ok(),
            error: error.map(str::to_owned),
        };
        String::from_utf8(csv(options, &outcome)).unwrap()
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        let mut options = CsvOptions::default();
        assert_eq!(
            line(&options, json!("a,b"), "{\"x\":[1,2]}", None),
            "\"a,b\",failed,,2,\"{\"\"x\"\":[1,2]}\",\n"
        );
        assert_eq!(line(&options, json!(""), "7", Some("oh\nno")), "\"\",failed,,2,7,\"oh\nno\"\n");
        options.null = "2".into();
        options.spreadsheet_safe = true;
        options.delimiter = ';';
        assert_eq!(line(&options, json!("=1+1"), "7", Some("a,b")), "'=1+1;failed;2;\"2\";7;a,b\n");
        assert_eq!(line(&options, json!(-5), "\"t\"", None), "-5;failed;2;\"2\";\"\"\"t\"\"\";2\n");
    }
}
