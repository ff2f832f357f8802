//! What is measured: kinds of work, each with a number of clients.

use std::fmt;

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Work {
    /// Put of 256 bytes to one of 100,000 keys.
    Put,
    /// Linearizable get of one key.
    Get,
    /// Serializable get of one key.
    GetSerializable,
    /// Linearizable range of 1,000 keys of 256 bytes.
    Range,
    /// Compare the key's revision and put: the step of every lock and controller.
    Txn,
    /// Grant a lease and put a key with it; one operation is both.
    Lease,
    /// Clients put, 1,000 watchers each get every event; one operation is one event delivered.
    Watch,
    /// Half linearizable gets, a fifth each of serializable gets and puts, a tenth txns.
    Mixed,
}

impl Work {
    pub const ALL: [Self; 8] = [
        Self::Put,
        Self::Get,
        Self::GetSerializable,
        Self::Range,
        Self::Txn,
        Self::Lease,
        Self::Watch,
        Self::Mixed,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::GetSerializable => "get-serializable",
            Self::Range => "range",
            Self::Txn => "txn",
            Self::Lease => "lease",
            Self::Watch => "watch",
            Self::Mixed => "mixed",
        }
    }

    fn clients(self) -> &'static [usize] {
        match self {
            Self::Put => &[1, 64, 1000],
            Self::Get | Self::GetSerializable => &[1, 1000],
            Self::Range => &[8],
            Self::Txn | Self::Mixed => &[1000],
            Self::Lease => &[500],
            Self::Watch => &[1, 100],
        }
    }
}

/// One line of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    pub work: Work,
    pub clients: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&format!("{} ×{}", self.work.name(), self.clients))
    }
}

impl Case {
    /// The cases of a run; `clients` replaces each kind's own numbers.
    pub fn all(only: &[Work], clients: &[usize]) -> Vec<Self> {
        let works = if only.is_empty() { &Work::ALL[..] } else { only };
        let of = |work: &Work| {
            let work = *work;
            let counts = if clients.is_empty() { work.clients() } else { clients };
            counts.iter().map(move |&clients| Self { work, clients }).collect::<Vec<_>>()
        };
        works.iter().flat_map(of).collect()
    }

    /// Connections that the clients share: ten clients each, from 1 to 100 connections.
    pub fn connections(self) -> usize {
        self.clients.div_ceil(10).clamp(1, 100)
    }

    /// Whether the echo server can show this case's floor.
    pub fn has_floor(self) -> bool {
        matches!(self.work, Work::Put | Work::Get)
    }
}
