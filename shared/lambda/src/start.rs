//! How a function begins, and what is said when it cannot.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::ExitCode,
    time::Duration,
};

use willcall_core::chain;

use crate::{Error, Host, Variables, log};

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

#[cfg(test)]
mod tests {
    use std::{io::BufRead, io::BufReader, net::TcpListener, thread};

    use super::*;

    #[test]
    fn lambda_is_told_why_a_function_does_not_start() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = listener.local_addr().unwrap().to_string();
        let told = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let (mut head, mut length) = (Vec::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if line == "\r\n" {
                    break;
                }
                if let Some(value) = line.strip_prefix("Content-Length: ") {
                    length = value.trim().parse().unwrap();
                }
                head.push(line);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            reader.get_mut().write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n").unwrap();
            (head, body)
        });
        tell(&api, "WILLCALL_TABLE is not set").unwrap();
        let (head, body) = told.join().unwrap();
        assert_eq!(head[0], "POST /2018-06-01/runtime/init/error HTTP/1.1\r\n");
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["errorMessage"], "WILLCALL_TABLE is not set");
    }
}
