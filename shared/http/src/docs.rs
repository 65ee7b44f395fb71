//! Pages for people: the contract rendered from the OpenAPI document, and what each type of problem means. Plain
//! HTML with one inline style sheet: nothing is fetched, and nothing needs a script.

use std::fmt::Write;

use serde_json::Value;
use utoipa::openapi::OpenApi;
use willcall_core::job::ProblemType;

use crate::problem::status_of;

/// Stands in the rendered page for the address of the server.
pub(crate) const SERVER_PLACE: &str = "https://willcall.example";
/// Allows the inline style sheet and nothing else.
pub(crate) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const METHODS: [&str; 5] = ["get", "head", "post", "patch", "delete"];
const STYLE: &str = include_str!("docs.css");

/// Text as HTML shows it unchanged.
pub(crate) fn escape(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    html
}

/// Text with `code` marked; paragraphs stay apart.
fn prose(text: &str) -> String {
    let paragraph = |text: &str| {
        let parts = text.split('`').enumerate().map(|(index, part)| match index % 2 {
            1 => format!("<code>{}</code>", escape(part)),
            _ => escape(part),
        });
        format!("<p>{}</p>", parts.collect::<String>())
    };
    text.split("\n\n").filter(|text| !text.trim().is_empty()).map(paragraph).collect()
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n{body}</body>\n</html>\n",
        escape(title)
    )
}

/// The whole contract as one page.
pub(crate) fn render(document: &OpenApi) -> String {
    // The document is data of our own: it always has a JSON form.
    let document = serde_json::to_value(document).unwrap_or_default();
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let mut body = format!(
        "<header><h1>{} <small>{}</small></h1>{}<p>Server: <code>{SERVER_PLACE}</code> · <a \
         href=\"/v1/openapi.json\">openapi.json</a></p></header>\n",
        escape(text("/info/title")),
        escape(text("/info/version")),
        prose(text("/info/description")),
    );
    let tags = document["tags"].as_array().cloned().unwrap_or_default();
    let operations = operations(&document);
    body += "<nav><h2>Operations</h2><ul>";
    for operation in &operations {
        let _ = write!(
            body,
            "<li><a href=\"#{}\"><b>{}</b> {}</a></li>",
            escape(operation.id()),
            operation.method.to_uppercase(),
            escape(operation.path)
        );
    }
    body += "</ul></nav>\n<main>\n";
    for tag in &tags {
        let name = tag["name"].as_str().unwrap_or_default();
        let _ = write!(
            body,
            "<h2>{}</h2>{}",
            escape(name),
            prose(tag["description"].as_str().unwrap_or_default())
        );
        for operation in operations.iter().filter(|operation| operation.tag() == name) {
            body += &operation.render();
        }
    }
    body += "<h2>Schemas</h2>\n";
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        body += &schema_section(name, schema);
    }
    body += "</main>\n";
    page(text("/info/title"), &body)
}

struct Operation<'a> {
    path: &'a str,
    method: &'static str,
    value: &'a Value,
    components: &'a Value,
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for method in METHODS {
            if let Some(value) = item.get(method) {
                operations.push(Operation { path, method, value, components: &document["components"] });
            }
        }
    }
    operations
}

impl Operation<'_> {
    fn id(&self) -> &str {
        self.value["operationId"].as_str().unwrap_or_default()
    }

    fn tag(&self) -> &str {
        self.value.pointer("/tags/0").and_then(Value::as_str).unwrap_or_default()
    }

    fn render(&self) -> String {
        let mut html = format!(
            "<section id=\"{}\"><h3><b class=\"{}\">{}</b> <code>{}</code></h3><p>{}</p>{}",
            escape(self.id()),
            self.method,
            self.method.to_uppercase(),
            escape(self.path),
            escape(self.value["summary"].as_str().unwrap_or_default()),
            prose(self.value["description"].as_str().unwrap_or_default()),
        );
        html += &self.parameters();
        let bodies = self.value.pointer("/requestBody/content").and_then(Value::as_object);
        for (media_type, content) in bodies.into_iter().flatten() {
            let _ = write!(
                html,
                "<h4>Body: <code>{}</code> {}</h4>",
                escape(media_type),
                type_of(&content["schema"])
            );
            html += &examples(content);
        }
        html += "<h4>Answers</h4><table>";
        for (status, response) in self.value["responses"].as_object().into_iter().flatten() {
            let response = self.resolve(response);
            let media: Vec<String> = response["content"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, content)| {
                    format!("<code>{}</code> {}", escape(name), type_of(&content["schema"]))
                })
                .collect();
            let headers: Vec<String> = response["headers"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, _)| format!("<code>{}</code>", escape(name)))
                .collect();
            let _ = write!(
                html,
                "<tr><th>{}</th><td>{}</td><td>{}</td><td>{}</td></tr>",
                escape(status),
                escape(response["description"].as_str().unwrap_or_default()),
                media.join("<br>"),
                headers.join(" "),
            );
        }
        html + "</table></section>\n"
    }

    fn resolve<'b>(&'b self, value: &'b Value) -> &'b Value {
        let pointer = value["$ref"].as_str().and_then(|link| link.strip_prefix("#/components"));
        pointer.and_then(|pointer| self.components.pointer(pointer)).unwrap_or(value)
    }

    fn parameters(&self) -> String {
        let Some(parameters) = self.value["parameters"].as_array().filter(|list| !list.is_empty()) else {
            return String::new();
        };
        let mut html = String::from("<h4>Parameters</h4><table>");
        for parameter in parameters {
            let parameter = self.resolve(parameter);
            let text = |name: &str| parameter[name].as_str().unwrap_or_default();
            let required = if parameter["required"] == true { ", required" } else { "" };
            let _ = write!(
                html,
                "<tr><th><code>{}</code></th><td>{}{required}</td><td>{}</td><td>{}</td></tr>",
                escape(text("name")),
                escape(text("in")),
                type_of(&parameter["schema"]),
                prose(text("description")),
            );
        }
        html + "</table>"
    }
}

fn examples(content: &Value) -> String {
    let one = content.get("example").into_iter();
    let many = content["examples"].as_object().into_iter().flatten().filter_map(|(_, e)| e.get("value"));
    let shown = one.chain(many).map(|example| {
        let text = serde_json::to_string_pretty(example).unwrap_or_default();
        format!("<pre>{}</pre>", escape(&text))
    });
    shown.collect()
}

/// A schema's type in words, with links to the named ones.
fn type_of(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|link| link.rsplit('/').next()) {
        return format!("<a href=\"#schema-{0}\">{0}</a>", escape(name));
    }
    for key in ["oneOf", "anyOf", "allOf"] {
        if let Some(all) = schema[key].as_array() {
            return all.iter().map(type_of).collect::<Vec<_>>().join(" or ");
        }
    }
    let named = |value: &Value| match value.as_str() {
        Some("array") => format!("array of {}", type_of(&schema["items"])),
        Some(name) => escape(name),
        None => "any".to_owned(),
    };
    let mut text = match &schema["type"] {
        Value::Array(names) => names.iter().map(named).collect::<Vec<_>>().join(" or "),
        name => named(name),
    };
    if let Some(format) = schema["format"].as_str() {
        let _ = write!(text, " ({})", escape(format));
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<String> = values.iter().map(|value| escape(&value.to_string())).collect();
        let _ = write!(text, ": {}", values.join(", "));
    }
    text
}

fn schema_section(name: &str, schema: &Value) -> String {
    let mut html = format!(
        "<section id=\"schema-{0}\"><h3>{0}</h3>{1}",
        escape(name),
        prose(schema["description"].as_str().unwrap_or_default())
    );
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if let Some(properties) = schema["properties"].as_object() {
        html += "<table>";
        for (member, property) in properties {
            let mark = if required.contains(&member.as_str()) { "" } else { "optional" };
            let _ = write!(
                html,
                "<tr><th><code>{}</code></th><td>{}</td><td>{mark}</td><td>{}</td></tr>",
                escape(member),
                type_of(property),
                prose(property["description"].as_str().unwrap_or_default()),
            );
        }
        html += "</table>";
    }
    html + "</section>\n"
}

/// What a type of problem means, and what to do about it.
fn explain(kind: ProblemType) -> (&'static str, &'static str) {
    match kind {
        ProblemType::InvalidRequest => (
            "Something in the request is wrong: a member or parameter that does not exist, a value that does not \
             fit, a filter that does not parse, a range past the end of a file.",
            "Read `errors`: each entry says what is wrong and where, as a JSON pointer into the body (`#/filter`) \
             or as the name of a query parameter (`?limit`). Mend it and send it again; the same request will \
             never work.",
        ),
        ProblemType::Unauthenticated => (
            "The request has no token, or one that is mistyped, expired or revoked, or several that differ.",
            "Send a token in one way: `Authorization: Bearer TOKEN`, HTTP Basic with the token as user name and an \
             empty password (`curl -u TOKEN:`), or `x-api-key: TOKEN`. Ask the operator for a new one where yours \
             has ended.",
        ),
        ProblemType::Forbidden => (
            "The token works, but its scope is too weak for this, or the account's plan does not allow it; or a signed link was changed.",
            "Use a token of the scope that `detail` names: `read` looks and collects, `submit` also submits, \
             changes and deletes jobs. Get a fresh link from the job's `download_link` or its `/download`.",
        ),
        ProblemType::NotFound => (
            "There is nothing at this address, or nothing that your account may see: another account's job looks \
             the same as none.",
            "Check the id, the page number and the account of the token. Records of jobs go 30 days after their \
             results.",
        ),
        ProblemType::MethodNotAllowed => (
            "The resource exists, but does not have this method.",
            "Use one of the methods in the `Allow` header.",
        ),
        ProblemType::ResultNotReady => (
            "The job has not completed yet, or has failed or was cancelled and never will.",
            "Where there is a `Retry-After`, wait that long, or follow the job with `?wait=60`. Where there is none, \
             read the job's `error`.",
        ),
        ProblemType::Expired => (
            "The result was there and has been removed at its `expires`, or a signed link has run out.",
            "For a link, get another from the job. For a result, submit the job again; `PATCH` keeps a result \
             longer while it is there, as far as the plan allows.",
        ),
        ProblemType::Conflict => (
            "The state of the resource does not allow this: cancelling a job that has ended, say. As a job's error: \
             its data changed while it ran. As 412: the file is another than the request's condition asks for.",
            "Look at the resource as it is now, and decide anew. A job whose data changed can be submitted again.",
        ),
        ProblemType::IdempotencyMismatch => {
            ("The idempotency key was used before, for another request.", "Use a new key for a new request.")
        }
        ProblemType::QuotaExceeded => (
            "A limit of the account's plan is reached; `detail` and the `RateLimit-Policy` header name it.",
            "Wait as long as `Retry-After` says, or until jobs have ended. `GET /v1/account` shows limits and usage.",
        ),
        ProblemType::PayloadTooLarge => (
            "The request is larger than the service reads.",
            "Stay within the limit that `detail` names: the body of a request has at most 1 MiB.",
        ),
        ProblemType::UnsupportedFormat => (
            "The body's media type cannot be read, or the result cannot be answered in what was asked for.",
            "Send JSON as `application/json`, UTF-8, not compressed. Ask for a result by `format`, and page only \
             through results in text formats.",
        ),
        ProblemType::UpstreamFailed => (
            "The slow API behind this service failed or did not answer.",
            "Try again later; where it stays so, tell the operator.",
        ),
        ProblemType::EngineFailed => (
            "The query was right, but could not be carried out: a file of the data set cannot be read, or the work \
             was given up after several attempts.",
            "Submit it again once; where it fails again, tell the operator the job's id.",
        ),
        ProblemType::Unavailable => (
            "Something that the service needs does not answer now.",
            "Try again after `Retry-After`. Jobs that were accepted are not lost.",
        ),
        ProblemType::Internal => (
            "The service made an error, which is not yours to mend.",
            "Tell the operator the `request_id`: the cause is in the log under it.",
        ),
    }
}

/// The page of a type of problem.
pub(crate) fn problem_page(kind: ProblemType) -> String {
    let (meaning, remedy) = explain(kind);
    let body = format!(
        "<main><h1>{}</h1><p><code>{}</code>, usually with status {}.</p><h2>What it means</h2>{}\
         <h2>What to do</h2>{}<p><a href=\"/docs\">The whole contract</a></p></main>\n",
        escape(kind.title()),
        kind.slug(),
        status_of(kind),
        prose(meaning),
        prose(remedy),
    );
    page(kind.title(), &body)
}
