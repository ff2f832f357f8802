//! The grammar of txn lines (`etcd:etcdctl/ctlv3/command/txn_command.go`): compares and requests. Also how a line is
//! split into words, which the interactive watch shares. No I/O.

use crate::cli::{Command, Complaint, parse_line};
use crate::failure::{Failure, Outcome, exit};
use crate::go::{parse_int, quote, unquote_prefix};
use crate::terminal::complain;
use quorate_client::proto::etcdserverpb as pb;
use quorate_client::proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// The pieces of a compare line, as far as they could be read.
#[derive(Default)]
struct Pieces {
    key: Vec<u8>,
    operator: String,
    value: Vec<u8>,
    is_whole: bool,
}

/// Reads a compare, for example `mod("key") > "0"`.
pub fn parse_compare(line: &str) -> Outcome<pb::Compare> {
    let malformed = |detail: String| {
        Failure::new(exit::INVALID_INPUT, format!("malformed comparison: {detail}"))
    };
    let Some((target, rest)) = line.split_once('(') else {
        return Err(malformed(line.to_owned()));
    };
    let pieces = scan(rest);
    if !pieces.is_whole {
        let (key, value) = (quote(&pieces.key), quote(&pieces.value));
        let got = format!("{target}({key}) {} {value}", pieces.operator);
        return Err(malformed(format!("{line}; got {got}")));
    }
    let value = String::from_utf8_lossy(&pieces.value).into_owned();
    let number = |radix| parse_int(&value, radix);
    let parsed = match target {
        "ver" | "version" => number(10).map(|n| (CompareTarget::Version, TargetUnion::Version(n))),
        "c" | "create" => {
            number(10).map(|n| (CompareTarget::Create, TargetUnion::CreateRevision(n)))
        }
        "m" | "mod" => number(10).map(|n| (CompareTarget::Mod, TargetUnion::ModRevision(n))),
        "val" | "value" => {
            Ok((CompareTarget::Value, TargetUnion::Value(pieces.value.clone().into())))
        }
        // A lease that is no number compares like no lease: so etcdctl does it.
        "lease" => Ok((CompareTarget::Lease, TargetUnion::Lease(number(16).unwrap_or_default()))),
        _ => return Err(malformed(format!("{line} (unknown target {target})"))),
    };
    let (target, union) = parsed.map_err(|_| {
        Failure::new(exit::INVALID_INPUT, format!("invalid txn compare request: {line}"))
    })?;
    let result = match pieces.operator.as_str() {
        "=" => CompareResult::Equal,
        "!=" => CompareResult::NotEqual,
        ">" => CompareResult::Greater,
        "<" => CompareResult::Less,
        _ => return Err(malformed(format!("{line} (unknown operator {})", pieces.operator))),
    };
    Ok(pb::Compare {
        result: result as i32,
        target: target as i32,
        key: pieces.key.into(),
        range_end: Default::default(),
        target_union: Some(union),
    })
}

/// Reads `"key") operator "value"`, each part after at least one space, as Go's `Sscanf` with `%q) %s %q` does.
fn scan(text: &str) -> Pieces {
    let mut pieces = Pieces::default();
    let Some((key, rest)) = unquote_prefix(text) else { return pieces };
    pieces.key = key;
    let Some(rest) = rest.strip_prefix(')').and_then(after_spaces) else { return pieces };
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    pieces.operator = rest[..end].to_owned();
    let Some(rest) = after_spaces(&rest[end..]) else { return pieces };
    let Some((value, _)) = unquote_prefix(rest) else { return pieces };
    pieces.value = value;
    pieces.is_whole = true;
    pieces
}

fn after_spaces(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches([' ', '\t']);
    (rest.len() < text.len()).then_some(rest)
}

/// Reads a request: a get, put or del line with its flags.
pub fn parse_request(line: &str, program: &'static str) -> Outcome<pb::RequestOp> {
    use pb::request_op::Request;
    let invalid = |text: String| Failure::new(exit::INVALID_INPUT, text);
    let words = split_words(line);
    if words.len() < 2 {
        return Err(invalid(format!("invalid txn compare request: {line}")));
    }
    let known = ["get", "put", "del"].iter().any(|verb| words[0] == *verb);
    if !known {
        return Err(invalid(format!("invalid txn request: {line}")));
    }
    let command = parse_line(program, &words).map_err(|complaint| {
        if let Complaint::Error { usage, .. } = complaint {
            complain(usage);
        }
        invalid(format!("invalid txn request: {line}"))
    })?;
    let request = match command {
        Command::Get(args) => Request::RequestRange(super::get::request(args)?),
        Command::Put(args) => Request::RequestPut(super::put::request(args, no_value)?),
        Command::Del(args) => Request::RequestDeleteRange(super::del::request(args)?),
        _ => return Err(invalid(format!("invalid txn request: {line}"))),
    };
    Ok(pb::RequestOp { request: Some(request) })
}

/// stdin carries the transaction, so a put in it cannot take its value from there.
fn no_value() -> Outcome<Vec<u8>> {
    Err(Failure::bad_args("put command needs 1 argument and input from stdin or 2 arguments"))
}

/// Splits a line into words: bare ones, `'…'` as they are, `"…"` with Go's escapes.
pub fn split_words(line: &str) -> Vec<OsString> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '\'' => match rest[1..].split_once('\'') {
                Some((inside, after)) => (inside.as_bytes().to_vec(), after),
                None => (Vec::new(), &rest[1..]),
            },
            '"' => match unquote_prefix(rest) {
                Some((inside, after)) => (inside, after),
                None => (Vec::new(), &rest[1..]),
            },
            _ => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (rest.as_bytes()[..end].to_vec(), &rest[end..])
            }
        };
        words.push(OsString::from_vec(word));
        rest = after.trim_start();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Targets, operators and escapes of a compare line.
    #[test]
    fn compares() {
        let compare = parse_compare("mod(\"a\\x00b\") > \"12\"").unwrap();
        assert_eq!(&compare.key[..], b"a\0b");
        assert_eq!(compare.target_union, Some(TargetUnion::ModRevision(12)));
        assert_eq!(compare.result, CompareResult::Greater as i32);
        let lease = parse_compare("lease(\"a\") = \"ff\"").unwrap();
        assert_eq!(lease.target_union, Some(TargetUnion::Lease(255)));
    }

    /// Malformed compares are named as etcdctl names them.
    #[test]
    fn malformed_compares() {
        let text = |line| parse_compare(line).unwrap_err().text;
        let expected = "malformed comparison: c(\"a\")!=\"0\"; got c(\"a\")  \"\"";
        assert_eq!(text("c(\"a\")!=\"0\""), expected);
        assert_eq!(text("mod(\"a\") = \"x\""), "invalid txn compare request: mod(\"a\") = \"x\"");
        let expected = "malformed comparison: foo(\"a\") = \"x\" (unknown target foo)";
        assert_eq!(text("foo(\"a\") = \"x\""), expected);
    }

    /// Words may be bare or quoted either way.
    #[test]
    fn words() {
        let words = split_words("  put a 'q r' \"x\\ty\"  -b=1 ");
        assert_eq!(words, ["put", "a", "q r", "x\ty", "-b=1"]);
    }
}
