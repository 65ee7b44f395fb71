//! The emulator: started once for all tests of a run, with a table, a bucket and a queue of each test's own.

use std::{
    env,
    fs::{self, File},
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::{
    config::{Credentials, SharedCredentialsProvider, SharedHttpClient},
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
        ProjectionType, ScalarAttributeType,
    },
};
use aws_smithy_http_client::Builder;
use willcall_aws::{Clients, DUE_AT, DUE_INDEX, DUE_SHARD, PARTITION_KEY, SORT_KEY};
use willcall_core::JobId;

pub(crate) const REGION: &str = "eu-central-1";
pub(crate) const ACCESS_KEY: &str = "AKIDEXAMPLE";
pub(crate) const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// An emulator that answers.
pub(crate) struct BackEnd {
    port: u16,
    /// Tells the emulator that it is in use; the lock ends with the process, however that ends.
    _user: File,
}

/// What one test has of the emulator.
pub(crate) struct Place {
    pub(crate) clients: Clients,
    pub(crate) raw_s3: aws_sdk_s3::Client,
    pub(crate) raw_sqs: aws_sdk_sqs::Client,
    pub(crate) raw_dynamodb: aws_sdk_dynamodb::Client,
    /// The name of the table, the bucket and the queue.
    pub(crate) name: String,
    pub(crate) queue_url: String,
}

impl Place {
    /// The environment of a function that works here.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("WILLCALL_TABLE", self.name.clone()),
            ("WILLCALL_BUCKET", self.name.clone()),
            ("WILLCALL_QUEUE_URL", self.queue_url.clone()),
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", back_end().port)),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ]
    }

    pub(crate) async fn new() -> Self {
        Self::through(None).await
    }

    /// A place whose adapters, but not its raw clients, call through `http`.
    pub(crate) async fn through(http: Option<SharedHttpClient>) -> Self {
        let back_end = back_end();
        let sdk = back_end.sdk(Builder::new().build_http());
        let path_style = aws_sdk_s3::config::Builder::from(&sdk).force_path_style(true).build();
        let name = format!("t-{}", JobId::generate());
        let mut place = Self {
            clients: Clients::new(&http.map_or_else(|| sdk.clone(), |http| back_end.sdk(http)), true),
            raw_s3: aws_sdk_s3::Client::from_conf(path_style),
            raw_sqs: aws_sdk_sqs::Client::new(&sdk),
            raw_dynamodb: aws_sdk_dynamodb::Client::new(&sdk),
            name,
            queue_url: String::new(),
        };
        place.create().await;
        place
    }

    async fn create(&mut self) {
        create_table(&self.raw_dynamodb, &self.name).await;
        let location = aws_sdk_s3::types::CreateBucketConfiguration::builder()
            .location_constraint(REGION.into())
            .build();
        let bucket = self.raw_s3.create_bucket().bucket(&self.name);
        bucket.create_bucket_configuration(location).send().await.unwrap();
        let queue = self.raw_sqs.create_queue().queue_name(&self.name).send().await.unwrap();
        self.queue_url = queue.queue_url.unwrap();
    }
}

/// The table as the deployment makes it.
async fn create_table(dynamodb: &aws_sdk_dynamodb::Client, name: &str) {
    let attribute = |name: &str, kind| {
        AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap()
    };
    let key =
        |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
    let due = GlobalSecondaryIndex::builder()
        .index_name(DUE_INDEX)
        .key_schema(key(DUE_SHARD, KeyType::Hash))
        .key_schema(key(DUE_AT, KeyType::Range))
        .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build());
    dynamodb
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute(PARTITION_KEY, ScalarAttributeType::S))
        .attribute_definitions(attribute(SORT_KEY, ScalarAttributeType::S))
        .attribute_definitions(attribute(DUE_SHARD, ScalarAttributeType::N))
        .attribute_definitions(attribute(DUE_AT, ScalarAttributeType::N))
        .key_schema(key(PARTITION_KEY, KeyType::Hash))
        .key_schema(key(SORT_KEY, KeyType::Range))
        .global_secondary_indexes(due.build().unwrap())
        .send()
        .await
        .unwrap();
}

/// The emulator of this run.
pub(crate) fn back_end() -> &'static BackEnd {
    static BACK_END: OnceLock<BackEnd> = OnceLock::new();
    BACK_END.get_or_init(BackEnd::start)
}

impl BackEnd {
    fn start() -> Self {
        let directory = directory();
        fs::create_dir_all(&directory).unwrap();
        let open = |name| File::options().create(true).append(true).open(directory.join(name)).unwrap();
        // In this order: an emulator that is ending has the first lock, and its port is gone when it lets go.
        let (user, starting) = (open("users"), open("starting"));
        user.lock_shared().unwrap();
        starting.lock().unwrap();
        let port = read_port(&directory).unwrap_or_else(|| launch(&directory));
        Self { port, _user: user }
    }

    fn sdk(&self, http: SharedHttpClient) -> SdkConfig {
        let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(REGION))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .endpoint_url(format!("http://127.0.0.1:{}", self.port))
            .http_client(http)
            .build()
    }

    /// Lets time pass for all queues.
    pub(crate) fn advance(&self, time: Duration) {
        let answer = self.request("POST", &format!("/advance/{}", time.as_secs_f64()));
        assert!(answer.starts_with(b"HTTP/1.1 204") || answer.starts_with(b"HTTP/1.0 204"));
    }

    /// A request without the SDK: all of the answer, head and body.
    pub(crate) fn request(&self, method: &str, path_and_query: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let host = format!("127.0.0.1:{}", self.port);
        write!(
            stream,
            "{method} {path_and_query} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    }
}

/// One for all processes of a run of nextest; without it, one for this process.
fn directory() -> PathBuf {
    let run = env::var("NEXTEST_RUN_ID").unwrap_or_else(|_| std::process::id().to_string());
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("aws-{run}"))
}

fn read_port(directory: &Path) -> Option<u16> {
    let port = fs::read_to_string(directory.join("port")).ok()?.parse().ok()?;
    // One that was killed left its port behind.
    TcpStream::connect(("127.0.0.1", port)).ok().map(|_| port)
}

#[expect(clippy::zombie_processes, reason = "it outlives this process, and ends when no test uses it")]
fn launch(directory: &Path) -> u16 {
    const MISSING: &str = "the emulator of AWS is missing: set WILLCALL_TEST_PYTHON to a Python that has \
        tests/requirements.txt installed, as `make test` does";
    let python = env::var("WILLCALL_TEST_PYTHON").expect(MISSING);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/back_end.py");
    let log = File::create(directory.join("log")).unwrap();
    let _ = fs::remove_file(directory.join("port"));
    let mut child = Command::new(&python)
        .arg(script)
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("{python} does not start: {error}; {MISSING}"));
    let began = Instant::now();
    loop {
        if let Some(port) = read_port(directory) {
            return port;
        }
        let ended = child.try_wait().unwrap();
        if ended.is_some() || began.elapsed() > Duration::from_secs(60) {
            let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
            panic!("the emulator of AWS did not start; {MISSING}. It said:\n{log}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
