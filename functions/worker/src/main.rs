//! The Lambda function that does the work of jobs: the only one that links the query engine and calls upstreams.

use std::{env, process::ExitCode, sync::Arc};

use lambda_runtime::service_fn;
use willcall_core::{
    ports::ExecutorByKind,
    usecases::work::{LeaseSettings, Worker},
};
use willcall_engine::{Engine, EngineConfig, LocalDataFiles};
use willcall_lambda::{Consumer, Part, start};
use willcall_sql::{SqlConfig, SqlExecutor};
use willcall_upstream::UpstreamExecutor;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match willcall_sql::run_child(env::args_os()) {
        Some(code) => code,
        None => serve(),
    }
}

#[tokio::main]
async fn serve() -> ExitCode {
    start(async |host| {
        let app = host.app(&[Part::Catalog, Part::Queue, Part::Notices])?;
        let (tmp, size) = (env::temp_dir(), host.size());
        let config = EngineConfig::for_size(tmp, size.memory, size.disk);
        let files = host.data_files(Arc::new(LocalDataFiles));
        let sql = SqlExecutor::new(config.clone(), SqlConfig::for_size(size.memory), Arc::clone(&files));
        let engine = Engine::new(config, files);
        let caller = UpstreamExecutor::new(host.secrets(), Arc::clone(&app.clock));
        let executor =
            ExecutorByKind { engine: Arc::new(engine), caller: Arc::new(caller), sql: Arc::new(sql) };
        let consumer =
            Consumer::new(Worker { app, executor: Arc::new(executor), lease: LeaseSettings::default() });
        lambda_runtime::run(service_fn(|event| consumer.handle(event))).await
    })
    .await
}
