//! The real binary in a directory of its own.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A directory with a data directory in it, and the example catalog.
pub(crate) struct Place {
    pub(crate) dir: TempDir,
}

pub(crate) fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").canonicalize().unwrap()
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The command on this place's data directory and the example catalog.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare(arguments);
        command.arg("--catalog").arg(examples().join("willcall.toml"));
        command
    }

    /// The command without a catalog.
    pub(crate) fn bare(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_willcall"));
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(self.path("data"))
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        for name in ["SERVER", "TOKEN", "CATALOG", "DATA_DIR", "TABLE", "BUCKET"] {
            command.env_remove(format!("WILLCALL_{name}"));
        }
        command.env_remove("RUST_LOG");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command that must succeed writes to stdout.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        succeeded(self.run(arguments))
    }

    pub(crate) fn ok_json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// The names of all files in this place but the data directory.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| !matches!(name.as_str(), "data" | "log" | "out" | "address"))
            .collect();
        names.sort();
        names
    }
}

pub(crate) fn succeeded(output: Output) -> String {
    assert!(output.status.success(), "{:?} {}", output.status, text(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// A server in a place. Dropped, it is killed.
pub(crate) struct Server<'a> {
    pub(crate) place: &'a Place,
    child: Child,
    pub(crate) url: String,
    pub(crate) token: String,
}

impl<'a> Server<'a> {
    pub(crate) fn start(place: &'a Place) -> Self {
        let (child, url) = launch(place);
        let token =
            place.ok(&["token", "create", "--account", "tests", "--scope", "admin"]).trim().to_owned();
        Self { place, child, url, token }
    }

    /// The command as a client of this server.
    pub(crate) fn client(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.bare(arguments);
        command.env("WILLCALL_SERVER", &self.url).env("WILLCALL_TOKEN", &self.token);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.client(arguments).output().unwrap()
    }

    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        succeeded(self.run(arguments))
    }

    pub(crate) fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// SIGKILL, then a new start.
    pub(crate) fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.restart();
    }

    pub(crate) fn restart(&mut self) {
        (self.child, self.url) = launch(self.place);
    }

    /// SIGTERM, and the exit code.
    pub(crate) fn terminate(&mut self) -> i32 {
        rustix::process::kill_process(self.pid(), rustix::process::Signal::TERM).unwrap();
        wait(&mut self.child)
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The exit code, once it has ended.
pub(crate) fn wait(child: &mut Child) -> i32 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().expect("ended by a signal");
        }
        assert!(Instant::now() < deadline, "does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn launch(place: &Place) -> (Child, String) {
    let address = place.path("address");
    let _ = fs::remove_file(&address);
    let append = |name| File::options().create(true).append(true).open(place.path(name)).unwrap();
    let mut child = place
        .command(&["serve", "--bind", "127.0.0.1:0", "--address-file", address.to_str().unwrap()])
        .stdout(append("out"))
        .stderr(append("log"))
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(url) = fs::read_to_string(&address) {
            return (child, url.trim().to_owned());
        }
        let log = || fs::read_to_string(place.path("log")).unwrap();
        assert!(child.try_wait().unwrap().is_none(), "{}", log());
        assert!(Instant::now() < deadline, "{}", log());
        std::thread::sleep(Duration::from_millis(10));
    }
}
