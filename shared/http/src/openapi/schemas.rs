//! The named schemas: of answers from the wire types, of requests from the limits that hold for them.

use serde_json::json;
use utoipa::openapi::{
    Components, ComponentsBuilder, ObjectBuilder, RefOr, Schema, Type,
    schema::{AdditionalProperties, SchemaType},
    security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use willcall_core::usecases::limits::{MAX_LABEL_KEY, MAX_LABEL_VALUE, MAX_LABELS};

use super::{
    batches,
    parameters::{
        compressions, fields, formats, moment, name, page_size, parquet_codecs, row_group_size, sort,
    },
    parts::{PROBLEMS, flag, problem, problem_name, text, whole},
    webhooks,
};
use crate::{
    problem::{FieldProblem, ProblemDocument},
    wire::{
        account::{AccountResource, AccountUsage, PlanLimits},
        dataset::{ColumnResource, DatasetList, DatasetResource, ViewResource},
        estimate::{CostResource, EstimateBasis, EstimateResource},
        job::{JobList, JobResource, ProgressResource, ResultResource, TruncationResource},
        manifest::{ManifestFileResource, ManifestResource, ManifestSourceResource},
    },
};

pub(super) fn components() -> Components {
    let mut components = ComponentsBuilder::new();
    for status in PROBLEMS {
        components = components.response(problem_name(status), problem(status));
    }
    batches::schemas(webhooks::schemas(components))
        .schema_from::<EstimateResource>()
        .schema_from::<CostResource>()
        .schema_from::<EstimateBasis>()
        .schema_from::<JobList>()
        .schema_from::<JobResource>()
        .schema_from::<ProgressResource>()
        .schema_from::<ResultResource>()
        .schema_from::<TruncationResource>()
        .schema_from::<DatasetList>()
        .schema_from::<DatasetResource>()
        .schema_from::<ColumnResource>()
        .schema_from::<ViewResource>()
        .schema_from::<AccountResource>()
        .schema_from::<PlanLimits>()
        .schema_from::<AccountUsage>()
        .schema_from::<ManifestResource>()
        .schema_from::<ManifestFileResource>()
        .schema_from::<ManifestSourceResource>()
        .schema_from::<ProblemDocument>()
        .schema_from::<FieldProblem>()
        .schema("QueryJob", query(true))
        .schema("RecordsQuery", query(false))
        .schema("JobChange", change())
        .schema("CsvOptions", csv())
        .schema("ParquetOptions", parquet())
        .schema("DownloadLink", download_link())
        .schema("ZipPacking", zip_packing())
        .schema("Health", health())
        .security_scheme("bearer", bearer())
        .security_scheme("basic", basic())
        .security_scheme("apiKey", api_key())
        .build()
}

fn bearer() -> SecurityScheme {
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("The token."));
    SecurityScheme::Http(scheme.build())
}

fn basic() -> SecurityScheme {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Basic)
        .description(Some("The token as user name, and an empty password."));
    SecurityScheme::Http(scheme.build())
}

fn api_key() -> SecurityScheme {
    SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description("x-api-key", "The token.")))
}

/// Null is as good as left out.
fn or_null(schema: ObjectBuilder, kind: Type) -> ObjectBuilder {
    schema.schema_type(SchemaType::from_iter([kind, Type::Null]))
}

pub(super) fn closed() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)))
}

/// A query as a body; `whole_job` where it names its kind and data set itself.
fn query(whole_job: bool) -> ObjectBuilder {
    let say = |schema: ObjectBuilder, description: &str| schema.description(Some(description));
    let mut object = closed();
    if whole_job {
        object = object
            .property("kind", say(text().enum_values(Some(["query"])), "What kind of work."))
            .required("kind")
            .property("dataset", say(text(), "The data set."))
            .required("dataset")
            .description(Some(
                "Records of a data set, as a job. The three ways to say which combine with AND.",
            ));
    } else {
        object = object.description(Some("Records of the data set in the path."));
    }
    let text_or_null = || or_null(text(), Type::String);
    object
        .property(
            "filter",
            say(text_or_null(), "An SQL boolean expression over the columns, at most 64 KiB."),
        )
        .property("query", say(text_or_null(), "A Lucene-like query, at most 64 KiB."))
        .property("fields", fields().description(Some("The columns to deliver, in order.")))
        .property("view", say(text_or_null(), "A named set of columns, in place of `fields`."))
        .property("sort", sort().description(Some("Columns to sort by, `-` before one that falls.")))
        .property("limit", say(or_null(whole(), Type::Integer), "The most records."))
        .property("offset", say(or_null(whole(), Type::Integer), "Records to leave out at the start."))
        .property("format", say(formats(), "The format of the result."))
        .property("async_format", say(formats(), "Another name for `format`."))
        .property(
            "compression",
            say(compressions(), "The compression of the file; only text formats have one."),
        )
        .property("csv", utoipa::openapi::Ref::from_schema_name("CsvOptions"))
        .property("parquet", utoipa::openapi::Ref::from_schema_name("ParquetOptions"))
        .property("page_size", say(or_null(page_size(), Type::Integer), "The most records in a page."))
        .property("name", say(or_null(name(), Type::String), "What you call the job."))
        .property("labels", labels())
        .property(
            "reuse",
            say(
                or_null(flag(), Type::Boolean),
                "Whether an identical job that runs, or whose result is there, may serve in place of a new one.",
            ),
        )
        .property(
            "max_age",
            say(or_null(whole(), Type::Integer), "The same, and how many seconds ago it may have completed."),
        )
        .property("notification_url", say(text_or_null(), "Where the end of the job is told: https."))
        .property(
            "notification_method",
            say(
                or_null(text(), Type::String).enum_values(Some([Some("POST"), Some("GET"), None])),
                "How; POST by default.",
            ),
        )
        .examples([example(whole_job)])
}

/// A request that works on the example catalog.
pub(super) fn example(whole_job: bool) -> serde_json::Value {
    let mut example = json!({
        "kind": "query",
        "dataset": "flights",
        "filter": "origin = 'JFK' AND dep_delay > 60",
        "fields": ["carrier", "flight", "dep_delay"],
        "sort": ["-dep_delay"],
        "limit": 1000,
        "format": "csv",
        "name": "late departures",
        "labels": {"team": "ops"}
    });
    if let (false, Some(members)) = (whole_job, example.as_object_mut()) {
        members.shift_remove("kind");
        members.shift_remove("dataset");
    }
    example
}

pub(super) fn labels() -> ObjectBuilder {
    let value: RefOr<Schema> = text().max_length(Some(MAX_LABEL_VALUE)).into();
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property_names(Some(Schema::from(
            text().min_length(Some(1)).max_length(Some(MAX_LABEL_KEY)).build(),
        )))
        .additional_properties(Some(AdditionalProperties::from(value)))
        .max_properties(Some(MAX_LABELS))
        .description(Some("Marks of your own."))
}

fn csv() -> ObjectBuilder {
    closed()
        .property(
            "delimiter",
            text().min_length(Some(1)).max_length(Some(1)).description(Some("One ASCII character.")),
        )
        .property("null", text().max_length(Some(64)).description(Some("What stands for null.")))
        .property(
            "header",
            flag().description(Some("Whether the first line names the columns; true by default.")),
        )
        .property(
            "spreadsheet_safe",
            flag().description(Some(
                "Whether text that a spreadsheet would run is disarmed; false by default.",
            )),
        )
        .description(Some("How CSV is written."))
}

fn parquet() -> ObjectBuilder {
    closed()
        .property("compression", parquet_codecs().description(Some("The compression inside the file.")))
        .property("row_group_size", row_group_size().description(Some("The most rows in a row group.")))
        .description(Some("How Parquet is written."))
}

fn change() -> ObjectBuilder {
    closed()
        .property("name", or_null(name(), Type::String).description(Some("The new name; null removes it.")))
        .property("labels", labels().description(Some("The new labels, in place of all.")))
        .property("expires", moment().description(Some("When the result goes, within what the plan allows.")))
        .description(Some("What to change of a job; what is left out stays."))
        .examples([json!({"name": "late departures", "labels": {"team": "ops"}})])
}

fn download_link() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("url", text().description(Some("The link. It needs no token.")))
        .property("expires", moment().description(Some("When it stops to work.")))
        .required("url")
        .required("expires")
}

fn zip_packing() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("job_id", text().description(Some("The job.")))
        .property("zip", text().enum_values(Some(["packing"])))
        .required("job_id")
        .required("zip")
}

fn health() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("status", text().enum_values(Some(["ok"])))
        .property("version", text())
        .required("status")
        .required("version")
}
