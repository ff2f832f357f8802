//! What no two runs have in common, made equal: durations, lease ids, ids made from the clock, sizes and log
//! positions of the server.

use crate::script::Run;

/// Masks a run's texts. Output that is not text (protobuf) keeps its length only where ids are in it.
pub fn apply(run: &Run) -> Run {
    let stdout = match std::str::from_utf8(&run.stdout) {
        Ok(text) => text_mask(text).into_bytes(),
        Err(_) => run.stdout.clone(),
    };
    Run { stdout, stderr: text_mask(&run.stderr), code: run.code }
}

fn text_mask(text: &str) -> String {
    let mut lines: Vec<String> = text.split('\n').map(line_mask).collect();
    // Members are listed by their ids, and those of members added at run time come from the clock.
    let is_row = |line: &String| line.contains("<id>, ") || line.contains("│<id>│");
    let rows: Vec<usize> = (0..lines.len()).filter(|at| is_row(&lines[*at])).collect();
    let mut sorted: Vec<String> = rows.iter().map(|at| lines[*at].clone()).collect();
    sorted.sort();
    for (at, row) in rows.into_iter().zip(sorted) {
        lines[at] = row;
    }
    lines.join("\n")
}

fn line_mask(line: &str) -> String {
    let mut line = line.to_owned();
    // Values between a marker and the next of some characters.
    let markers = [
        ("took = ", "\n"),
        ("\"took\":\"", "\""),
        ("]. took ", " "),
        ("remaining(", ")"),
        ("\"Took\" : ", "\n"),
        ("\"ttl\":", ","),
        ("\"dbSize\":", ","),
        ("\"dbSizeInUse\":", ","),
        ("\"raftIndex\":", ","),
        ("\"raftAppliedIndex\":", ","),
        ("\"DBSize\" : ", "\n"),
        ("\"DBSizeInUse\" : ", "\n"),
        ("\"RaftIndex\" : ", "\n"),
        ("\"RaftAppliedIndex\" : ", "\n"),
        ("\"hash\":", ","),
        ("\"Hash\" : ", "\n"),
    ];
    for (marker, end) in markers {
        line = mask_after(&line, marker, end);
    }
    if line.starts_with("\"TTL\" : ") {
        line = "\"TTL\" : <n>".to_owned();
    }
    line = long_numbers(&line);
    // Shorter ids are padded with spaces in simple lines, and with `=` in base64.
    while line.contains("  <id>") {
        line = line.replace("  <id>", " <id>");
    }
    while line.contains("<id>=") {
        line = line.replace("<id>=", "<id>");
    }
    if let Some(list) = line.strip_prefix("ETCD_INITIAL_CLUSTER=") {
        let mut parts: Vec<&str> = list.trim_matches('"').split(',').collect();
        parts.sort_unstable();
        line = format!("ETCD_INITIAL_CLUSTER={parts:?}");
    }
    if line.contains('│') || line.contains('─') {
        line = table_mask(&line);
    }
    let is_status = line.matches(", ").count() == 15;
    if is_status { status_mask(&line) } else { line }
}

/// Replaces what stands between `marker` and `end`.
fn mask_after(line: &str, marker: &str, end: &str) -> String {
    let Some(at) = line.find(marker) else { return line.to_owned() };
    let start = at + marker.len();
    let rest = &line[start..];
    let stop = rest.find(end).or_else(|| rest.find('}')).unwrap_or(rest.len());
    let tail = mask_after(&rest[stop..], marker, end);
    format!("{}<x>{tail}", &line[..start])
}

/// Lease ids and ids of members added at run time: up to sixteen hex digits or twenty
/// decimal ones, seldom much fewer.
fn long_numbers(line: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    let flush = |word: &mut String, out: &mut String| {
        let is_hex = (12..=16).contains(&word.len()) && word.chars().all(|c| c.is_ascii_hexdigit());
        let is_decimal =
            (14..=20).contains(&word.len()) && word.chars().all(|c| c.is_ascii_digit());
        // The contest's keys `l1/<lease>` and `e/<lease>` in base64.
        let is_key = word.len() >= 18 && (word.starts_with("bDEv") || word.starts_with("ZS"));
        out.push_str(if is_hex || is_decimal || is_key { "<id>" } else { word });
        word.clear();
    };
    for c in line.chars() {
        if c.is_ascii_alphanumeric() {
            word.push(c);
        } else {
            flush(&mut word, &mut out);
            out.push(c);
        }
    }
    flush(&mut word, &mut out);
    out
}

/// Cells of a row of the status table, with those outside its borders, and which of them are log positions.
const STATUS_CELLS: usize = 18;
const STATUS_POSITIONS: [usize; 2] = [12, 13];

fn is_number(cell: &str) -> bool {
    !cell.is_empty() && cell.chars().all(|c| c.is_ascii_digit())
}

/// Tables with a duration or a size in them have columns of varying width; the drawing itself has its own test.
fn table_mask(line: &str) -> String {
    let cells: Vec<String> = line
        .split('│')
        .map(|cell| {
            let cell = cell.trim();
            let is_duration = cell.ends_with("ms") || cell.ends_with("µs");
            // What is in use is counted when it is written, which one of two servers may have done already.
            let is_size = cell.ends_with(" kB") || cell.ends_with(" B") || cell.ends_with('%');
            if is_duration || is_size { "<x>".to_owned() } else { cell.to_owned() }
        })
        .collect();
    let mut line = if cells.len() == STATUS_CELLS {
        let is_position = |at: usize| STATUS_POSITIONS.contains(&at) && is_number(&cells[at]);
        let shown = |at: usize| if is_position(at) { "<x>" } else { cells[at].as_str() };
        (0..cells.len()).map(shown).collect::<Vec<_>>().join("│")
    } else {
        cells.join("│")
    };
    while line.contains("──") {
        line = line.replace("──", "─");
    }
    line
}

/// The simple form of a status: sizes and log positions vary.
fn status_mask(line: &str) -> String {
    let mut cells: Vec<&str> = line.split(", ").collect();
    for number in [4, 5, 6, 11, 12] {
        cells[number] = "<x>";
    }
    cells.join(", ")
}
