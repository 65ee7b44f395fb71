//! The contract as a machine reads it: OpenAPI 3.1, made from the wire types and the routes' own limits.

mod batches;
mod operations;
mod parameters;
mod parts;
mod schemas;
mod statement;
mod upstreams;
mod webhooks;

use utoipa::openapi::{
    Info, OpenApi, OpenApiBuilder, Server,
    info::{InfoBuilder, LicenseBuilder},
    security::SecurityRequirement,
    tag::TagBuilder,
};

const DESCRIPTION: &str = "Ask for records of a data set, get a job, follow it, collect the result.\n\nSend a token \
    with every request to `/v1`, in one of three ways: `Authorization: Bearer TOKEN`; HTTP Basic with the token as \
    user name and an empty password; `x-api-key: TOKEN`.\n\nWhatever is not a success is a problem document (RFC \
    9457) of the media type `application/problem+json`. Its `errors` name every mistake with its place: a JSON \
    pointer into the body (`#/filter`), or `?name` for a query parameter. Every answer has an `X-Request-Id`, which \
    finds the request in the service's log; a sane one that the client sends is kept.\n\nTimes are RFC 3339 in UTC, \
    durations ISO 8601, sizes bytes. Where a member of a request is null, it is as good as left out.";

/// The document of the whole contract. `public_url` is where the service is reached; without it the server is
/// wherever the document came from.
pub fn openapi(public_url: Option<&str>) -> OpenApi {
    let tag = |name: &str, text: &str| TagBuilder::new().name(name).description(Some(text)).build();
    OpenApiBuilder::new()
        .info(info())
        .servers(Some([Server::new(public_url.unwrap_or("/"))]))
        .paths(operations::paths())
        .components(Some(schemas::components()))
        .security(Some([
            SecurityRequirement::new::<_, [&str; 0], &str>("bearer", []),
            SecurityRequirement::new::<_, [&str; 0], &str>("basic", []),
            SecurityRequirement::new::<_, [&str; 0], &str>("apiKey", []),
        ]))
        .tags(Some([
            tag("jobs", "Submitting jobs, following them, changing them."),
            tag("batches", "Feeding jobs with rows, in parts."),
            tag("results", "Collecting what a completed job delivered."),
            tag("records", "Records at once, with a job to fall back on."),
            tag("upstreams", "Slow APIs behind this one, called at once, with a job to fall back on."),
            tag("datasets", "What can be asked for."),
            tag("webhooks", "Who is told of jobs, and what became of it."),
            tag("account", "The account of the token."),
            tag("service", "The service itself. No token is needed."),
        ]))
        .build()
}

fn info() -> Info {
    InfoBuilder::new()
        .title("Willcall")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build()
}
