//! The emulator: a process of its own that all who use the same directory share.

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
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider, SharedHttpClient};

/// The region of everything.
pub const REGION: &str = "eu-central-1";
/// The name of the key that everything is signed with.
pub const ACCESS_KEY: &str = "AKIDEXAMPLE";
/// The key itself.
pub const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// How time passes for messages in queues: their delays and the time for which one who received them has them alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueClock {
    /// It stands still but for [`Emulator::advance`].
    Held,
    /// As everywhere.
    Live,
}

/// An emulator that answers. Requests are served one after the other, so a long poll of a queue would keep all others
/// waiting.
#[derive(Debug)]
pub struct Emulator {
    port: u16,
    /// Tells the emulator that it is in use; the lock ends with the process, however that ends.
    _user: File,
}

impl Emulator {
    /// The emulator of this run of tests, whose queues' clock is held.
    pub fn of_this_run() -> &'static Self {
        static EMULATOR: OnceLock<Emulator> = OnceLock::new();
        EMULATOR.get_or_init(|| Self::start(&directory(), QueueClock::Held))
    }

    /// The emulator of that directory, which is started where there is none. It ends some seconds after the last of
    /// those that use it.
    ///
    /// # Panics
    /// Where it does not start; the words say what is missing.
    pub fn start(directory: &Path, clock: QueueClock) -> Self {
        fs::create_dir_all(directory).unwrap();
        let open = |name| File::options().create(true).append(true).open(directory.join(name)).unwrap();
        // In this order: an emulator that is ending has the first lock, and its port is gone when it lets go.
        let (user, starting) = (open("users"), open("starting"));
        user.lock_shared().unwrap();
        starting.lock().unwrap();
        let port = read_port(directory).unwrap_or_else(|| launch(directory, clock));
        Self { port, _user: user }
    }

    /// Where it listens: what `AWS_ENDPOINT_URL` is to say.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The environment in which any tool of AWS finds it.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ]
    }

    /// What clients of it are made of.
    pub fn sdk(&self, http: SharedHttpClient) -> SdkConfig {
        let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(REGION))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .endpoint_url(self.endpoint())
            .http_client(http)
            .build()
    }

    /// Lets time pass for all queues.
    ///
    /// # Panics
    /// Where their clock is not held.
    pub fn advance(&self, time: Duration) {
        let answer = self.request("POST", &format!("/advance/{}", time.as_secs_f64()));
        assert!(answer.starts_with(b"HTTP/1.1 204") || answer.starts_with(b"HTTP/1.0 204"));
    }

    /// A request without the SDK: all of the answer, head and body.
    pub fn request(&self, method: &str, path_and_query: &str) -> Vec<u8> {
        self.send(method, path_and_query, &[], &[])
    }

    /// The same of a request with these headers, beside its length, and that body.
    pub fn send(
        &self,
        method: &str,
        path_and_query: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Vec<u8> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let (host, length) = (format!("127.0.0.1:{}", self.port), body.len());
        let mut head = format!("{method} {path_and_query} HTTP/1.1\r\nHost: {host}\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        write!(stream, "{head}Content-Length: {length}\r\nConnection: close\r\n\r\n").unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    }
}

/// One for all processes of a run of nextest; without it, one for this process. Beside the tests' programs, so that it
/// goes with them.
fn directory() -> PathBuf {
    let run = env::var("NEXTEST_RUN_ID").unwrap_or_else(|_| std::process::id().to_string());
    let program = env::current_exe().unwrap();
    program.parent().unwrap().join("aws-emulators").join(run)
}

fn read_port(directory: &Path) -> Option<u16> {
    let port = fs::read_to_string(directory.join("port")).ok()?.parse().ok()?;
    // One that was killed left its port behind.
    TcpStream::connect(("127.0.0.1", port)).ok().map(|_| port)
}

#[expect(clippy::zombie_processes, reason = "it outlives this process, and ends when nobody uses it")]
fn launch(directory: &Path, clock: QueueClock) -> u16 {
    const MISSING: &str = "the emulator of AWS is missing: set WILLCALL_TEST_PYTHON to a Python that has \
        tests/requirements.txt installed, as `make test` does";
    let python = env::var("WILLCALL_TEST_PYTHON").expect(MISSING);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("emulator.py");
    let log = File::create(directory.join("log")).unwrap();
    let _ = fs::remove_file(directory.join("port"));
    let mut command = Command::new(&python);
    command.arg(script).arg(directory);
    if clock == QueueClock::Live {
        command.arg("--live-clock");
    }
    let mut child = command
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
