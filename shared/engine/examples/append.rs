//! Makes rows and records, appends, and tells what it took: a measuring tool, run with `--release`.
//!
//! `append DIRECTORY [--rows N] [--records N] [--memory MIB] [--threads N] [--mode first|all|error] [--format F]`
//!
//! One row in ten matches nothing, and one record in a hundred has another one's key.
#![allow(clippy::print_stdout, reason = "a program that tells what it measured")]

mod support;

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use willcall_core::{
    JobId, JobRef,
    catalog::{Dataset, DatasetSource},
    error::Source,
    format::OutputFormat,
    job::kinds::{AppendWork, Compare, MatchKey, OnMultiple, Work},
    ports::*,
};
use willcall_engine::{Engine, EngineConfig, LocalDataFiles, ParquetInspector};

use self::support::Directory;

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
