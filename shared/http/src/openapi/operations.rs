//! Every operation of the contract.

use serde_json::json;
use utoipa::openapi::{Content, HttpMethod, ObjectBuilder, Paths, Type, path::Parameter};
use willcall_core::{
    format::{Compression, Format},
    job::{JobKind, JobState, ProblemType},
    usecases::limits::{DEFAULT_LIST, MAX_LIST},
};

use super::{
    batches,
    parameters::{moment, query_parameters, texts},
    parts::{Op, bytes, content, example, flag, header, job_id, key, named, path, query, text, whole},
    schemas, upstreams, webhooks,
};
use crate::routes::MAX_WAIT;

pub(super) const JSON: [&str; 1] = ["application/json"];
pub(super) const PATCH: [&str; 2] = ["application/json", "application/merge-patch+json"];
/// What every operation with a token may answer.
pub(super) const COMMON: [&str; 5] = ["400", "401", "403", "500", "503"];
/// What collecting a result may answer besides.
const COLLECT: [&str; 3] = ["404", "409", "410"];
const FILE_HEADERS: [&str; 8] = [
    "ETag",
    "Last-Modified",
    "Content-Disposition",
    "Repr-Digest",
    "Total-Count",
    "Willcall-Job-Id",
    "Willcall-Truncated",
    "Link",
];

/// What answers to submissions tell besides.
const MADE: [&str; 3] = ["Idempotent-Replayed", "RateLimit", "RateLimit-Policy"];

pub(super) fn paths() -> Paths {
    let mut paths = Paths::new();
    let ops = jobs()
        .into_iter()
        .chain(batches::operations())
        .chain(results())
        .chain(records())
        .chain(upstreams::operations())
        .chain(webhooks::operations());
    for op in ops.chain(catalog()).chain(service()) {
        op.add(&mut paths);
    }
    paths
}

fn job() -> Content {
    content(named("Job"))
}

/// Every media type in which a result may come.
fn result_types() -> Vec<(String, Content)> {
    let records = || {
        let record = ObjectBuilder::new().schema_type(Type::Object);
        content(utoipa::openapi::ArrayBuilder::new().items(record))
    };
    let plain = Format::ALL.into_iter().map(|format| {
        let content = if format == Format::Json { records() } else { bytes() };
        (format.media_type().to_owned(), content)
    });
    let compressed = Compression::ALL.into_iter().filter_map(Compression::media_type);
    plain.chain(compressed.map(|name| (name.to_owned(), bytes()))).collect()
}

fn page_types() -> Vec<(String, Content)> {
    let types = result_types().into_iter().zip(Format::ALL);
    types.filter(|(_, format)| format.is_text()).map(|(content, _)| content).collect()
}

fn if_none_match() -> Parameter {
    header("If-None-Match", text(), "An `ETag` from before: an answer that has not changed is 304.")
}

fn if_match() -> Parameter {
    header(
        "If-Match",
        text(),
        "The job's `ETag`: a job that has changed since is left as it is, and the answer is 412.",
    )
}

fn jobs() -> Vec<Op> {
    let accepted = ["Location", "Content-Location", "Retry-After"];
    let made = [&accepted[..], &MADE].concat();
    let body = example(batches::any_job(), schemas::example(true));
    let states = text().enum_values(Some(JobState::ALL.map(JobState::as_str)));
    let mut labels = query("labels", texts(), "`label.KEY=VALUE`: only jobs with that label.");
    labels.style = Some(utoipa::openapi::path::ParameterStyle::Form);
    labels.explode = Some(true);
    vec![
        Op::new(HttpMethod::Post, "/v1/jobs", "submitJob", "jobs", "Submits a job")
            .about(
                "The request is checked whole before it is accepted, and every mistake is named at once. Once this \
                 has answered, the job ends, whatever breaks. The members of a query may also be given as parameters; \
                 one given in both ways is a 400. A job of the kind `append` or `call` without `items` is open: add \
                 batches to it, and close it.",
            )
            .params([
                query("kind", text().enum_values(Some(["query"])), "What kind of work."),
                query("dataset", text(), "The data set."),
                query("dry_run", flag(), "True to be told what the query would deliver and take, and to deliver nothing."),
                header("Prefer", text(), "Of a dry run: `wait=N` to wait so many seconds, `respond-async` not to wait."),
                key(),
            ])
            .params(query_parameters())
            .body(&JSON, false, &body)
            .leads_to(&[
                "getJob",
                "cancelJob",
                "rerunJob",
                "changeJob",
                "deleteJob",
                "addBatch",
                "closeJob",
                "downloadResult",
                "getResult",
                "getManifest",
            ])
            .json("202", "The job, accepted.", job(), &made)
            .plain("200", "Of a dry run: the estimate.", content(named("Estimate")), &["Willcall-Job-Id", "Idempotent-Replayed"])
            .problems(&COMMON)
            .problems(&["404", "408", "409", "413", "415", "422", "429"]),
        Op::new(HttpMethod::Get, "/v1/jobs", "listJobs", "jobs", "Lists the account's jobs, newest first")
            .about("A page may be short and still have a next one: go on until `next_cursor` is null.")
            .params([
                query("state", states, "Only jobs in this state."),
                query("kind", text().enum_values(Some(JobKind::ALL.map(JobKind::as_str))), "Only jobs of this kind."),
                query("dataset", text(), "Only jobs of this data set."),
                query("name", text(), "Only jobs of exactly this name."),
                labels,
                query("created_after", moment(), "Only jobs created after this moment."),
                query("created_before", moment(), "Only jobs created before this moment."),
                query(
                    "limit",
                    whole()
                        .minimum(Some(1.0))
                        .maximum(Some(f64::from(MAX_LIST)))
                        .default(Some(DEFAULT_LIST.into())),
                    "The most jobs in the answer.",
                ),
                query("cursor", text(), "The `next_cursor` of the answer before."),
            ])
            .json("200", "The jobs.", content(named("JobList")), &["Link"])
            .problems(&COMMON),
        Op::new(HttpMethod::Get, "/v1/jobs/{id}", "getJob", "jobs", "The job as it is now")
            .about("With `wait` it answers as soon as the job has ended, at the latest after so many seconds.")
            .params([
                job_id(),
                query(
                    "wait",
                    whole().maximum(Some(MAX_WAIT as f64)),
                    "Seconds to wait for the end; the host may wait less.",
                ),
                if_none_match(),
            ])
            .json("200", "The job.", job(), &["ETag", "Retry-After"])
            .answers("304", "The job has not changed.", Vec::new(), &["ETag", "Retry-After"])
            .problems(&COMMON)
            .problems(&["404", "412"]),
        Op::new(HttpMethod::Patch, "/v1/jobs/{id}", "changeJob", "jobs", "Changes name, labels or expiry")
            .about("`null` takes the name, or all labels, away.")
            .params([job_id(), if_match()])
            .body(&PATCH, false, &content(named("JobChange")))
            .json("200", "The job.", job(), &["ETag"])
            .problems(&COMMON)
            .problems(&["404", "408", "409", "410", "412", "413", "415"]),
        Op::new(HttpMethod::Delete, "/v1/jobs/{id}", "deleteJob", "jobs", "Removes a job and its results")
            .about("A job that runs is cancelled first.")
            .params([job_id()])
            .answers("204", "It is gone.", Vec::new(), &[])
            .problems(&COMMON)
            .problems(&["404"]),
        Op::new(HttpMethod::Post, "/v1/jobs/{id}/cancel", "cancelJob", "jobs", "Gives a job up")
            .about("Its work stops and what it wrote goes. Cancelling a cancelled job changes nothing.")
            .params([job_id()])
            .json("202", "The job, cancelled.", job(), &accepted[..2])
            .problems(&COMMON)
            .problems(&["404", "409"]),
        Op::new(HttpMethod::Post, "/v1/jobs/{id}/rerun", "rerunJob", "jobs", "Runs a job again, as another")
            .about(
                "Makes a new job with the same request, name and labels, checked against the data set and the plan as \
                 they are now. No other job serves in its place, whatever the request says of `reuse`.",
            )
            .params([job_id(), key()])
            .json("202", "The new job, accepted.", job(), &made)
            .problems(&COMMON)
            .problems(&["404", "409", "422", "429"]),
    ]
}

fn results() -> Vec<Op> {
    let redirect = || {
        let text = "False to be told the link, and not led there.";
        query("redirect", flag().default(Some(true.into())), text)
    };
    vec![
        Op::new(HttpMethod::Get, "/v1/jobs/{id}/download", "downloadResult", "results", "Leads to the result's file")
            .about("The link is signed just now, works for 15 minutes and needs no token. `Accept: application/zip` asks for a \
                    zip of the result, or of those of all batches, and the manifest: a worker packs it when it is first \
                    asked for, and it is kept as long as the result.")
            .params([job_id(), redirect()])
            .answers("307", "The file is there.", Vec::new(), &["Location", "Willcall-Job-Id"])
            .json("202", "A zip was asked for, and is being packed: ask again.", content(named("ZipPacking")), &["Retry-After", "Willcall-Job-Id"])
            .json("200", "The link, with `redirect=false`.", content(named("DownloadLink")), &[])
            .problems(&COMMON)
            .problems(&COLLECT),
        Op::new(HttpMethod::Head, "/v1/jobs/{id}/download", "describeDownload", "results", "What the file is")
            .params([job_id(), redirect()])
            .answers("200", "Size, tag and type of the file.", Vec::new(), &FILE_HEADERS[..7])
            .answers("202", "A zip was asked for, and is being packed.", Vec::new(), &["Retry-After", "Willcall-Job-Id"])
            .problems(&COMMON)
            .problems(&COLLECT),
        Op::new(HttpMethod::Get, "/v1/jobs/{id}/result", "getResult", "results", "The result itself")
            .about("The bytes of the file, in the format and compression of the job. `HEAD` answers the same headers.")
            .params([job_id(), if_none_match()])
            .answers("200", "The records.", result_types(), &FILE_HEADERS[..7])
            .answers("304", "The result is the one you have.", Vec::new(), &["ETag"])
            .answers("307", "More than is answered inline: the file is there.", Vec::new(), &["Location"])
            .problems(&COMMON)
            .problems(&COLLECT)
            .problems(&["412"]),
        Op::new(
            HttpMethod::Get,
            "/v1/jobs/{id}/result/pages/{n}",
            "getResultPage",
            "results",
            "One page of the result",
        )
        .about("Each page is a valid document on its own, and costs the same wherever it lies. `HEAD` answers the same \
                headers.")
        .params([job_id(), path("n", whole(), "The number of the page, from 0."), if_none_match()])
        .answers("200", "The page, not compressed.", page_types(), &["ETag", "Link", "Willcall-Job-Id"])
        .answers("304", "The page is the one you have.", Vec::new(), &["ETag"])
        .problems(&COMMON)
        .problems(&COLLECT)
        .problems(&["406"]),
        Op::new(HttpMethod::Get, "/v1/jobs/{id}/manifest", "getManifest", "results", "What the job delivered")
            .about("Files with their SHA-256, columns, options, truncation, source. `HEAD` answers the same headers.")
            .params([job_id()])
            .json("200", "The manifest.", content(named("Manifest")), &[])
            .problems(&COMMON)
            .problems(&COLLECT),
    ]
}

fn records() -> Vec<Op> {
    let path_params = || {
        [
            path("dataset", text(), "The data set."),
            query("async", flag(), "True to get a job at once, and not to wait."),
            header(
                "Prefer",
                text(),
                "`wait=N` to wait so many seconds, `respond-async` not to wait (RFC 7240).",
            ),
            header("Accept", text(), "The media type of the records, where `format` does not say."),
            key(),
        ]
    };
    let about = "Makes a job and waits for it. In time, the records are answered as `/result` would; otherwise the \
                 job, which goes on: nothing is computed twice. Without `limit` it asks for 1000 records; `offset` and \
                 `limit` together are at most 10,000, unless you do not wait.";
    let finish = |op: Op, redirect: &str| {
        let mut names = FILE_HEADERS.to_vec();
        names.extend(["Preference-Applied", "Content-Location"]);
        names.extend(MADE);
        let begun = ["Location", "Content-Location", "Retry-After", "Preference-Applied", "Willcall-Job-Id"];
        op.answers("200", "The records.", result_types(), &names)
            .json(
                "202",
                "The job: it was not done in time, or you do not wait.",
                job(),
                &[&begun[..], &MADE].concat(),
            )
            .answers(redirect, "More than is answered inline: the file is there.", Vec::new(), &["Location"])
            .problems(&COMMON)
            .problems(&["404", "406", "409", "410", "422", "429"])
    };
    let get = Op::new(
        HttpMethod::Get,
        "/v1/datasets/{dataset}/records",
        "getRecords",
        "records",
        "Records at once",
    )
    .about(about)
    .params(path_params())
    .params(query_parameters());
    let post = Op::new(
        HttpMethod::Post,
        "/v1/datasets/{dataset}/records",
        "postRecords",
        "records",
        "Records at once",
    )
    .about(about)
    .params(path_params())
    .params(query_parameters())
    .body(&JSON, false, &example(named("RecordsQuery"), schemas::example(false)));
    vec![finish(get, "307"), finish(post, "303").problems(&["408", "413", "415"])]
}

fn catalog() -> Vec<Op> {
    vec![
        Op::new(
            HttpMethod::Get,
            "/v1/datasets",
            "listDatasets",
            "datasets",
            "The data sets that the plan allows",
        )
        .json("200", "The data sets.", content(named("DatasetList")), &[])
        .problems(&COMMON),
        Op::new(HttpMethod::Get, "/v1/datasets/{dataset}", "getDataset", "datasets", "One data set")
            .params([path("dataset", text(), "The data set.")])
            .json("200", "The data set.", content(named("Dataset")), &[])
            .problems(&COMMON)
            .problems(&["404"]),
        Op::new(HttpMethod::Get, "/v1/account", "getAccount", "account", "Plan, limits and usage")
            .json("200", "The account.", content(named("Account")), &[])
            .problems(&COMMON),
    ]
}

fn service() -> Vec<Op> {
    let html = || vec![("text/html; charset=utf-8".to_owned(), bytes())];
    let slugs = text().enum_values(Some(ProblemType::ALL.map(ProblemType::slug)));
    let ranges = || {
        [
            path("key", text(), "What the link says."),
            header("Range", text(), "One range of bytes."),
            header("If-Range", text(), "The `ETag` of the part you have."),
            if_none_match(),
            header("If-Modified-Since", text(), "A moment: an older file is 304."),
        ]
    };
    let names = ["ETag", "Last-Modified", "Content-Disposition", "Accept-Ranges"];
    let file = |op: Op| {
        op.open()
            .answers("200", "The file.", result_types(), &names)
            .answers("304", "The file is the one you have.", Vec::new(), &["ETag"])
            .problems(&["400", "403", "404", "410", "412", "500", "503"])
    };
    let part = ["ETag", "Last-Modified", "Content-Disposition", "Accept-Ranges", "Content-Range"];
    vec![
        file(
            Op::new(HttpMethod::Get, "/v1/files/{key}", "getFile", "service", "A signed link to a file")
                .about("Only on hosts that serve their own files. Take links from jobs as they are; do not make them.")
                .params(ranges()),
        )
        .answers("206", "The part of the file.", result_types(), &part)
        .problems(&["416"]),
        file(
            Op::new(HttpMethod::Head, "/v1/files/{key}", "describeFile", "service", "What a signed link leads to")
                .params(ranges()),
        ),
        Op::new(HttpMethod::Get, "/v1/openapi.json", "getOpenapi", "service", "This document")
            .open()
            .json("200", "The contract.", content(ObjectBuilder::new().schema_type(Type::Object)), &[])
            .problems(&["500"]),
        Op::new(HttpMethod::Get, "/docs", "getDocs", "service", "This document for people")
            .open()
            .answers("200", "A page.", html(), &[])
            .problems(&["500"]),
        Op::new(HttpMethod::Get, "/healthz", "getHealth", "service", "Whether the service works")
            .open()
            .json(
                "200",
                "It does.",
                example(named("Health"), json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")})),
                &[],
            )
            .problems(&["500", "503"]),
        Op::new(HttpMethod::Get, "/problems/{slug}", "getProblem", "service", "What a type of problem means")
            .open()
            .params([path("slug", slugs, "The type.")])
            .answers("200", "A page.", html(), &[])
            .problems(&["404", "500"]),
    ]
}
