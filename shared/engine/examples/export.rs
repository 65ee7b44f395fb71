//! Exports a Parquet file or directory and tells what it took: a measuring tool, run with `--release`.
//!
//! `export SOURCE FORMAT DIRECTORY [--sort a,-b] [--limit N] [--offset N] [--gzip|--zstd] [--threads N]`
#![allow(clippy::print_stdout, reason = "a program that tells what it measured")]

mod support;

use std::{fs, path::PathBuf, sync::Arc, time::Instant};

use willcall_core::{
    JobId, JobRef,
    catalog::{Dataset, DatasetSource},
    error::Source,
    format::{Compression, OutputFormat},
    job::kinds::{QueryWork, SortKey, Work},
    ports::*,
};
use willcall_engine::{Engine, EngineConfig, LocalDataFiles, ParquetInspector};

use self::support::Directory;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Source> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("usage: export SOURCE FORMAT DIRECTORY [options]");
    let (source, format, directory) = (next()?, next()?, PathBuf::from(next()?));
    let mut output = OutputFormat::plain(format.parse()?);
    let (mut sort, mut limit, mut offset) = (Vec::new(), None, 0);
    let mut config = EngineConfig::new(directory.join("spill"));
    while let Ok(option) = next() {
        match option.as_str() {
            "--gzip" => output.compression = Compression::Gzip,
            "--zstd" => output.compression = Compression::Zstd,
            "--limit" => limit = Some(next()?.parse()?),
            "--offset" => offset = next()?.parse()?,
            "--threads" => config.threads = next()?.parse()?,
            "--sort" => {
                let key = |key: &str| match key.strip_prefix('-') {
                    Some(column) => SortKey { column: column.into(), descending: true },
                    None => SortKey { column: key.into(), descending: false },
                };
                sort = next()?.split(',').map(key).collect();
            }
            other => return Err(format!("{other} is no option").into()),
        }
    }

    let source = DatasetSource::at(fs::canonicalize(source)?.to_string_lossy().into_owned());
    let files: Arc<dyn DataFiles> = Arc::new(LocalDataFiles);
    let facts = ParquetInspector::new(Arc::clone(&files)).inspect(&source).await?;
    let work = QueryWork {
        dataset: "data".into(),
        filter: None,
        fields: facts.columns.iter().map(|column| column.name.clone()).collect(),
        sort,
        limit,
        offset,
        max_records: u64::MAX,
        output,
        page_size: 1000,
    };
    let dataset =
        Dataset { name: "data".into(), description: String::new(), source, views: Default::default(), facts };
    let job = JobRef { account: "bench".parse()?, job: JobId::generate() };
    let task = Task {
        job: job.clone(),
        attempt: 1,
        work: Arc::new(Work::Query(Box::new(work))),
        subject: Subject::Dataset(Arc::new(dataset)),
        snapshot: job,
        input: Input::Work,
        max_bytes: None,
        blobs: Arc::new(Directory(directory)),
        control: Arc::new(Control::default()),
    };
    let begun = Instant::now();
    let delivered = Engine::new(config, files).execute(task).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("unknown").trim();
    let file = &delivered.files[0];
    println!("{seconds:.3} s, {} records, {} bytes, peak {peak}, {}", file.records, file.bytes, file.sha256);
    Ok(())
}
