//! The Lambda function that does the work of jobs: the only one that links the query engine and calls upstreams.

use std::{env, process::ExitCode, sync::Arc};

use lambda_runtime::service_fn;
use willcall_core::{
    ports::ExecutorByKind,
    usecases::work::{LeaseSettings, Worker},
};
use willcall_engine::{Engine, EngineConfig, LocalDataFiles};
use willcall_lambda::{Consumer, Part, start};
use willcall_upstream::UpstreamExecutor;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    start(async |host| {
        let app = host.app(&[Part::Catalog, Part::Queue, Part::Notices])?;
        let (tmp, size) = (env::temp_dir(), host.size());
        let config = EngineConfig::for_size(tmp, size.memory, size.disk);
        let engine = Engine::new(config, host.data_files(Arc::new(LocalDataFiles))?);
        let caller = UpstreamExecutor::new(host.secrets(), Arc::clone(&app.clock));
        let executor = Arc::new(ExecutorByKind { engine: Arc::new(engine), caller: Arc::new(caller) });
        let consumer = Consumer::new(Worker { app, executor, lease: LeaseSettings::default() });
        lambda_runtime::run(service_fn(|event| consumer.handle(event))).await
    })
    .await
}
