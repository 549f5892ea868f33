//! Child processes that cannot outlive their time or their owner.

use std::{
    io::{self, BufRead, BufReader, Read},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How many bytes of stderr are kept.
const TAIL_BYTES: usize = 2000;
/// The longest line that a process may write; a longer one comes in pieces.
const LINE_BYTES: u64 = 16 << 20;
const POLL: Duration = Duration::from_millis(20);
/// How long the last words of a dead process are waited for.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What [`Running::line`] waited for.
pub(crate) enum Line {
    /// A line without its end.
    Text(String),
    /// The process closed its stdout.
    End,
    /// The time is over.
    Timeout,
}

/// A running process with its stdout by lines and the end of its stderr; killed on drop.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stderr: Arc<Mutex<Vec<u8>>>,
    stderr_reader: JoinHandle<()>,
}

impl Running {
    /// Starts `command` with all three streams piped.
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take();
        let (send, lines) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || {
                let mut stdout = BufReader::new(stdout);
                let mut line = Vec::new();
                while let Ok(1..) = stdout.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line) {
                    let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                    line.clear();
                    if send.send(text).is_err() {
                        return;
                    }
                }
            });
        }
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let (pipe, kept) = (child.stderr.take(), Arc::clone(&stderr));
        let stderr_reader = thread::spawn(move || {
            let Some(mut pipe) = pipe else { return };
            let mut chunk = [0; 1024];
            while let Ok(n @ 1..) = pipe.read(&mut chunk) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&chunk[..n]);
                let surplus = kept.len().saturating_sub(TAIL_BYTES);
                kept.drain(..surplus);
            }
        });
        Ok(Running { child, stdin, lines, stderr, stderr_reader })
    }

    /// The process' stdin, until it was closed.
    pub(crate) fn stdin(&mut self) -> Option<&mut ChildStdin> {
        self.stdin.as_mut()
    }

    /// The next line of stdout.
    pub(crate) fn line(&self, limit: Duration) -> Line {
        match self.lines.recv_timeout(limit) {
            Ok(line) => Line::Text(line),
            Err(RecvTimeoutError::Disconnected) => Line::End,
            Err(RecvTimeoutError::Timeout) => Line::Timeout,
        }
    }

    /// Closes stdin and waits for the end; None, after killing it, if that takes longer than `limit`.
    pub(super) fn wait(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        self.stdin = None;
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if limit <= start.elapsed() {
                self.kill();
                return Ok(None);
            }
            thread::sleep(POLL);
        }
    }

    /// Stops the process and collects it.
    pub(crate) fn kill(&mut self) {
        // Both fail only where the process is already gone, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The end of stderr. Waits a moment for a process that has just ended.
    pub(crate) fn stderr_tail(&self) -> String {
        let start = Instant::now();
        while !self.stderr_reader.is_finished() && start.elapsed() < LAST_WORDS {
            thread::sleep(POLL);
        }
        let kept = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).trim().to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How a process ended, in words.
pub(super) fn in_words(status: io::Result<Option<ExitStatus>>) -> String {
    match status {
        Ok(Some(status)) => status.to_string(),
        Ok(None) => "stopped".to_owned(),
        Err(error) => error.to_string(),
    }
}
