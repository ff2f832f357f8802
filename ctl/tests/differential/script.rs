//! The scripts: one invocation per line, `#` for comments.
//!
//! `[&] [~ | @MS] [NAME=VALUE …] WORDS [<<< INPUT]`: `~` interrupts when output has come and no more follows, `@700`
//! after 700 ms, where there is no output to wait for; neighbours that begin with `&` change nothing and run beside each
//! other; `INPUT` is standard input with `\n` for line ends. Words may stand in double quotes, in which `\n` is a line
//! end. `$CA`, `$CERT` and `$KEY` are the client's TLS files, `$EP` is the endpoint, `$PEER` the peer URL, `$DIR` a temporary directory, `$1` the first lease granted by the
//! script, `$ID` the last learner added.

use crate::side::Server;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest run of one invocation.
const LIMIT: Duration = Duration::from_secs(8);

/// One line of a script.
#[derive(Clone)]
pub struct Invocation {
    /// As written.
    pub line: String,
    /// It may run beside its neighbours of which the same is said.
    pub is_beside: bool,
    interrupt: Option<Interrupt>,
    environment: Vec<(String, String)>,
    words: Vec<String>,
    input: String,
}

/// When a program that would run on is interrupted.
#[derive(Clone, Copy)]
enum Interrupt {
    /// When output has come and no more follows.
    Quiet,
    /// After this time.
    After(Duration),
}

/// Output counts as complete when nothing has followed for so long.
const QUIET: Duration = Duration::from_millis(700);

/// What a program answered.
#[derive(Clone, PartialEq, Eq)]
pub struct Run {
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub code: Option<i32>,
}

impl Run {
    /// The same with some texts replaced, longest first.
    pub fn replace(self, texts: &[(&str, &str)]) -> Run {
        let apply = |bytes: &[u8]| {
            texts.iter().fold(bytes.to_vec(), |bytes, (from, to)| replace(&bytes, from, to))
        };
        let (stdout, stderr) = (apply(&self.stdout), apply(self.stderr.as_bytes()));
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        Run { stdout, stderr, code: self.code }
    }

    /// Whether it ended because a time limit did, its own or the suite's.
    pub fn ran_out_of_time(&self) -> bool {
        self.code.is_none() || self.stderr.contains("context deadline exceeded")
    }

    /// For the report of a failed test.
    pub fn show(&self) -> String {
        let stdout: String = self.stdout.utf8_chunks().fold(String::new(), |mut out, chunk| {
            out.push_str(chunk.valid());
            chunk.invalid().iter().for_each(|byte| out.push_str(&format!("<{byte:02x}>")));
            out
        });
        format!("{stdout}[stderr] {}\n[code {:?}]\n", self.stderr, self.code)
    }
}

fn replace(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(first) = rest.first() {
        if let Some(tail) = rest.strip_prefix(from.as_bytes()) {
            out.extend_from_slice(to.as_bytes());
            rest = tail;
        } else {
            out.push(*first);
            rest = &rest[1..];
        }
    }
    out
}

/// Reads a script.
pub fn parse(script: &str) -> Vec<Invocation> {
    let lines = script.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(parse_line).collect()
}

fn parse_line(line: &str) -> Invocation {
    let (command, input) = line.split_once("<<<").unwrap_or((line, ""));
    let mut words = split(command);
    let mut invocation = Invocation {
        line: line.to_owned(),
        is_beside: false,
        interrupt: None,
        environment: Vec::new(),
        words: Vec::new(),
        input: input.trim_start().replace("\\n", "\n"),
    };
    while let Some(word) = words.first() {
        if word == "&" {
            invocation.is_beside = true;
        } else if word == "~" {
            invocation.interrupt = Some(Interrupt::Quiet);
        } else if let Some(millis) = word.strip_prefix('@') {
            let after = Duration::from_millis(millis.parse().unwrap());
            invocation.interrupt = Some(Interrupt::After(after));
        } else if let Some((name, value)) = word.split_once('=')
            && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
        {
            invocation.environment.push((name.to_owned(), value.to_owned()));
        } else {
            break;
        }
        words.remove(0);
    }
    invocation.words = words;
    invocation
}

fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words.into_iter().map(|word| word.replace("\\n", "\n")).collect()
}

impl Invocation {
    /// Runs the line; notes a lease or learner it makes.
    pub fn run(
        &self,
        program: &Path,
        server: &Server,
        folder: &Path,
        made: &mut Vec<String>,
    ) -> Run {
        let fill = |word: &str| {
            let learner = made.iter().rev().find_map(|id| id.strip_prefix("learner "));
            let mut word = word
                .replace("$EP", &server.endpoint)
                .replace("$PEER", &server.peer_url)
                .replace("$DIR", &folder.display().to_string())
                .replace("$ID", learner.unwrap_or("0"));
            if let Some(security) = &server.security {
                let files = [("$CA", "--cacert"), ("$CERT", "--cert"), ("$KEY", "--key")];
                word = files
                    .iter()
                    .fold(word, |word, (name, flag)| word.replace(name, security.file(flag)));
            }
            let leases = made.iter().filter_map(|id| id.strip_prefix("lease "));
            for (number, id) in leases.enumerate() {
                word = word.replace(&format!("${}", number + 1), id);
            }
            word
        };
        let mut command = interruptible(program);
        // The endpoint comes first, so that a line can give its own.
        if !self.names_endpoint() {
            command.args(["--endpoints", &server.endpoint]);
        }
        let brings_own = self.words.iter().any(|word| word.starts_with("--cacert"));
        let security = server.security.as_ref().filter(|_| !brings_own);
        command.args(security.iter().flat_map(|security| &security.client_flags));
        command.args(self.words.iter().map(|word| fill(word)));
        command.envs(self.environment.iter().map(|(name, value)| (name, fill(value))));
        let run = execute(command, &fill(&self.input), self.interrupt);
        note(&run.stdout, made);
        run
    }

    /// Runs the line with a program that works on files; `$DIR` is where they are.
    pub fn run_on_files(&self, program: &Path, folder: &Path) -> Run {
        let mut command = interruptible(program);
        let folder = folder.display().to_string();
        command.args(self.words.iter().map(|word| word.replace("$DIR", &folder)));
        execute(command, &self.input, self.interrupt)
    }

    fn names_endpoint(&self) -> bool {
        self.words.iter().any(|word| word.starts_with("--endpoints"))
            || self.environment.iter().any(|(name, _)| name.contains("ENDPOINTS"))
    }

    /// Whether the line has this word.
    pub fn has(&self, word: &str) -> bool {
        self.words.iter().any(|own| own == word)
    }
}

/// A background job of a shell ignores SIGINT, and so would everything it starts; `env` mends that.
fn interruptible(program: &Path) -> Command {
    let mut command = Command::new("env");
    command.arg("--default-signal=INT").arg(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command
}

fn execute(mut command: Command, input: &str, interrupt: Option<Interrupt>) -> Run {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(input.as_bytes());
    // An interactive program must not see the end of its input before it is interrupted.
    let held_open = interrupt.is_some().then_some(stdin);
    let stdout = Collector::start(child.stdout.take().unwrap());
    let stderr = Collector::start(child.stderr.take().unwrap());
    let start = Instant::now();
    let mut interrupted = false;
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        let is_due = match interrupt {
            Some(Interrupt::Quiet) => stdout.is_quiet(),
            Some(Interrupt::After(after)) => start.elapsed() >= after,
            None => false,
        };
        if is_due && !interrupted {
            interrupted = true;
            let pid = child.id().to_string();
            let _ = Command::new("kill").args(["-INT", &pid]).stderr(Stdio::null()).status();
        }
        // Where one side would wait for ever, the comparison says so instead of waiting too.
        if start.elapsed() >= LIMIT {
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    drop(held_open);
    let stderr = String::from_utf8_lossy(&stderr.finish()).into_owned();
    Run { stdout: stdout.finish(), stderr, code }
}

/// Reads a pipe to its end beside the program.
struct Collector {
    seen: Arc<Mutex<(Vec<u8>, Instant)>>,
    reader: JoinHandle<()>,
}

impl Collector {
    fn start(mut pipe: impl Read + Send + 'static) -> Collector {
        let seen = Arc::new(Mutex::new((Vec::new(), Instant::now())));
        let shared = seen.clone();
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                let mut seen = shared.lock().unwrap();
                seen.0.extend_from_slice(&buffer[..count]);
                seen.1 = Instant::now();
            }
        });
        Collector { seen, reader }
    }

    fn is_quiet(&self) -> bool {
        let seen = self.seen.lock().unwrap();
        !seen.0.is_empty() && seen.1.elapsed() >= QUIET
    }

    fn finish(self) -> Vec<u8> {
        let _ = self.reader.join();
        std::mem::take(&mut self.seen.lock().unwrap().0)
    }
}

/// Remembers ids that later lines refer to.
fn note(stdout: &[u8], made: &mut Vec<String>) {
    let text = String::from_utf8_lossy(stdout);
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["lease", id, "granted", "with", ..] if !text.contains("remaining") => {
            made.push(format!("lease {id}"));
        }
        ["Member", id, "added", ..] => made.push(format!("learner {id}")),
        _ => {}
    }
}
