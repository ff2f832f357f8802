//! Where quoratectl differs from etcdctl on purpose. One rule each, with its reason; the rest must be equal.

use crate::script::{Invocation, Run};

/// Applies the rules to a run of either side, so that what may differ is equal.
pub fn apply(invocation: &Invocation, mut run: Run) -> Run {
    // etcdctl logs this one and says nothing else; we say it as any other error, with advice.
    if run.stderr.contains(CONFLICT) {
        run.stderr = "Error: <conflict>".to_owned();
    }
    run.stderr = without_log_lines(&run.stderr);
    run.stderr = without_usage(&run.stderr);
    if is_help(invocation, &run) {
        run.stdout = b"<help>".to_vec();
    }
    if invocation.has("completion") && run.code == Some(0) {
        run.stdout = b"<script>".to_vec();
    }
    run.stderr = without_dump(&run.stderr);
    run.stderr = run.stderr.replace(STTY, "");
    run
}

const CONFLICT: &str =
    "conflicting environment variable is shadowed by corresponding command-line flag";

/// etcdctl switches the terminal's echo off even where there is no terminal; we look first.
const STTY: &str = "stty: 'standard input': Inappropriate ioctl for device\n";

/// Where etcdctl itself panics (a compare with an unknown operator, every compare of a lease), any answer is better.
pub fn is_crash(theirs: &Run) -> bool {
    theirs.code == Some(2) && theirs.stderr.starts_with("panic: ")
}

/// The rules for etcdutl.
pub fn apply_utl(invocation: &Invocation, run: Run) -> Run {
    let mut run = apply(invocation, run);
    // It logs in another form, with a time at the start of the line, and repeats an error about arguments.
    const FRAMES: [&str; 5] = ["\t", "go.etcd.io/", "github.com/", "main.main", "runtime.main"];
    let is_log =
        |line: &str| line.contains("Z\t") || FRAMES.iter().any(|start| line.starts_with(start));
    let lines = run.stderr.lines().filter(|line| !is_log(line));
    run.stderr = lines.map(|line| format!("{line}\n")).collect();
    if let Some(at) = run.stderr.find("\nRun 'etcdutl") {
        run.stderr.truncate(at);
    }
    // Opened by etcdutl, which writes to every database that it opens, a file keeps free pages; ours are compact.
    if invocation.line.starts_with("snapshot status") && invocation.line.contains("member/snap") {
        run.stdout = without_size(&String::from_utf8_lossy(&run.stdout)).into_bytes();
    }
    // A restored database names the voters of the new cluster in `meta`; etcdutl leaves those of the old one there,
    // so the hash over all rows differs. HashKV, which is what the keys are judged by, must be equal.
    if invocation.line.starts_with("snapshot status $DIR/r") {
        run.stdout = without_hash(&String::from_utf8_lossy(&run.stdout)).into_bytes();
    }
    // A digest that is wrong or missing, we tell with the place and with advice behind etcd's words.
    for (words, more) in [("expected sha256 [", ", digest at"), ("snapshot missing hash", ", /")] {
        if let (true, Some(at)) = (run.stderr.contains(words), run.stderr.find(more)) {
            run.stderr.truncate(at);
            run.stderr.push('\n');
        }
    }
    // What is wrong with a file, we say with its offset and with advice.
    for named in ["invalid database", "is damaged at offset", "is no database", ": not a "] {
        if run.stderr.contains(named) {
            run.stderr = "Error: <damaged>".to_owned();
        }
    }
    run
}

/// The simple form of a status without the hash.
fn without_hash(status: &str) -> String {
    match status.split_once(", ") {
        Some((_, rest)) => format!("<hash>, {rest}"),
        None => status.to_owned(),
    }
}

/// A status without the size, in its simple or its JSON form.
fn without_size(status: &str) -> String {
    if let Some((before, after)) = status.split_once("\"totalSize\":") {
        let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
        return format!("{before}\"totalSize\":<size>{rest}");
    }
    let mut cells: Vec<&str> = status.split(", ").collect();
    if let Some(size) = cells.get_mut(3) {
        *size = "<size>";
    }
    cells.join(", ")
}

/// Log lines of libraries (JSON, `{"level":…`). etcdctl logs every failed attempt with addresses of its memory; we
/// log only what an operator can use, in the same form and on the same stream.
fn without_log_lines(stderr: &str) -> String {
    let lines = stderr.lines().filter(|line| !line.starts_with("{\""));
    lines.map(|line| format!("{line}\n")).collect()
}

/// The usage shown below an error. Its text is ours: the layout is clap's and the words are written to teach.
fn without_usage(stderr: &str) -> String {
    match stderr.find("Usage:") {
        Some(at) => stderr[..at].trim_end_matches('\n').to_owned() + "\n",
        None => stderr.to_owned(),
    }
}

/// Help that was asked for: the same reason as for usage.
fn is_help(invocation: &Invocation, run: &Run) -> bool {
    let text = String::from_utf8_lossy(&run.stdout);
    run.code == Some(0)
        && (invocation.has("options") || text.contains("Usage:") || text.contains("Unknown help"))
}

/// etcdctl dumps a Go structure, pointers included, when it cannot encode an answer.
fn without_dump(stderr: &str) -> String {
    match (stderr.find("marshal unsupported for type"), stderr.find(" (&{")) {
        (Some(_), Some(at)) => format!("{}\n", &stderr[..at]),
        _ => stderr.to_owned(),
    }
}
