//! The child alone, for tests: every program that carries out statements is its own child.

use std::process::ExitCode;

fn main() -> ExitCode {
    willcall_sql::run_child(std::env::args_os()).unwrap_or(ExitCode::FAILURE)
}
