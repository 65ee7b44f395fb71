//! The operations of upstreams.

use utoipa::openapi::{HttpMethod, ObjectBuilder, Type};

use super::{
    operations::{COMMON, JSON},
    parts::{Op, content, flag, header, key, named, path, query, text},
};

pub(super) fn operations() -> Vec<Op> {
    let any = || content(ObjectBuilder::new().description(Some("Whatever the upstream answers.")));
    let told = ["Content-Location", "Preference-Applied", "Willcall-Job-Id"];
    let made = ["Idempotent-Replayed", "RateLimit", "RateLimit-Policy"];
    let begun = ["Location", "Content-Location", "Retry-After", "Preference-Applied", "Willcall-Job-Id"];
    let types = || {
        vec![
            ("application/json".to_owned(), any()),
            ("text/plain; charset=utf-8".to_owned(), content(text())),
        ]
    };
    vec![
        Op::new(HttpMethod::Post, "/v1/upstreams/{name}", "callUpstream", "upstreams", "One call at once")
            .about(
                "The body is the item that is sent. Makes a job of kind `call` and waits for it. In time, the answer is the \
                 upstream's own, its status included, any of 200 to 299; otherwise it is the job, which goes on: the item is \
                 not sent a second time. Where the upstream refuses it, or cannot be asked, that is the problem \
                 `upstream-failed`.",
            )
            .params([
                path("name", text(), "The upstream."),
                query("async", flag(), "True to get a job at once, and not to wait."),
                header(
                    "Prefer",
                    text(),
                    "`wait=N` to wait so many seconds, `respond-async` not to wait (RFC 7240).",
                ),
                key(),
            ])
            .body(&JSON, true, &content(ObjectBuilder::new().schema_type(Type::Object)))
            .answers("2XX", "The upstream's answer.", types(), &[&told[..], &made].concat())
            .json(
                "202",
                "The job: it was not done in time, or you do not wait.",
                content(named("Job")),
                &[&begun[..], &made].concat(),
            )
            .problems(&COMMON)
            .problems(&["404", "408", "409", "413", "415", "422", "429", "502"]),
    ]
}
