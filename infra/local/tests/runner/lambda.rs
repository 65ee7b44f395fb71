//! Environments: reused, frozen, bounded, killed, and gone at the end.

use std::{fs, path::Path, time::Duration};

use serde_json::json;
use willcall_aws_local::{InvokeError, Victim};

use crate::setup::{Setup, until};

/// The state of a process as the system tells it; none if there is no such process.
fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.trim().chars().next()
}

#[tokio::test]
async fn an_environment_is_used_again_and_frozen_in_between() {
    let setup = Setup::new().await;
    for count in ["1", "2", "3"] {
        assert_eq!(setup.get("/?do=count").await.text, count);
        until("it is frozen", async || {
            let environments = setup.local.environments("EchoFunction").unwrap();
            matches!(environments.as_slice(), [one] if state(one.pid) == Some('T'))
        })
        .await;
    }
    assert!(setup.logged("answered 3") && setup.logged("REPORT RequestId: "));
}

#[tokio::test]
async fn requests_at_once_have_environments_of_their_own_up_to_the_limit() {
    let setup = Setup::new().await;
    let slow = async || setup.get("/?do=sleep&n=1500").await.status;
    assert_eq!(tokio::join!(slow(), slow()), (200, 200));
    assert_eq!(setup.local.environments("EchoFunction").unwrap().len(), 2);

    let narrow = async || {
        let answer = setup.get("/narrow?do=sleep&n=1500").await;
        (answer.status, answer.text)
    };
    let (one, two) = tokio::join!(narrow(), narrow());
    let mut both = [one, two];
    both.sort();
    let refused = (503, r#"{"message":"Service Unavailable"}"#.to_owned());
    assert_eq!(both, [(200, "slept".to_owned()), refused]);
}

#[tokio::test]
async fn a_time_out_kills_the_environment_and_the_next_request_has_another() {
    let setup = Setup::new().await;
    assert_eq!(setup.get("/narrow?do=count").await.text, "1");
    let answer = setup.get("/narrow?do=hang").await;
    assert_eq!((answer.status, answer.text.as_str()), (500, r#"{"message":"Internal Server Error"}"#));
    assert!(setup.logged("Task timed out after 2.00 seconds"));
    until("its place is free", async || setup.get("/narrow?do=count").await.text == "1").await;
}

#[tokio::test]
async fn crashes_and_errors_are_of_one_invocation() {
    let setup = Setup::new().await;
    let invoke = async |what: &str| {
        let event = json!({"queryStringParameters": {"do": what}});
        setup.local.invoke("EchoFunction", &event).await.unwrap()
    };
    let crashed = invoke("crash").await.unwrap_err();
    assert!(matches!(&crashed, InvokeError::Exited(how) if how.contains("exit status: 3")), "{crashed}");
    let failed = InvokeError::Function { kind: "Asked".to_owned(), message: "as asked".to_owned() };
    assert_eq!(invoke("fail").await.unwrap_err(), failed);
    // The one that answered with an error is used again.
    assert_eq!(invoke("count").await.unwrap()["body"], "2");
}

#[tokio::test]
async fn a_function_that_cannot_start_says_why() {
    let setup = Setup::new().await;
    assert_eq!(setup.get("/broken").await.status, 500);
    let error = setup.local.invoke("BrokenFunction", &json!({})).await.unwrap().unwrap_err();
    assert_eq!(error, InvokeError::Init("NoConfig: PROBE is not set".to_owned()));
    assert!(setup.local.environments("BrokenFunction").unwrap().is_empty());
    for (how, said) in [("crash", "exit status: 7"), ("hang", "did not ask for work within 10 s")] {
        let setup = Setup::with(|options| {
            let variables =
                options.overrides.function_variables.entry("NarrowFunction".to_owned()).or_default();
            variables.insert("PROBE_INIT".to_owned(), how.to_owned());
        })
        .await;
        let error = setup.local.invoke("NarrowFunction", &json!({})).await.unwrap().unwrap_err();
        assert!(matches!(&error, InvokeError::Init(why) if why.contains(said)), "{how}: {error}");
    }
}

#[tokio::test]
async fn memory_is_bounded() {
    let setup = Setup::new().await;
    let grow = json!({"queryStringParameters": {"do": "grow", "n": "200"}});
    let error = setup.local.invoke("EchoFunction", &grow).await.unwrap().unwrap_err();
    assert!(matches!(&error, InvokeError::Exited(why) if why.starts_with("out of memory")), "{error}");
}

#[tokio::test]
async fn a_function_has_the_template_s_variables_and_lambda_s() {
    let setup = Setup::with(|options| {
        let own = options.overrides.function_variables.entry("EchoFunction".to_owned()).or_default();
        own.extend([("AWS_ACCESS_KEY_ID".to_owned(), String::new()), ("EXTRA".to_owned(), "1".to_owned())]);
    })
    .await;
    let variables = setup.get("/?do=variables").await.json();
    let has = |name: &str| variables[name].as_str().unwrap_or_default().to_owned();
    assert_eq!(has("TABLE"), setup.local.table().unwrap());
    assert_eq!(has("BUCKET"), setup.local.bucket().unwrap());
    assert_eq!(has("QUEUE"), setup.local.queue_url("Queue").unwrap());
    assert_eq!(has("WILLCALL_PUBLIC_URL"), setup.local.url());
    assert_eq!((has("EXTRA"), has("_HANDLER")), ("1".to_owned(), "bootstrap".to_owned()));
    assert_eq!(has("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"), "128");
    assert!(variables["AWS_ACCESS_KEY_ID"].is_null() && variables["HOME"].is_null());
    assert!(Path::new(&has("TMPDIR")).is_dir());
    let headers = setup.get("/?do=headers").await.text;
    for name in ["deadline-ms", "invoked-function-arn", "trace-id", "aws-request-id"] {
        assert!(headers.contains(&format!("lambda-runtime-{name}")), "{headers}");
    }
}

#[tokio::test]
async fn one_that_is_killed_fails_its_invocation_only() {
    let setup = Setup::new().await;
    let kill = async || {
        until("it is at work", async || {
            setup.local.environments("EchoFunction").unwrap().iter().any(|environment| environment.busy)
                && setup.logged("START RequestId")
        })
        .await;
        setup.local.kill("EchoFunction", Victim::Any).unwrap()
    };
    let (answer, killed) = tokio::join!(setup.get("/?do=hang"), kill());
    assert_eq!((answer.status, killed), (500, 1));
    assert_eq!(setup.get("/?do=count").await.text, "1");
    // One that is killed while it is frozen is not even missed.
    setup.local.kill("EchoFunction", Victim::All).unwrap();
    assert_eq!(setup.get("/?do=count").await.status, 200);
}

#[tokio::test]
async fn nothing_is_left_when_it_stops() {
    let setup = Setup::new().await;
    let variables = setup.get("/?do=variables").await.json();
    let [one] = setup.local.environments("EchoFunction").unwrap().try_into().unwrap();
    let (s3, bucket) = (setup.local.s3().clone(), setup.local.bucket().unwrap().to_owned());
    s3.put_object().bucket(&bucket).key("a").body(b"x".to_vec().into()).send().await.unwrap();
    setup.local.stop().await.unwrap();
    until("the process is gone", async || matches!(state(one.pid), None | Some('Z'))).await;
    assert!(!Path::new(variables["TMPDIR"].as_str().unwrap()).exists());
    assert!(s3.head_bucket().bucket(&bucket).send().await.is_err());
}

#[tokio::test]
async fn dropping_it_stops_it_too() {
    let setup = Setup::new().await;
    assert_eq!(setup.get("/?do=count").await.status, 200);
    let [one] = setup.local.environments("EchoFunction").unwrap().try_into().unwrap();
    let url = setup.local.url().to_owned();
    drop(setup.local);
    until("the process is gone", async || matches!(state(one.pid), None | Some('Z'))).await;
    until("the port is closed", async || {
        setup.http.get(&url).timeout(Duration::from_secs(1)).send().await.is_err()
    })
    .await;
}
