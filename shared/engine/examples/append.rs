//! Makes rows and records, appends, and tells what it took: a measuring tool, run with `--release`.
//!
//! `append DIRECTORY [--rows N] [--records N] [--memory MIB] [--threads N] [--mode first|all|error] [--format F]`
//!
//! One row in ten matches nothing, and one record in a hundred has another one's key.
#![allow(clippy::print_stdout, reason = "a program that tells what it measured")]

use std::{
    fs::{self, File},
    io::{BufWriter, Read, Seek, SeekFrom, Write},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use willcall_core::{
    JobId, JobRef, Timestamp,
    catalog::{Dataset, DatasetSource},
    error::Source,
    format::OutputFormat,
    job::kinds::{AppendWork, Compare, MatchKey, OnMultiple, Work},
    ports::*,
};
use willcall_engine::{Engine, EngineConfig, LocalDataFiles, ParquetInspector};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Source> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: append DIRECTORY [options]");
    let directory = PathBuf::from(next()?);
    let (mut rows, mut records, mut mode) = (1_000_000, 1_000_000, OnMultiple::First);
    let mut output = OutputFormat::plain("csv".parse()?);
    let mut config = EngineConfig::new(directory.join("spill"));
    while let Ok(option) = next() {
        match option.as_str() {
            "--rows" => rows = next()?.parse()?,
            "--records" => records = next()?.parse()?,
            "--memory" => config.sort_memory = next()?.parse::<usize>()? << 20,
            "--threads" => config.threads = next()?.parse()?,
            "--format" => output = OutputFormat::plain(next()?.parse()?),
            "--mode" => {
                let wanted = next()?;
                let found = OnMultiple::ALL.into_iter().find(|mode| mode.as_str() == wanted);
                mode = found.ok_or("no such mode")?;
            }
            other => return Err(format!("{other} is no option").into()),
        }
    }

    fs::create_dir_all(&directory)?;
    let data = directory.join("data.parquet");
    make_records(&data, records)?;
    let job = JobRef { account: "bench".parse()?, job: JobId::generate() };
    let key = BlobKey::Upload { job: job.clone(), file: 0 };
    let blobs = Directory(directory.clone());
    make_rows(&blobs.path(&key)?, rows, records)?;
    let head = blobs.head(&key).await?.ok_or("the upload was not written")?;
    // What making them took is not a part of what is measured.
    fs::write("/proc/self/clear_refs", "5")?;

    let source = DatasetSource::at(fs::canonicalize(data)?.to_string_lossy());
    let files: Arc<dyn DataFiles> = Arc::new(LocalDataFiles);
    let facts = ParquetInspector::new(Arc::clone(&files)).inspect(&source).await?;
    let on = MatchKey { input: "mail".into(), column: "email".into(), compare: Compare::Email };
    let work = AppendWork {
        dataset: "data".into(),
        on: vec![on],
        on_multiple: mode,
        fields: vec!["id".into(), "name".into(), "score".into()],
        max_records: u64::MAX,
        output,
        page_size: 1000,
        items: None,
    };
    let dataset =
        Dataset { name: "data".into(), description: String::new(), source, views: Default::default(), facts };
    let input = InputFile {
        key,
        name: "rows.csv".into(),
        media_type: "text/csv".into(),
        bytes: head.size,
        etag: head.etag,
    };
    let task = Task {
        job: job.clone(),
        attempt: 1,
        work: Arc::new(Work::Append(Box::new(work))),
        subject: Subject::Dataset(Arc::new(dataset)),
        snapshot: job,
        input: Input::Files(vec![input]),
        max_bytes: None,
        blobs: Arc::new(blobs),
        control: Arc::new(Control::default()),
    };
    let begun = Instant::now();
    let delivered = Engine::new(config, files).execute(task).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("unknown").trim();
    let file = &delivered.files[0];
    println!("{seconds:.3} s, {} records, {} bytes, peak {peak}, {}", file.records, file.bytes, file.sha256);
    println!("{:?}", delivered.counts);
    Ok(())
}

/// Which record's key the record or row of that number has, shuffled over all.
fn shuffled(number: u64, of: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23).wrapping_mul(0xD6E8_FEB8_6659_FD93) % of
}

fn make_records(path: &Path, records: u64) -> Result<(), Source> {
    let mut writer: Option<ArrowWriter<File>> = None;
    for start in (0..records).step_by(65_536) {
        let numbers = start..records.min(start + 65_536);
        let key = |n: u64| if n % 100 == 7 { n - 1 } else { n };
        let email = numbers.clone().map(|n| format!("Person.{}@Example.org", key(n)));
        let columns: [(&str, ArrayRef); 4] = [
            ("id", Arc::new(Int64Array::from_iter_values(numbers.clone().map(|n| n as i64)))),
            ("email", Arc::new(StringArray::from_iter_values(email))),
            (
                "name",
                Arc::new(StringArray::from_iter_values(
                    numbers.clone().map(|n| format!("Person number {n}")),
                )),
            ),
            ("score", Arc::new(Float64Array::from_iter_values(numbers.map(|n| n as f64 / 8.0)))),
        ];
        let batch = RecordBatch::try_from_iter(columns)?;
        let writer = match &mut writer {
            Some(writer) => writer,
            none => none.insert(ArrowWriter::try_new(File::create(path)?, batch.schema(), None)?),
        };
        writer.write(&batch)?;
    }
    writer.ok_or("there must be a record")?.close()?;
    Ok(())
}

fn make_rows(path: &Path, rows: u64, records: u64) -> Result<(), Source> {
    let mut file = BufWriter::new(File::create(path)?);
    writeln!(file, "row,mail,note")?;
    for row in 0..rows {
        let place = if row % 10 == 3 { records + row } else { shuffled(row, records) };
        writeln!(file, "{row},person.{place}@example.org,\"a note, of row {row}\"")?;
    }
    file.flush()?;
    Ok(())
}

/// Blobs as plain files of a directory, without durability.
#[derive(Clone)]
struct Directory(PathBuf);

impl Directory {
    fn path(&self, key: &BlobKey) -> Result<PathBuf, BlobError> {
        let path = self.0.join(key.to_string());
        fs::create_dir_all(path.parent().unwrap_or(&self.0)).map_err(failed)?;
        Ok(path)
    }
}

fn failed(error: std::io::Error) -> BlobError {
    BlobError::Unavailable(error.into())
}

#[async_trait]
impl BlobStore for Directory {
    async fn writer(&self, key: &BlobKey, _: &str) -> Result<Box<dyn BlobWriter>, BlobError> {
        Ok(Box::new(Writer(File::create(self.path(key)?).map_err(failed)?)))
    }

    async fn put(&self, key: &BlobKey, _: &str, bytes: Bytes) -> Result<(), BlobError> {
        fs::write(self.path(key)?, bytes).map_err(failed)
    }

    async fn put_new(&self, key: &BlobKey, media_type: &str, bytes: Bytes) -> Result<PutNew, BlobError> {
        self.put(key, media_type, bytes).await.map(|()| PutNew::Created)
    }

    async fn head(&self, key: &BlobKey) -> Result<Option<BlobHead>, BlobError> {
        let modified = Timestamp::from_millis(0);
        let head = |file: fs::Metadata| BlobHead { size: file.len(), etag: String::new(), modified };
        Ok(fs::metadata(self.path(key)?).ok().map(head))
    }

    async fn read(&self, key: &BlobKey, range: Range<u64>) -> Result<Bytes, BlobError> {
        let mut file = File::open(self.path(key)?).map_err(failed)?;
        file.seek(SeekFrom::Start(range.start)).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(range.end - range.start).read_to_end(&mut bytes).map_err(failed)?;
        Ok(bytes.into())
    }

    async fn stream(&self, key: &BlobKey, range: Option<Range<u64>>) -> Result<BlobStream, BlobError> {
        let size = fs::metadata(self.path(key)?).map_err(failed)?.len();
        let Range { start, end } = range.unwrap_or(0..size);
        let (own, key) = (self.clone(), key.clone());
        let starts = futures::stream::iter((start..end).step_by(1 << 20));
        let pieces = starts.then(move |start| {
            let (own, key) = (own.clone(), key.clone());
            async move { own.read(&key, start..end.min(start + (1 << 20))).await }
        });
        Ok(pieces.boxed())
    }

    async fn delete_prefix(&self, _: &BlobPrefix) -> Result<u64, BlobError> {
        Ok(0)
    }

    async fn sign_get(&self, key: &BlobKey, _: &SignGet) -> Result<SignedLink, BlobError> {
        Err(BlobError::Missing(key.to_string()))
    }

    async fn sign_put(&self, key: &BlobKey, _: &SignPut) -> Result<SignedUpload, BlobError> {
        Err(BlobError::Missing(key.to_string()))
    }
}

struct Writer(File);

#[async_trait]
impl BlobWriter for Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        self.0.write_all(&bytes).map_err(failed)
    }

    async fn finish(self: Box<Self>) -> Result<BlobHead, BlobError> {
        let size = self.0.metadata().map_err(failed)?.len();
        Ok(BlobHead { size, etag: String::new(), modified: Timestamp::from_millis(0) })
    }

    async fn abort(self: Box<Self>) -> Result<(), BlobError> {
        Ok(())
    }
}
