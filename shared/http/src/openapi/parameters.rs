//! The parameters of a query, the same on every route that takes them.

use utoipa::openapi::{
    ArrayBuilder, ObjectBuilder, RefOr, Schema, SchemaFormat, Type,
    path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle},
    schema::AdditionalProperties,
};
use willcall_core::{
    format::{Compression, Format},
    job::kinds::{MAX_PAGE_SIZE, MIN_PAGE_SIZE},
    usecases::limits::{MAX_FIELDS, MAX_NAME, MAX_SORT},
};

use super::parts::{flag, query, text, whole};

/// Every name of a format.
pub(super) fn formats() -> ObjectBuilder {
    let names =
        Format::ALL.into_iter().flat_map(|f| std::iter::once(f.as_str()).chain(f.aliases().iter().copied()));
    text().enum_values(Some(names))
}

pub(super) fn compressions() -> ObjectBuilder {
    text().enum_values(Some(Compression::ALL.map(Compression::as_str)))
}

pub(super) fn page_size() -> ObjectBuilder {
    whole().minimum(Some(f64::from(MIN_PAGE_SIZE))).maximum(Some(f64::from(MAX_PAGE_SIZE)))
}

pub(super) fn name() -> ObjectBuilder {
    text().min_length(Some(1)).max_length(Some(MAX_NAME))
}

pub(super) fn row_group_size() -> ObjectBuilder {
    whole().minimum(Some(1_000.0)).maximum(Some(1_048_576.0))
}

pub(super) fn parquet_codecs() -> ObjectBuilder {
    text().enum_values(Some(["none", "snappy", "zstd"]))
}

pub(super) fn moment() -> ObjectBuilder {
    text().format(Some(SchemaFormat::Custom("date-time".into())))
}

pub(super) fn fields() -> ArrayBuilder {
    ArrayBuilder::new().items(text()).min_items(Some(1)).max_items(Some(MAX_FIELDS))
}

pub(super) fn sort() -> ArrayBuilder {
    ArrayBuilder::new().items(text()).max_items(Some(MAX_SORT))
}

/// An object of text.
pub(super) fn texts() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(AdditionalProperties::from(RefOr::<Schema>::from(text()))))
}

fn list(name: &str, schema: ArrayBuilder, description: &str) -> Parameter {
    let mut parameter = query(name, schema, description);
    parameter.style = Some(ParameterStyle::Form);
    parameter.explode = Some(false);
    parameter
}

/// The parameters that stand for members of a query.
pub(super) fn query_parameters() -> Vec<Parameter> {
    vec![
        query(
            "filter",
            text(),
            "An SQL boolean expression over the columns: `origin = 'JFK' AND dep_delay > 60`.",
        ),
        query("query", text(), "A Lucene-like query: `origin:JFK AND dep_delay:[60 TO *]`."),
        list("fields", fields(), "The columns to deliver, in order. All, where left out."),
        query("view", text(), "A named set of columns, in place of `fields`."),
        list(
            "sort",
            sort(),
            "Columns to sort by, `-` before one that falls. The order of the data set, where left out.",
        ),
        query("limit", whole(), "The most records."),
        query("offset", whole(), "Records to leave out at the start."),
        query("format", formats(), "The format of the result; it beats `Accept`."),
        query("async_format", formats(), "Another name for `format`."),
        query("compression", compressions(), "The compression of the file; only text formats have one."),
        query("page_size", page_size(), "The most records in a page."),
        query("name", name(), "What you call the job. A condition on a column `name` is written `name.eq=`."),
        query("reuse", flag(), "Whether an identical job that runs, or whose result is there, may serve."),
        query("max_age", whole(), "The same, and how many seconds ago it may have completed."),
        query("notification_url", text(), "Where the end of the job is told: https."),
        query("notification_method", text().enum_values(Some(["POST", "GET"])), "How; POST by default."),
        query("csv.delimiter", text().min_length(Some(1)).max_length(Some(1)), "What stands between fields."),
        query("csv.null", text().max_length(Some(64)), "What stands for null."),
        query("csv.header", flag(), "Whether the first line names the columns."),
        query("csv.spreadsheet_safe", flag(), "Whether text that a spreadsheet would run is disarmed."),
        query("parquet.compression", parquet_codecs(), "The compression inside the file."),
        query("parquet.row_group_size", row_group_size(), "The most rows in a row group."),
        conditions(),
    ]
}

/// Any other parameter is a condition on a column.
fn conditions() -> Parameter {
    ParameterBuilder::new()
        .name("conditions")
        .parameter_in(ParameterIn::Query)
        .schema(Some(texts()))
        .style(Some(ParameterStyle::Form))
        .explode(Some(true))
        .description(Some(
            "One parameter a column: `country=Finland`, `revenue.gte=1000`, `name.contains=steel`, \
             `country.in=FI,SE`, `closed.null=true`. Operators: `eq`, `ne`, `lt`, `lte`, `gt`, `gte`, `in`, \
             `contains`, `prefix`, `null`. Repeats combine with AND, and so do `filter` and `query`; a comma within \
             a value is `\\,`. Names of other parameters win. What is no column is a 400.",
        ))
        .build()
}
