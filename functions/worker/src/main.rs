//! The Lambda function that does the work of jobs: the only one that links the query engine.

use std::{process::ExitCode, sync::Arc};

use lambda_runtime::service_fn;
use willcall_core::usecases::work::{LeaseSettings, Worker};
use willcall_engine::{Engine, EngineConfig};
use willcall_lambda::{Consumer, Part, start};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    start(async |host| {
        let app = host.app(&[Part::Catalog, Part::Queue])?;
        let executor = Arc::new(Engine::new(EngineConfig::default()));
        let consumer = Consumer::new(Worker { app, executor, lease: LeaseSettings::default() });
        lambda_runtime::run(service_fn(|event| consumer.handle(event))).await
    })
    .await
}
