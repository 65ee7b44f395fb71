//! `catalog build`: brings the catalog to the bucket of a host on AWS, and with it the files of data sets that only this
//! machine has.
//!
//! The catalog goes last: until then nobody reads what is uploaded, and a build that stops on the way has changed
//! nothing that anybody sees.

use std::{collections::BTreeMap, sync::Arc};

use futures::{StreamExt, TryStreamExt, stream};
use indicatif::DecimalBytes;
use serde_json::{Value, json};
use willcall_aws::{Action, LocalFile, PublishError, S3Publisher, Upload};
use willcall_core::{
    catalog::{BuiltCatalog, Catalog, Dataset, Place},
    ports::{Clock, DataFiles, DataFilesByPlace, DataFilesError, DatasetInspector, SystemClock},
};
use willcall_engine::ParquetInspector;

use super::clients::{by_place, clients};
use crate::{
    args::Global,
    commands::catalog::{BuildArgs, inspected},
    failure::{Exit, Failure, chain},
    host::{catalog_path, write_whole},
    output::{note, print, print_json, table},
};

/// Files that are on their way at once. Each holds some parts in memory.
const AT_ONCE: usize = 4;
const STDOUT: &str = "-";

pub(crate) async fn build(global: &Global, args: BuildArgs) -> Result<(), Failure> {
    let path = catalog_path(global)?;
    let clients = clients().await?;
    let files = by_place(&clients);
    let inspector = Arc::new(ParquetInspector::new(Arc::new(files.clone())));
    let publisher = S3Publisher::new(&clients, &args.bucket);

    let catalog = inspected(&path, Arc::clone(&inspector) as _).await?;
    let before = publisher.published(&args.key).await?;
    let uploads = plan(&catalog, &files, &publisher).await?;
    if !args.dry_run {
        for (name, upload) in &uploads {
            carry_out(name, upload, &publisher).await?;
        }
    }
    let catalog = moved(&catalog, &uploads, &*inspector, args.dry_run).await?;
    let built = BuiltCatalog { catalog, built: SystemClock.now() };
    let document =
        built.to_json().map_err(|error| Failure::caused(Exit::Failed, "cannot write the catalog", &error))?;
    let mut removed = None;
    if !args.dry_run {
        publisher.publish(&before, document.clone()).await?;
        // The catalog is in place: what is left over costs money, but harms nobody.
        match publisher.sweep(&before, &built).await {
            Ok(count) => removed = Some(count),
            Err(error) => {
                note(format!("warning: cannot remove files that no catalog names: {}", chain(&error)));
            }
        }
    }
    write(&args, &document)?;
    report(global, &args, &built, &uploads, removed)
}

/// What brings each data set that is on this machine into the bucket.
async fn plan(
    catalog: &Catalog,
    files: &DataFilesByPlace,
    publisher: &S3Publisher,
) -> Result<BTreeMap<String, Upload>, Failure> {
    let mut uploads = BTreeMap::new();
    for dataset in catalog.datasets.values() {
        let Place::Disk(path) = Place::of(&dataset.source.location) else { continue };
        let listed = files.list(&dataset.source).await.map_err(|error| unlisted(dataset, &error))?;
        let local = |entry: willcall_core::ports::DataFileEntry| LocalFile {
            path: entry.location.into(),
            name: entry.name,
        };
        let listed = listed.into_iter().map(local).collect();
        let upload = publisher.plan(&dataset.name, listed, path.is_dir()).await?;
        uploads.insert(dataset.name.clone(), upload);
    }
    Ok(uploads)
}

fn unlisted(dataset: &Dataset, error: &DataFilesError) -> Failure {
    Failure::caused(Exit::Usage, format!("datasets.{}: cannot be listed", dataset.name), error)
}

async fn carry_out(name: &str, upload: &Upload, publisher: &S3Publisher) -> Result<(), Failure> {
    let Done { uploaded, bytes, .. } = Done::of(upload);
    if uploaded > 0 {
        note(format!("uploading {name}: {}, {}", count(uploaded, "file"), DecimalBytes(bytes)));
    }
    let steps = upload.steps.iter().map(|step| publisher.carry_out(step));
    stream::iter(steps).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
    Ok(())
}

/// The catalog with its data sets where functions find them. What it tells of them is read anew from there, unless
/// nothing was brought there.
async fn moved(
    catalog: &Catalog,
    uploads: &BTreeMap<String, Upload>,
    inspector: &dyn DatasetInspector,
    dry_run: bool,
) -> Result<Catalog, Failure> {
    let mut moved = catalog.clone();
    for (name, upload) in uploads {
        let Some(dataset) = moved.datasets.get_mut(name) else { continue };
        let dataset = Arc::make_mut(dataset);
        dataset.source.location = upload.location.clone();
        if dry_run {
            continue;
        }
        let facts = inspector.inspect(&dataset.source).await.map_err(|error| {
            let words = format!("datasets.{name}: cannot be read where it was uploaded");
            Failure::caused(Exit::Unavailable, words, &error)
        })?;
        let is_same = (&facts.columns, facts.records, facts.files)
            == (&dataset.facts.columns, dataset.facts.records, dataset.facts.files);
        if !is_same {
            let words = format!("datasets.{name}: its files changed while they were uploaded");
            return Err(Failure::new(Exit::Failed, words).advice(AGAIN));
        }
        dataset.facts = facts;
    }
    Ok(moved)
}

const AGAIN: &str = "run it again: what is uploaded already is not uploaded twice";

fn write(args: &BuildArgs, document: &[u8]) -> Result<(), Failure> {
    let Some(path) = &args.output else { return Ok(()) };
    let text = String::from_utf8_lossy(document);
    if path.as_os_str() == STDOUT {
        return print(&format!("{text}\n"));
    }
    write_whole(path, &text)
        .map_err(|error| Failure::caused(Exit::Failed, format!("cannot write {}", path.display()), &error))
}

/// What a data set's steps come to.
#[derive(Default, Clone, Copy)]
struct Done {
    uploaded: u64,
    /// Of what is uploaded.
    bytes: u64,
    copied: u64,
    kept: u64,
}

impl Done {
    fn of(upload: &Upload) -> Self {
        let mut done = Self::default();
        for step in &upload.steps {
            match step.action {
                Action::Upload => {
                    done.uploaded += 1;
                    done.bytes += step.size;
                }
                Action::Copy(_) => done.copied += 1,
                Action::Keep => done.kept += 1,
            }
        }
        done
    }

    fn say(self, dry_run: bool) -> String {
        let words = [
            (self.uploaded, "uploaded", "to upload"),
            (self.copied, "copied", "to copy"),
            (self.kept, "there already", "there already"),
        ];
        let said = words.into_iter().filter(|(count, ..)| *count > 0);
        let said = said.map(|(count, done, to_do)| format!("{count} {}", if dry_run { to_do } else { done }));
        said.collect::<Vec<_>>().join(", ")
    }
}

fn report(
    global: &Global,
    args: &BuildArgs,
    built: &BuiltCatalog,
    uploads: &BTreeMap<String, Upload>,
    removed: Option<u64>,
) -> Result<(), Failure> {
    let location = format!("s3://{}/{}", args.bucket, args.key);
    let datasets = built.catalog.datasets.values();
    let to_stdout = args.output.as_ref().is_none_or(|path| path.as_os_str() != STDOUT);
    if global.json {
        let datasets: Vec<Value> = datasets
            .map(|dataset| {
                let done = uploads.get(&dataset.name).map(Done::of);
                json!({
                    "name": dataset.name,
                    "location": dataset.source.location,
                    "files": dataset.facts.files,
                    "records": dataset.facts.records,
                    "bytes": dataset.facts.bytes,
                    "uploaded": done.map(|done| done.uploaded),
                    "copied": done.map(|done| done.copied),
                    "kept": done.map(|done| done.kept),
                })
            })
            .collect();
        let said = json!({
            "catalog": location,
            "dry_run": args.dry_run,
            "hash": built.catalog.hash,
            "built": built.built,
            "datasets": datasets,
            "removed": removed,
        });
        return if to_stdout { print_json(&said) } else { Ok(()) };
    }
    let mut rows =
        vec![["DATA SET", "FILES", "RECORDS", "BYTES", "IN THE BUCKET"].map(str::to_owned).to_vec()];
    rows.extend(datasets.map(|dataset| {
        let facts = &dataset.facts;
        vec![
            dataset.name.clone(),
            indicatif::HumanCount(facts.files).to_string(),
            facts.records.map_or("unknown".to_owned(), |n| indicatif::HumanCount(n).to_string()),
            DecimalBytes(facts.bytes).to_string(),
            uploads.get(&dataset.name).map_or_else(
                || format!("read where it is, {}", dataset.source.location),
                |upload| Done::of(upload).say(args.dry_run),
            ),
        ]
    }));
    let mut text = table(&rows);
    if let Some(removed) = removed.filter(|removed| *removed > 0) {
        text += &format!("removed {} that no catalog names any more\n", count(removed, "file"));
    }
    text += &match args.dry_run {
        true => format!("nothing was written; {location} would be\n"),
        false => format!("wrote {location}: functions have it within half a minute\n"),
    };
    if to_stdout {
        print(&text)
    } else {
        note(text.trim_end());
        Ok(())
    }
}

fn count(number: u64, what: &str) -> String {
    format!("{} {what}{}", indicatif::HumanCount(number), if number == 1 { "" } else { "s" })
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        let words = chain(&error);
        match error {
            PublishError::NoBucket(_) => Self::new(Exit::Usage, words)
                .advice("name the bucket that the deployment made, in the region where it is"),
            PublishError::Changed(_) | PublishError::Overtaken => {
                Self::new(Exit::Failed, words).advice(AGAIN)
            }
            PublishError::Read { .. } => Self::new(Exit::Failed, words),
            PublishError::Failed { .. } => Self::new(Exit::Unavailable, words),
        }
    }
}
