//! The `willcall` command: serves the API of one box, and is a client of it and of any other.

mod args;
mod aws;
mod client;
mod commands;
mod data_files;
mod failure;
mod host;
mod log;
mod operator;
mod output;
mod progress;
mod request;
mod rows;
mod server;
mod signals;
mod target;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    args::Cli,
    failure::{Exit, Failure},
};

fn main() -> ExitCode {
    if let Some(code) = willcall_sql::run_child(std::env::args_os()) {
        return code;
    }
    let Cli { global, command } = Cli::parse();
    log::start(&global, &command);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done =
        runtime.map_err(|error| Failure::caused(Exit::Failed, "cannot start", &error)).and_then(|runtime| {
            let done = runtime.block_on(commands::run(&global, command));
            // Nobody waits for what is left: it is safe to be cut short, as by a crash.
            runtime.shutdown_background();
            done
        });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(global.json),
    }
}
