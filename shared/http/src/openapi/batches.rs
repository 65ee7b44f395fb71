//! The operations and schemas of jobs that take rows, and of their batches.

use serde_json::json;
use utoipa::openapi::{
    ArrayBuilder, ComponentsBuilder, HttpMethod, ObjectBuilder, OneOfBuilder, RefOr, Schema, SchemaFormat,
    Type, path::Parameter, schema::AdditionalProperties,
};
use willcall_core::{
    input::MediaType,
    job::{
        MAX_FILES,
        kinds::{Compare, OnMultiple},
    },
    usecases::limits::{DEFAULT_LIST, MAX_ITEMS, MAX_LIST, MAX_MATCH_KEYS, MAX_UPLOAD},
};

use super::{
    operations::{COMMON, JSON},
    parameters::{compressions, fields, formats, name, page_size},
    parts::{Op, content, example, job_id, key, named, path, query, text, whole},
    schemas::{closed, labels},
    statement,
};
use crate::wire::{
    batch::{BatchCountsResource, BatchList, BatchResource, CountsResource, FileResource, UploadLink},
    manifest::ManifestBatchResource,
};

pub(super) fn operations() -> Vec<Op> {
    let batch = || content(named("Batch"));
    let op = |method, path, id, summary| Op::new(method, path, id, "batches", summary);
    vec![
        op(HttpMethod::Post, "/v1/jobs/{id}/batches", "addBatch", "Adds a batch to an open job")
            .about(
                "Name the files that you will upload. The answer has a link for each: send the file there by one PUT of \
                 exactly its size, with the headers that stand beside the link. When the last one has arrived the batch \
                 is queued. Of two batches of one name the second is a 409, unless the first has failed or was given up.",
            )
            .params([job_id(), key()])
            .body(&JSON, true, &example(named("BatchDraft"), draft_example()))
            .json("201", "The batch, with links for its files.", batch(), &["Location", "Idempotent-Replayed"])
            .problems(&COMMON)
            .problems(&["404", "408", "409", "413", "415", "422"]),
        op(HttpMethod::Get, "/v1/jobs/{id}/batches", "listBatches", "Lists a job's batches, oldest first")
            .params([
                job_id(),
                query(
                    "limit",
                    whole()
                        .minimum(Some(1.0))
                        .maximum(Some(f64::from(MAX_LIST)))
                        .default(Some(DEFAULT_LIST.into())),
                    "The most batches in the answer.",
                ),
                query("cursor", text(), "The `next_cursor` of the answer before."),
            ])
            .json("200", "The batches.", content(named("BatchList")), &["Link"])
            .problems(&COMMON)
            .problems(&["404", "409"]),
        op(HttpMethod::Get, "/v1/jobs/{id}/batches/{batch}", "getBatch", "The batch as it is now")
            .about("Links for files that have not arrived are signed anew.")
            .params([job_id(), batch_id()])
            .json("200", "The batch.", batch(), &[])
            .problems(&COMMON)
            .problems(&["404", "409"]),
        op(HttpMethod::Delete, "/v1/jobs/{id}/batches/{batch}", "cancelBatch", "Gives a batch up")
            .about("Its work stops and what it wrote goes; its record stays with the job. To replace it, add another.")
            .params([job_id(), batch_id()])
            .json("200", "The batch, cancelled.", batch(), &[])
            .problems(&COMMON)
            .problems(&["404", "409"]),
        op(HttpMethod::Post, "/v1/jobs/{id}/close", "closeJob", "Ends the adding of batches")
            .about(
                "The job ends when its batches have: `completed` if any of them has or none was added, else `failed`. \
                 Closing a closed job changes nothing.",
            )
            .params([job_id()])
            .json("202", "The job, closed.", content(named("Job")), &["Location", "Content-Location", "Retry-After"])
            .problems(&COMMON)
            .problems(&["404", "409"]),
    ]
}

fn batch_id() -> Parameter {
    let schema = text().format(Some(SchemaFormat::Custom("uuid".into())));
    path("batch", schema, "The batch.")
}

pub(super) fn schemas(components: ComponentsBuilder) -> ComponentsBuilder {
    components
        .schema_from::<BatchResource>()
        .schema_from::<BatchList>()
        .schema_from::<BatchCountsResource>()
        .schema_from::<CountsResource>()
        .schema_from::<FileResource>()
        .schema_from::<UploadLink>()
        .schema_from::<ManifestBatchResource>()
        .schema("StatementJob", statement::job())
        .schema("AppendJob", append())
        .schema("CallJob", call())
        .schema("BatchDraft", draft())
}

/// A job of any kind as a body.
pub(super) fn any_job() -> RefOr<Schema> {
    let kinds = OneOfBuilder::new()
        .item(named("QueryJob"))
        .item(named("StatementJob"))
        .item(named("AppendJob"))
        .item(named("CallJob"));
    Schema::from(kinds.build()).into()
}

fn append() -> ObjectBuilder {
    let compare = || text().enum_values(Some(Compare::ALL.map(Compare::as_str)));
    let key = closed()
        .property("column", text().description(Some("The data set's column.")))
        .required("column")
        .property("compare", compare().description(Some("How values are compared.")));
    let key = OneOfBuilder::new().item(text().description(Some("The data set's column."))).item(key);
    let on = ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(AdditionalProperties::from(RefOr::<Schema>::from(Schema::from(
            key.build(),
        )))))
        .max_properties(Some(MAX_MATCH_KEYS))
        .description(Some("The rows' columns, each with what it is compared with: all must be equal."));
    let multiple = text().enum_values(Some(OnMultiple::ALL.map(OnMultiple::as_str)));
    let object = closed()
        .property("kind", text().enum_values(Some(["append"])).description(Some("What kind of work.")))
        .required("kind")
        .property("dataset", text().description(Some("The data set.")))
        .required("dataset")
        .property("on", on)
        .required("on")
        .property("compare", compare().description(Some("How values are compared where `on` does not say.")))
        .property(
            "on_multiple",
            multiple
                .description(Some("What becomes of a row that several records match; `first` by default.")),
        )
        .property(
            "fields",
            fields().description(Some("The columns of the data set that are added to each row.")),
        )
        .property("view", text().description(Some("A named set of columns, in place of `fields`.")));
    about(object, "csv")
        .property("items", items("The rows, where they come with the request; else they come in batches."))
        .description(Some(
            "Rows of your own, each with what a data set knows of it. Without `items` the job is open until you close it.",
        ))
        .examples([json!({
            "kind": "append",
            "dataset": "airports",
            "on": {"code": "iata"},
            "fields": ["name", "city"],
            "items": [{"code": "JFK"}, {"code": "EWR"}]
        })])
}

fn call() -> ObjectBuilder {
    let object = closed()
        .property("kind", text().enum_values(Some(["call"])).description(Some("What kind of work.")))
        .required("kind")
        .property("upstream", text().description(Some("The upstream.")))
        .required("upstream")
        .property("id", text().description(Some("The member of an item that names it; `id` by default.")))
        .property(
            "max_errors",
            whole().minimum(Some(1.0)).description(Some("After how many failed items no more are sent.")),
        );
    about(object, "jsonl")
        .property("items", items("The items, where they come with the request; else they come in batches."))
        .description(Some(
            "One call of an upstream for each item. Without `items` the job is open until you close it.",
        ))
        .examples([json!({
            "kind": "call",
            "upstream": "enrich",
            "items": [{"id": "a", "email": "ada@example.com"}]
        })])
}

/// What every job that takes rows has beside.
fn about(object: ObjectBuilder, format: &str) -> ObjectBuilder {
    let method = text().enum_values(Some(["POST", "GET"]));
    object
        .property(
            "format",
            formats().description(Some(format!("The format of the result; {format} by default."))),
        )
        .property("async_format", formats().description(Some("Another name for `format`.")))
        .property(
            "compression",
            compressions().description(Some("The compression of the file; only text formats have one.")),
        )
        .property("csv", utoipa::openapi::Ref::from_schema_name("CsvOptions"))
        .property("parquet", utoipa::openapi::Ref::from_schema_name("ParquetOptions"))
        .property("page_size", page_size().description(Some("The most records in a page.")))
        .property("name", name().description(Some("What you call the job.")))
        .property("labels", labels())
        .property(
            "notification_url",
            text().description(Some("Where the end of the job and of its batches is told: https.")),
        )
        .property("notification_method", method.description(Some("How; POST by default.")))
}

fn items(description: &str) -> ArrayBuilder {
    ArrayBuilder::new()
        .items(ObjectBuilder::new().schema_type(Type::Object))
        .min_items(Some(1))
        .max_items(Some(MAX_ITEMS))
        .description(Some(description))
}

fn draft() -> ObjectBuilder {
    let file = closed()
        .property(
            "name",
            text().min_length(Some(1)).max_length(Some(200)).description(Some("What you call it.")),
        )
        .required("name")
        .property(
            "media_type",
            text().description(Some(format!(
                "What it is: {}. Left out, its name tells.",
                MediaType::ALL.map(MediaType::as_str).join(", ")
            ))),
        )
        .property(
            "bytes",
            whole()
                .minimum(Some(1.0))
                .maximum(Some(MAX_UPLOAD as f64))
                .description(Some("Its size. The link takes no other.")),
        )
        .required("bytes");
    closed()
        .property("name", name().description(Some("What you call the batch.")))
        .property("files", ArrayBuilder::new().items(file).min_items(Some(1)).max_items(Some(MAX_FILES)))
        .required("files")
        .property(
            "first_item",
            whole().minimum(Some(1.0)).description(Some(
                "Of a job of kind `call`: the number of the first of the batch's items, by 1 where it is left out. Items \
                 without an id are named by their numbers.",
            )),
        )
        .description(Some("A batch that is to be added."))
        .examples([draft_example()])
}

fn draft_example() -> serde_json::Value {
    json!({"name": "part 1", "files": [{"name": "leads.csv", "media_type": "text/csv", "bytes": 1048576}]})
}
