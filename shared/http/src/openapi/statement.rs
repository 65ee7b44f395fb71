//! A whole statement as a body.

use serde_json::json;
use utoipa::openapi::{
    ObjectBuilder, Ref, Type,
    schema::{AdditionalProperties, SchemaType},
};
use willcall_core::{query::MAX_STATEMENT_BYTES, usecases::limits::MAX_PARAMETERS};

use super::{
    parameters::{compressions, formats, name, page_size},
    parts::{flag, text, whole},
    schemas::{closed, labels, or_null},
};

/// A job of kind `query` that is a statement.
pub(super) fn job() -> ObjectBuilder {
    let say = |schema: ObjectBuilder, description: &str| schema.description(Some(description));
    closed()
        .property("kind", say(text().enum_values(Some(["query"])), "What kind of work."))
        .required("kind")
        .property(
            "sql",
            say(text().min_length(Some(1)).max_length(Some(MAX_STATEMENT_BYTES)), "One SELECT, which names its data sets itself."),
        )
        .required("sql")
        .property("parameters", parameters())
        .property("limit", say(or_null(whole(), Type::Integer), "The most records."))
        .property("offset", say(or_null(whole(), Type::Integer), "Records to leave out at the start."))
        .property("format", say(formats(), "The format of the result."))
        .property("async_format", say(formats(), "Another name for `format`."))
        .property("compression", say(compressions(), "The compression of the file; only text formats have one."))
        .property("csv", Ref::from_schema_name("CsvOptions"))
        .property("parquet", Ref::from_schema_name("ParquetOptions"))
        .property("page_size", say(or_null(page_size(), Type::Integer), "The most records in a page."))
        .property("name", say(or_null(name(), Type::String), "What you call the job."))
        .property("labels", labels())
        .property("reuse", say(or_null(flag(), Type::Boolean), "Whether an identical job may serve in place of a new one."))
        .property("max_age", say(or_null(whole(), Type::Integer), "The same, and how many seconds ago it may have completed."))
        .property("notification_url", say(or_null(text(), Type::String), "Where the end of the job is told: https."))
        .property(
            "notification_method",
            say(or_null(text(), Type::String).enum_values(Some([Some("POST"), Some("GET"), None])), "How; POST by default."),
        )
        .description(Some("Records of a whole SELECT over data sets, as a job, where the plan allows `sql`."))
        .examples([json!({
            "kind": "query",
            "sql": "SELECT carrier, count(*) AS flights FROM flights WHERE dep_delay > $late GROUP BY carrier ORDER BY flights DESC",
            "parameters": { "late": 60 },
            "format": "csv"
        })])
}

/// What placeholders stand for.
fn parameters() -> ObjectBuilder {
    let plain = [Type::String, Type::Number, Type::Boolean, Type::Null, Type::Object];
    let value = ObjectBuilder::new().schema_type(SchemaType::from_iter(plain)).description(Some(
        "Text, a number, true, false or null; or an object of `type` (boolean, int64, float64, decimal, text, date, timestamp) and \
         `value`.",
    ));
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Object, Type::Null]))
        .additional_properties(Some(AdditionalProperties::from(value)))
        .max_properties(Some(MAX_PARAMETERS))
        .description(Some("What each placeholder of the statement stands for: `$late` is `late`."))
}
