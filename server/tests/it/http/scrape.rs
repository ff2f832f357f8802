//! The metrics page read by a parser that others wrote, for tests that ask for values.

use super::raw::{ask, get};
use prometheus_parse::{Scrape as Parsed, Value};
use std::collections::{BTreeMap, BTreeSet};

/// What a name is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kind {
    pub kind: String,
    pub labels: BTreeSet<String>,
    pub buckets: Vec<String>,
}

/// One page.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    pub kinds: BTreeMap<String, Kind>,
    values: Vec<(String, BTreeMap<String, String>, f64)>,
}

impl Scrape {
    /// Asks a member.
    pub fn of(url: &str) -> Scrape {
        let answer = ask(url, &get("/metrics"));
        assert_eq!(answer.status, 200);
        Scrape::parse(&answer.body)
    }

    pub fn parse(text: &str) -> Scrape {
        let mut scrape = Scrape::default();
        for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let (name, kind) = line.split_once(' ').unwrap();
            let kind = Kind { kind: kind.to_owned(), ..Kind::default() };
            assert!(scrape.kinds.insert(name.to_owned(), kind).is_none(), "{name} twice");
        }
        let lines = text.lines().map(|line| Ok(line.to_owned()));
        for sample in Parsed::parse(lines).unwrap().samples {
            let labels: BTreeMap<String, String> =
                sample.labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
            if let Some(kind) = scrape.kinds.get_mut(&sample.metric) {
                kind.labels.extend(labels.keys().cloned());
                if let Value::Histogram(counts) = &sample.value {
                    kind.buckets = counts.iter().map(|c| format!("{:.6}", c.less_than)).collect();
                }
            }
            let value = match sample.value {
                Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => value,
                Value::Histogram(_) | Value::Summary(_) => continue,
            };
            scrape.values.push((sample.metric, labels, value));
        }
        scrape
    }

    /// The sum of the series of this name that have these labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |found: &BTreeMap<String, String>| {
            labels.iter().all(|(name, value)| found.get(*name).is_some_and(|v| v == value))
        };
        let found = self.values.iter().filter(|(known, found, _)| known == name && fits(found));
        found.map(|(_, _, value)| value).sum()
    }

    /// Adds the names of another member, which may have seen other things.
    pub fn join(&mut self, other: Scrape) {
        for (name, kind) in other.kinds {
            let known = self.kinds.entry(name).or_insert_with(|| kind.clone());
            known.labels.extend(kind.labels);
        }
    }
}
