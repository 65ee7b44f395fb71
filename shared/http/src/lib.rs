//! The HTTP contract of Willcall: routes, wire types, problem documents and the OpenAPI document that describes them.
//!
//! **Architecture invariant:** handlers translate between HTTP and the use cases and decide nothing themselves.
//! Every host serves these same routers: one box serves [`all_routes`], each Lambda serves one of the others.

mod accept;
mod auth;
mod conditional;
mod docs;
mod idempotency;
mod observe;
pub mod openapi;
mod prefer;
mod problem;
mod range;
mod rate_limit;
mod routes;
mod wire;

pub use openapi::openapi;
pub use problem::ProblemDocument;
pub use routes::{all_routes, download_routes, file_routes, status_routes, submit_routes};
pub use wire::{
    account::AccountResource,
    batch::{BatchCountsResource, BatchList, BatchResource, CountsResource, FileResource, UploadLink},
    dataset::{DatasetList, DatasetResource},
    job::{JobList, JobResource},
    manifest::ManifestResource,
    webhook::{
        AttemptResource, NotificationList, NotificationResource, SecretResource, WebhookList,
        WebhookResource, WebhookSecret, WebhookTest,
    },
};
