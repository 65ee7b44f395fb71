//! A bucket in S3 that can be made to fail, to be held up, and to change meanwhile.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use willcall_aws_test::{ACCESS_KEY, Emulator, REGION, SECRET_KEY};

use crate::{host::emulator, unique};

/// How long the one who is to be held up may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Says who the owner is. The emulator does not look at signatures; and where none is named, it lets anybody read alone.
const OWNER: &str = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/s3/aws4_request, \
    SignedHeaders=host, Signature=none";

/// What becomes of a request.
#[derive(Debug, Clone, Copy)]
pub enum Trouble {
    /// S3 answers with this status and code.
    Refused(u16, &'static str),
    /// No answer comes.
    Silence,
    /// The connection breaks off in the middle of the answer.
    Break,
}

/// A bucket that nobody else has, on an emulator, and the endpoint through which a host reaches it.
pub struct Bucket {
    /// Its name.
    pub name: String,
    shared: Arc<Shared>,
    address: SocketAddr,
}

struct Shared {
    emulator: Emulator,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    asked: Vec<String>,
    troubles: Vec<(String, Trouble, usize)>,
    hold: Option<Hold>,
    closed: bool,
}

/// One request that waits.
struct Hold {
    what: String,
    /// Those like it that pass before.
    pass: usize,
    is_here: bool,
}

/// A request as it came.
struct Asked {
    /// Method, and path with its query.
    line: String,
    headers: Vec<(String, String)>,
}

impl Bucket {
    /// A new bucket with nothing in it.
    pub fn new() -> Result<Self> {
        let name = format!("s-{}", unique());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared =
            Arc::new(Shared { emulator: emulator()?, state: Mutex::default(), changed: Condvar::new() });
        let bucket = Self { name, shared: Arc::clone(&shared), address };
        bucket.ask("PUT", &format!("/{}", bucket.name), &[])?;
        thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.state().closed {
                    break;
                }
                let shared = Arc::clone(&shared);
                // Whoever asked may go away at any time.
                thread::spawn(move || stream.map(|stream| shared.answer(stream)));
            }
        });
        Ok(bucket)
    }

    /// What a catalog says of where it is.
    pub fn endpoint(&self) -> String {
        format!("[s3]\nendpoint = \"http://{}\"\nregion = {REGION:?}\n", self.address)
    }

    /// The variables of a host that may read it.
    pub fn credentials() -> Vec<(&'static str, String)> {
        vec![("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned())]
    }

    /// The location of a key.
    pub fn location(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.name)
    }

    /// Puts an object there, in place of any other of the key.
    pub fn put(&self, key: &str, bytes: &[u8]) -> Result<()> {
        self.ask("PUT", &format!("/{}/{key}", self.name), bytes)
    }

    /// Removes an object.
    pub fn remove(&self, key: &str) -> Result<()> {
        self.ask("DELETE", &format!("/{}/{key}", self.name), &[])
    }

    /// Makes that of the next requests, `times` of them, whose method and path have the text in them.
    pub fn trouble(&self, what: &str, trouble: Trouble, times: usize) {
        self.shared.state().troubles.push((what.to_owned(), trouble, times));
    }

    /// Ends all trouble.
    pub fn mend(&self) {
        self.shared.state().troubles.clear();
    }

    /// Lets one request wait whose method and path have the text in them: the one after the next `pass` like it.
    pub fn hold(&self, what: &str, pass: usize) {
        self.shared.state().hold = Some(Hold { what: what.to_owned(), pass, is_here: false });
    }

    /// Returns as soon as the request is here that is to wait.
    pub async fn held(&self) -> Result<()> {
        let begun = Instant::now();
        while !self.shared.state().hold.as_ref().is_some_and(|hold| hold.is_here) {
            ensure!(begun.elapsed() < PATIENCE, "nothing to be held of {:?}", self.asked());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Lets the request go on that waits.
    pub fn release(&self) {
        self.shared.state().hold = None;
        self.shared.changed.notify_all();
    }

    /// Method and path of each request of the host since this was last asked.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.state().asked)
    }

    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Result<()> {
        let owner = ("authorization".to_owned(), OWNER.to_owned());
        let answer = self.shared.emulator.send(method, path, &[owner], body);
        let head = String::from_utf8_lossy(&answer[..answer.len().min(200)]).into_owned();
        let status = head.split(' ').nth(1).context("no status")?;
        ensure!(status.starts_with('2'), "{method} {path}: {head}");
        Ok(())
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.release();
        // Wakes the thread that listens.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, mut stream: TcpStream) -> Result<()> {
        let asked = read(&mut stream)?;
        match self.meet(&asked.line) {
            None => {}
            Some(Trouble::Refused(status, code)) => {
                let body =
                    format!("<Error><Code>{code}</Code><Message>as the scenario has it</Message></Error>");
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 {status} -\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                )?;
                return Ok(());
            }
            Some(Trouble::Silence) => {
                // Until the other side has had enough.
                let _ = stream.read(&mut [0]);
                return Ok(());
            }
            Some(Trouble::Break) => {
                let answer = self.pass_on(&asked)?;
                stream.write_all(&answer[..answer.len() / 2])?;
                stream.shutdown(Shutdown::Both)?;
                return Ok(());
            }
        }
        let answer = self.pass_on(&asked)?;
        Ok(stream.write_all(&answer)?)
    }

    /// Waits if it is to, and tells what is to become of the request.
    fn meet(&self, line: &str) -> Option<Trouble> {
        let mut state = self.state();
        state.asked.push(line.to_owned());
        if let Some(hold) = state.hold.as_mut().filter(|hold| !hold.is_here && line.contains(&hold.what)) {
            if hold.pass > 0 {
                hold.pass -= 1;
            } else {
                hold.is_here = true;
                while state.hold.as_ref().is_some_and(|hold| hold.is_here) {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
        let (_, trouble, times) =
            state.troubles.iter_mut().find(|(what, _, times)| *times > 0 && line.contains(what.as_str()))?;
        *times -= 1;
        Some(*trouble)
    }

    fn pass_on(&self, asked: &Asked) -> Result<Vec<u8>> {
        let (method, path) = asked.line.split_once(' ').context("no path")?;
        Ok(self.emulator.send(method, path, &asked.headers, &[]))
    }
}

/// Reads a request that has no body, as those of one who only reads have none.
fn read(stream: &mut TcpStream) -> Result<Asked> {
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    while !head.ends_with(b"\r\n\r\n") {
        let read = stream.read(&mut piece)?;
        if read == 0 {
            bail!("nobody asks");
        }
        head.extend_from_slice(&piece[..read]);
    }
    let head = String::from_utf8(head)?;
    let mut lines = head.trim_end().split("\r\n");
    let first = lines.next().context("no request")?;
    let line = first.strip_suffix(" HTTP/1.1").context("not HTTP/1.1")?.to_owned();
    let own = ["host", "connection", "content-length"];
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| !own.contains(&name.to_ascii_lowercase().as_str()))
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(Asked { line, headers: headers.collect() })
}
