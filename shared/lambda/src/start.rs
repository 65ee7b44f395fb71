//! How a function begins, and what is said when it cannot.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::ExitCode,
    time::Duration,
};

use crate::{Error, Host, Variables, chain, log};

/// Starts the log, opens the host and runs `function` on it, which serves until the process ends. What keeps it from
/// starting is logged, told to Lambda, and ends the process.
pub async fn start(function: impl AsyncFnOnce(Host) -> Result<(), Error>) -> ExitCode {
    let vars = Variables::of_process();
    log::start(&vars);
    let api = vars.get("AWS_LAMBDA_RUNTIME_API").map(str::to_owned);
    let ended = async { function(Host::open(vars).await?).await };
    let Err(error) = Box::pin(ended).await else { return ExitCode::SUCCESS };
    let text = chain(&*error);
    tracing::error!(error = text, "failed to start");
    if let Some(api) = api {
        // The log has it already.
        let _ = tell(&api, &text);
    }
    ExitCode::FAILURE
}

/// Tells the runtime's interface, so that the invocation's error has the reason and not just an exit.
fn tell(api: &str, error: &str) -> std::io::Result<()> {
    let body =
        serde_json::json!({"errorType": "StartFailed", "errorMessage": error, "stackTrace": []}).to_string();
    let mut stream = TcpStream::connect(api)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    write!(
        stream,
        "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: {api}\r\nContent-Type: application/json\r\n\
         Lambda-Runtime-Function-Error-Type: Runtime.StartFailed\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    // Told once it is answered.
    stream.read(&mut [0; 64]).map(drop)
}
