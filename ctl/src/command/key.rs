//! Keys and ids from arguments: bytes, intervals, hexadecimal numbers.

use crate::failure::{Failure, Outcome};
use bytes::Bytes;
use quorate_client::{from_key_end, prefix_end};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// An argument's bytes; keys need not be UTF-8.
pub fn bytes(argument: OsString) -> Bytes {
    argument.into_vec().into()
}

/// An argument as text, replaced where it is none.
pub fn text(argument: &OsString) -> String {
    argument.to_string_lossy().into_owned()
}

/// How a key argument is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The key itself, or up to a range end that is given too.
    Key,
    /// All keys that start with it.
    Prefix,
    /// All keys from it on.
    FromKey,
}

impl Reach {
    /// From the two flags that exclude each other.
    pub fn from_flags(prefix: bool, from_key: bool) -> Outcome<Reach> {
        match (prefix, from_key) {
            (true, true) => Err(Failure::bad_args(
                "`--prefix` and `--from-key` cannot be set at the same time, choose one",
            )),
            (true, false) => Ok(Reach::Prefix),
            (false, true) => Ok(Reach::FromKey),
            (false, false) => Ok(Reach::Key),
        }
    }

    /// The interval of `key`, and of `range_end` where one was given.
    pub fn interval(self, key: Bytes, range_end: Option<Bytes>) -> Outcome<(Bytes, Bytes)> {
        match (self, range_end) {
            (Reach::Key, range_end) => Ok((key, range_end.unwrap_or_default())),
            (Reach::Prefix | Reach::FromKey, Some(_)) => Err(Failure::bad_args(
                "too many arguments, only accept one argument when `--prefix` or `--from-key` is set",
            )),
            // The empty prefix is everything, and everything starts at the smallest key.
            (Reach::Prefix | Reach::FromKey, None) if key.is_empty() => {
                Ok((Bytes::from_static(b"\0"), from_key_end()))
            }
            (Reach::Prefix, None) => {
                let end = prefix_end(&key);
                Ok((key, end))
            }
            (Reach::FromKey, None) => Ok((key, from_key_end())),
        }
    }
}

/// A lease id in hexadecimal; `what` names it in the error.
pub fn lease_id(argument: &str, what: &str) -> Outcome<i64> {
    crate::go::parse_int(argument, 16)
        .map_err(|cause| Failure::bad_args(format!("bad {what} ({cause}), expecting ID in Hex")))
}

/// A member id in hexadecimal.
pub fn member_id(argument: &str) -> Outcome<u64> {
    crate::go::parse_uint(argument, 16).map_err(|cause| {
        Failure::bad_args(format!("bad member ID arg ({cause}), expecting ID in Hex"))
    })
}
