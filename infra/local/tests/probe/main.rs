//! A Lambda function that does what a test wants of it: it answers, fails, crashes, hangs, grows. It speaks the
//! Runtime API by plain HTTP, so that the runner is not tested by the library that the real functions use.

#![expect(clippy::print_stdout, reason = "what a function prints is its log")]

use std::{
    env,
    fs::File,
    io::{Read, Write},
    net::TcpStream,
    process::exit,
    thread::sleep,
    time::Duration,
};

use serde_json::{Value, json};

type Headers = Vec<(String, String)>;

fn main() {
    let var = |name: &str| env::var(name).unwrap_or_default();
    let api = var("AWS_LAMBDA_RUNTIME_API");
    match var("PROBE_INIT").as_str() {
        "error" => {
            let error = json!({"errorType": "NoConfig", "errorMessage": "PROBE is not set"});
            call(&api, "POST", "/2018-06-01/runtime/init/error", error.to_string().as_bytes());
            exit(1);
        }
        "crash" => exit(7),
        "hang" => sleep(Duration::from_secs(3600)),
        _ => {}
    }
    for count in 1u64.. {
        let (_, headers, event) = call(&api, "GET", "/2018-06-01/runtime/invocation/next", b"");
        let header =
            |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let id = header("lambda-runtime-aws-request-id").unwrap_or_default();
        let event: Value = serde_json::from_slice(&event).unwrap_or_default();
        let path = |what: &str| format!("/2018-06-01/runtime/invocation/{id}/{what}");
        let (what, answer) = match answer(&event, count, &headers) {
            Ok(answer) => ("response", answer),
            Err(message) => ("error", json!({"errorType": "Asked", "errorMessage": message})),
        };
        call(&api, "POST", &path(what), answer.to_string().as_bytes());
    }
}

fn answer(event: &Value, count: u64, headers: &Headers) -> Result<Value, String> {
    if let Some(records) = event["Records"].as_array() {
        return batch(records);
    }
    if event["source"].is_string() {
        note(&format!("scheduled by {}", event["source"].as_str().unwrap_or_default()));
        return Ok(json!("swept"));
    }
    let parameters = &event["queryStringParameters"];
    let parameter = |name: &str| parameters[name].as_str().unwrap_or_default();
    let number = || parameter("n").parse().unwrap_or(0);
    let body = match parameter("do") {
        "crash" => exit(3),
        "hang" => {
            sleep(Duration::from_secs(3600));
            String::new()
        }
        "fail" => return Err("as asked".to_owned()),
        "sleep" => {
            sleep(Duration::from_millis(number()));
            note("slept");
            "slept".to_owned()
        }
        "big" => "x".repeat(usize::try_from(number()).unwrap_or(0)),
        "grow" => {
            let size = usize::try_from(number()).unwrap_or(0) << 20;
            let memory = vec![1u8; size];
            sleep(Duration::from_secs(3600));
            memory.len().to_string()
        }
        "count" => count.to_string(),
        "headers" => json!(headers).to_string(),
        "variables" => json!(env::vars().collect::<std::collections::BTreeMap<_, _>>()).to_string(),
        "call" => {
            let endpoint = env::var("AWS_ENDPOINT_URL_S3").unwrap_or_default();
            let host = endpoint.trim_start_matches("http://").to_owned();
            let began = std::time::Instant::now();
            let (status, _, body) = call(&host, parameter("method"), parameter("path"), b"");
            json!({"status": status, "bytes": body.len(), "took": began.elapsed().as_millis(),
                "body": String::from_utf8_lossy(&body)})
            .to_string()
        }
        _ => event.to_string(),
    };
    println!("answered {count}");
    Ok(json!({"statusCode": 200, "headers": {"content-type": "application/json"}, "body": body}))
}

/// Messages say what becomes of them.
fn batch(records: &[Value]) -> Result<Value, String> {
    let mut failures = Vec::new();
    for record in records {
        let (id, body) = (&record["messageId"], record["body"].as_str().unwrap_or_default());
        let received = record["attributes"]["ApproximateReceiveCount"].as_str().unwrap_or_default();
        note(&format!("begin {body} {received} of {}", records.len()));
        match body {
            "crash" => exit(3),
            "fail" => failures.push(json!({"itemIdentifier": id})),
            "slow" => sleep(Duration::from_millis(300)),
            "throw" => return Err("as asked".to_owned()),
            _ => {}
        }
        note(&format!("end {body}"));
    }
    Ok(json!({"batchItemFailures": failures}))
}

/// One line in the file that the test reads.
fn note(line: &str) {
    let Ok(path) = env::var("PROBE_NOTES") else { return };
    let mut file = File::options().create(true).append(true).open(path).expect("the notes can be written");
    file.write_all(format!("{line}\n").as_bytes()).expect("the notes can be written");
}

/// A request on a connection of its own. Status 0: there was no answer.
fn call(host: &str, method: &str, path: &str, body: &[u8]) -> (u16, Headers, Vec<u8>) {
    let mut stream = TcpStream::connect(host).expect("the server is there");
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("the request is taken");
    // A body that is too large is refused before it is read whole.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return (0, Headers::new(), Vec::new());
    };
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let headers = head.lines().skip(1).filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    });
    (status, headers.collect(), answer[end + 4..].to_vec())
}
