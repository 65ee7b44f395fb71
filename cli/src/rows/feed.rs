//! Brings the parts of a file to a job, each as a batch, and no part twice.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{Input, Part};
use crate::{
    client::{Client, wire::Batch},
    failure::{Exit, Failure},
    progress::Reporter,
};

/// How often an upload may break off.
const MAX_BREAKS: u32 = 6;
/// How long nothing may move before an upload counts as broken off.
const STALL: Duration = Duration::from_secs(120);
/// How often the progress of an upload is told.
const TOLD_EVERY: Duration = Duration::from_millis(200);

/// Uploads what the job does not have yet, and answers how many parts it had.
pub(crate) async fn feed(
    client: &Client,
    job: &str,
    input: &Input,
    reporter: &mut Reporter,
) -> Result<usize, Failure> {
    let found = client.batches(job).await?;
    check_parts(job, &found, input)?;
    // The last of a name: those before it were given up.
    let known: HashMap<&str, &Batch> =
        found.iter().map(|batch| (batch.name.as_deref().unwrap_or_default(), batch)).collect();
    let (total, mut done, mut there) = (input.bytes(), 0, 0);
    for part in &input.parts {
        let (batch, key) = match known.get(part.name.as_str()) {
            Some(batch) if batch.state == "cancelled" => (None, format!("{job} {}", batch.batch_id)),
            Some(batch) => (Some((*batch).clone()), String::new()),
            None => (None, format!("{job} {}", part.name)),
        };
        let batch = match batch {
            Some(batch) => batch,
            None => {
                let file = json!({ "name": part.file_name, "bytes": part.bytes() });
                let mut draft = json!({ "name": part.name, "files": [file] });
                if input.numbered && part.first_row > 1 {
                    draft["first_item"] = part.first_row.into();
                }
                client.add_batch(job, &draft, &key).await?
            }
        };
        if batch.state == "waiting_for_upload" {
            upload(client, job, input, part, batch, |sent| reporter.sent(done + sent, total)).await?;
        } else {
            there += 1;
        }
        done += part.bytes();
        reporter.sent(done, total);
    }
    Ok(there)
}

/// Refuses a job that has other batches than the parts of the file: what they deliver is not what was asked for.
pub(crate) fn check_parts(job: &str, batches: &[Batch], input: &Input) -> Result<(), Failure> {
    let is_part = |name: &str| input.parts.iter().any(|part| part.name == name);
    match batches.iter().find(|batch| !batch.name.as_deref().is_some_and(is_part)) {
        None => Ok(()),
        Some(batch) => {
            let words =
                format!("batch {} of job {job} is no part of {}", batch.batch_id, input.path.display());
            Err(Failure::new(Exit::Usage, words)
                .advice("the file or --batch-bytes is another than when the job was begun: begin a new one"))
        }
    }
}

/// Uploads one part, as often as it takes. Each try has a link of its own.
async fn upload(
    client: &Client,
    job: &str,
    input: &Input,
    part: &Part,
    mut batch: Batch,
    mut told: impl FnMut(u64),
) -> Result<(), Failure> {
    let mut breaks = 0;
    loop {
        let Some(link) = batch.files.first().and_then(|file| file.upload.clone()) else {
            // It has arrived, or the batch was given up by somebody else: the batch says so in the end.
            return Ok(());
        };
        let sent = Arc::new(AtomicU64::new(0));
        let trying = client.upload(&link, part.bytes(), || part.body(&input.path, Arc::clone(&sent)));
        tokio::pin!(trying);
        let (mut moved, mut before) = (Instant::now(), 0);
        let why = loop {
            tokio::select! {
                tried = &mut trying => break match tried {
                    Ok((status, _)) if status.is_success() => return Ok(()),
                    // What is said of the file itself would be said again.
                    Ok((status @ (StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE), said)) => {
                        return Err(Failure::new(Exit::Failed, format!("the upload was refused with {status}: {said}")));
                    }
                    Ok((_, said)) => said,
                    Err(error) => crate::failure::chain(&error),
                },
                () = sleep(TOLD_EVERY) => {
                    let now = sent.load(Ordering::Relaxed);
                    if now != before {
                        (moved, before) = (Instant::now(), now);
                        told(now);
                    } else if moved.elapsed() > STALL {
                        break format!("nothing moved for {} s", STALL.as_secs());
                    }
                }
            }
        };
        breaks += 1;
        if breaks >= MAX_BREAKS {
            return Err(Failure::new(Exit::Unavailable, format!("the upload broke off: {why}")));
        }
        sleep(Duration::from_millis(200) * 2_u32.pow(breaks)).await;
        batch = client.batch(job, &batch.batch_id).await?.read;
    }
}
