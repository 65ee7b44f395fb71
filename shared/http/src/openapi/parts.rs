//! Small words from which the document is written.

use serde_json::Value;
use utoipa::openapi::{
    Content, ContentBuilder, Header, HttpMethod, ObjectBuilder, PathItem, Paths, Ref, RefOr, Required,
    Response, ResponseBuilder, Schema, SecurityRequirement, Type,
    link::LinkBuilder,
    path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
    request_body::RequestBodyBuilder,
};

use crate::problem::PROBLEM_JSON;

/// A reference to a named schema.
pub(super) fn named(name: &str) -> RefOr<Schema> {
    Ref::from_schema_name(name).into()
}

pub(super) fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

pub(super) fn whole() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0.0))
}

pub(super) fn flag() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Boolean)
}

/// A parameter that may be left out.
pub(super) fn param(
    place: ParameterIn,
    name: &str,
    schema: impl Into<RefOr<Schema>>,
    description: &str,
) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(Required::False)
        .schema(Some(schema))
        .description(Some(description))
        .build()
}

pub(super) fn query(name: &str, schema: impl Into<RefOr<Schema>>, description: &str) -> Parameter {
    param(ParameterIn::Query, name, schema, description)
}

pub(super) fn header(name: &str, schema: impl Into<RefOr<Schema>>, description: &str) -> Parameter {
    param(ParameterIn::Header, name, schema, description)
}

pub(super) fn path(name: &str, schema: impl Into<RefOr<Schema>>, description: &str) -> Parameter {
    let mut parameter = param(ParameterIn::Path, name, schema, description);
    parameter.required = Required::True;
    parameter
}

/// The key by which a request may be repeated.
pub(super) fn key() -> Parameter {
    header(
        "Idempotency-Key",
        text(),
        "A name of your own for the request, 1 to 255 characters in quotes: repeated with it, it is done once. Known for \
         24 hours.",
    )
}

/// The id of a job in a path.
pub(super) fn job_id() -> Parameter {
    path("id", text().format(Some(utoipa::openapi::SchemaFormat::Custom("uuid".into()))), "The job.")
}

pub(super) fn content(schema: impl Into<RefOr<Schema>>) -> Content {
    Content::new(Some(schema))
}

pub(super) fn example(schema: impl Into<RefOr<Schema>>, value: Value) -> Content {
    ContentBuilder::new().schema(Some(schema)).example(Some(value)).build()
}

/// Bytes of a media type that JSON Schema does not describe.
pub(super) fn bytes() -> Content {
    content(text())
}

/// The headers that answers can have, by what they tell.
pub(super) fn headers(names: &[&str], mut response: ResponseBuilder) -> ResponseBuilder {
    for name in names {
        let (schema, description) = header_of(name);
        let mut header = Header::new(schema);
        header.description = Some(description.to_owned());
        response = response.header(*name, header);
    }
    response
}

fn header_of(name: &str) -> (ObjectBuilder, &'static str) {
    match name {
        "Location" => (text(), "Where to go: the job, or the link to the file."),
        "Content-Location" => (text(), "Where what is answered is to be had again."),
        "Retry-After" => (whole(), "Seconds after which asking again makes sense."),
        "ETag" => (text(), "Changes when the answer does."),
        "Link" => (text(), "Links to other parts (RFC 8288), by `rel`: first, prev, next, last."),
        "Last-Modified" => (text(), "When the file was written."),
        "Content-Disposition" => (text(), "The name under which to save the file."),
        "Accept-Ranges" => (text(), "That parts of the file can be asked for."),
        "Content-Range" => (text(), "Which part this is."),
        "Repr-Digest" => (text(), "SHA-256 of the whole file (RFC 9530)."),
        "Total-Count" => (whole(), "All records that match, whatever the limit."),
        "Willcall-Job-Id" => (text(), "The job behind the answer."),
        "Willcall-Truncated" => (text(), "What cut the result short, and at how many records."),
        "Preference-Applied" => (text(), "Which preference was followed (RFC 7240)."),
        "Idempotent-Replayed" => (text(), "`true` where the request was done before, by its key."),
        "WWW-Authenticate" => (text(), "The ways to give a token."),
        "Allow" => (text(), "The methods that there are."),
        "RateLimit" => (text(), "What is left of the limit."),
        "RateLimit-Policy" => (text(), "The limit."),
        _ => (text(), ""),
    }
}

/// Every status that a problem may have.
pub(super) const PROBLEMS: [&str; 17] = [
    "400", "401", "403", "404", "406", "408", "409", "410", "412", "413", "415", "416", "422", "429", "500",
    "502", "503",
];

/// The name of the answer with that status.
pub(super) fn problem_name(status: &str) -> String {
    format!("Problem{status}")
}

/// A problem that an operation may answer.
pub(super) fn problem(status: &str) -> Response {
    let (description, names): (_, &[&str]) = match status {
        "400" | "416" => ("Something in the request is wrong; `errors` says what and where.", &[]),
        "401" => ("There is no working token.", &["WWW-Authenticate"]),
        "403" => ("The token's scope is too weak, or the link is not valid.", &[]),
        "404" => ("There is no such thing, or it is not yours.", &[]),
        "406" | "415" => ("The format cannot be read or answered.", &[]),
        "408" => ("The body took too long to arrive.", &[]),
        "409" => ("The state of things does not allow it.", &["Retry-After"]),
        "410" => ("The result, or the link, has expired.", &[]),
        "412" => ("The file, or the job, is another than the condition asks for.", &[]),
        "413" => ("The body has more than 1 MiB.", &[]),
        "422" => ("The `Idempotency-Key` was used for another request.", &[]),
        "429" => {
            let names = &["Retry-After", "RateLimit", "RateLimit-Policy"];
            ("A limit of the plan is reached.", names)
        }
        "502" => ("The upstream refused the item, or could not be asked.", &[]),
        "503" => ("Something that is needed does not answer now.", &["Retry-After"]),
        _ => ("The service made an error.", &[]),
    };
    let response =
        ResponseBuilder::new().description(description).content(PROBLEM_JSON, content(named("Problem")));
    headers(names, response).build()
}

/// One operation while it is being described.
pub(super) struct Op {
    path: &'static str,
    method: HttpMethod,
    builder: OperationBuilder,
    follow: &'static [&'static str],
}

impl Op {
    pub(super) fn new(method: HttpMethod, path: &'static str, id: &str, tag: &str, summary: &str) -> Self {
        let builder = OperationBuilder::new().operation_id(Some(id)).tag(tag).summary(Some(summary));
        Self { path, method, builder, follow: &[] }
    }

    pub(super) fn about(mut self, text: &str) -> Self {
        self.builder = self.builder.description(Some(text));
        self
    }

    pub(super) fn params(mut self, params: impl IntoIterator<Item = Parameter>) -> Self {
        for param in params {
            self.builder = self.builder.parameter(param);
        }
        self
    }

    pub(super) fn body(mut self, media_types: &[&str], required: bool, content: &Content) -> Self {
        let mut body =
            RequestBodyBuilder::new().required(Some(if required { Required::True } else { Required::False }));
        for media_type in media_types {
            body = body.content(*media_type, content.clone());
        }
        self.builder = self.builder.request_body(Some(body.build()));
        self
    }

    /// The operations that its answers lead to: each takes the id of the job that was answered.
    pub(super) fn leads_to(mut self, operations: &'static [&'static str]) -> Self {
        self.follow = operations;
        self
    }

    /// An answer that is not a problem.
    pub(super) fn answers(
        mut self,
        status: &str,
        description: &str,
        contents: Vec<(String, Content)>,
        names: &[&str],
    ) -> Self {
        let mut response = ResponseBuilder::new().description(description);
        for operation in self.follow {
            let link = LinkBuilder::new().operation_id(*operation).parameter("id", "$response.body#/job_id");
            response = response.link(*operation, link.build());
        }
        for (media_type, content) in contents {
            response = response.content(media_type, content);
        }
        self.builder = self.builder.response(status, headers(names, response).build());
        self
    }

    /// An answer in JSON.
    pub(super) fn json(self, status: &str, description: &str, content: Content, names: &[&str]) -> Self {
        self.answers(status, description, vec![("application/json".into(), content)], names)
    }

    /// An answer in JSON that leads to no job.
    pub(super) fn plain(mut self, status: &str, description: &str, content: Content, names: &[&str]) -> Self {
        let response = ResponseBuilder::new().description(description).content("application/json", content);
        self.builder = self.builder.response(status, headers(names, response).build());
        self
    }

    pub(super) fn problems(mut self, statuses: &[&str]) -> Self {
        for status in statuses {
            self.builder = self
                .builder
                .response(*status, RefOr::<Response>::Ref(Ref::from_response_name(problem_name(status))));
        }
        self
    }

    /// No token is needed.
    pub(super) fn open(mut self) -> Self {
        self.builder = self.builder.security(SecurityRequirement::default());
        self
    }

    pub(super) fn add(self, paths: &mut Paths) {
        let item = PathItem::new(self.method, self.builder.build());
        match paths.paths.get_mut(self.path) {
            Some(known) => known.merge_operations(item),
            None => {
                paths.paths.insert(self.path.to_owned(), item);
            }
        }
    }
}
