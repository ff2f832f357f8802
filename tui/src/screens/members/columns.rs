//! Which columns of the member table fit, and how wide each is. Depends on names and the terminal's width only,
//! never on figures that change every second, so that the table stands still.

use quorate_client::model::MemberSnapshot;
use unicode_width::UnicodeWidthStr;

use crate::look::{Align, count};

/// A column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Name, or id of a member that has none.
    Name,
    /// Role while it answers, else what is wrong.
    State,
    /// Member id.
    Id,
    /// Server version.
    Version,
    /// Raft term.
    Term,
    /// Applied index.
    Index,
    /// Entries behind the leader.
    Lag,
    /// In use, allocated and quota as a bar, and the share as a number.
    Database,
    /// Bytes in use.
    InUse,
    /// Bytes of the file.
    Size,
    /// Bytes allowed.
    Quota,
    /// Alarms.
    Alarms,
    /// Fsync p99.
    Fsync,
    /// Duration of Status.
    RoundTrip,
    /// Duration of a linearizable read.
    Read,
    /// The URL asked.
    Endpoint,
}

/// A column in its place.
#[derive(Debug, Clone, Copy)]
pub struct Placed {
    /// Which.
    pub column: Column,
    /// Its first cell.
    pub x: usize,
    /// Its width in cells.
    pub width: usize,
}

/// Columns in the order in which they give way, the last first.
const BY_IMPORTANCE: [Column; 16] = [
    Column::Name,
    Column::State,
    Column::Database,
    Column::Lag,
    Column::RoundTrip,
    Column::Fsync,
    Column::Index,
    Column::Version,
    Column::Term,
    Column::Alarms,
    Column::Size,
    Column::Quota,
    Column::InUse,
    Column::Id,
    Column::Endpoint,
    Column::Read,
];

/// Columns in the order in which they are shown.
const BY_PLACE: [Column; 16] = [
    Column::Name,
    Column::State,
    Column::Id,
    Column::Version,
    Column::Term,
    Column::Index,
    Column::Lag,
    Column::Database,
    Column::InUse,
    Column::Size,
    Column::Quota,
    Column::Alarms,
    Column::Fsync,
    Column::RoundTrip,
    Column::Read,
    Column::Endpoint,
];

/// The first cell of the first column: a margin, the selection mark, the health mark.
pub const LEFT: usize = 5;
const GAP: usize = 2;
const BAR_MAX: usize = 24;

impl Column {
    /// The heading.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Name => "MEMBER",
            Self::State => "STATE",
            Self::Id => "ID",
            Self::Version => "VERSION",
            Self::Term => "TERM",
            Self::Index => "INDEX",
            Self::Lag => "LAG",
            Self::Database => "DATABASE",
            Self::InUse => "IN USE",
            Self::Size => "SIZE",
            Self::Quota => "QUOTA",
            Self::Alarms => "ALARMS",
            Self::Fsync => "FSYNC",
            Self::RoundTrip => "TRIP",
            Self::Read => "READ",
            Self::Endpoint => "ENDPOINT",
        }
    }

    /// Words to the left, figures to the right.
    pub fn align(self) -> Align {
        match self {
            Self::Term
            | Self::Index
            | Self::Lag
            | Self::InUse
            | Self::Size
            | Self::Quota
            | Self::Fsync
            | Self::RoundTrip
            | Self::Read => Align::Right,
            Self::Name
            | Self::State
            | Self::Id
            | Self::Version
            | Self::Database
            | Self::Alarms
            | Self::Endpoint => Align::Left,
        }
    }

    fn width(self, members: &[MemberSnapshot]) -> usize {
        let longest = |text: fn(&MemberSnapshot) -> String, at_least: usize, at_most: usize| {
            let longest = members.iter().map(|member| text(member).width()).max().unwrap_or(0);
            longest.clamp(at_least, at_most)
        };
        match self {
            Self::Name => longest(MemberSnapshot::label, 6, 16),
            Self::State => 9,
            Self::Id => 16,
            Self::Version => longest(|m| m.version.last().cloned().unwrap_or_default(), 7, 14),
            Self::Term => 5,
            Self::Index => longest(index, 10, 14),
            Self::Lag => 5,
            Self::Database => 11,
            Self::Alarms => 8,
            Self::InUse | Self::Size | Self::Quota => 8,
            Self::Fsync | Self::RoundTrip | Self::Read => 6,
            Self::Endpoint => longest(|m| m.endpoint.clone().unwrap_or_default(), 8, 34),
        }
    }
}

/// The index at its longest, the mark for a stale one included; it gains a digit so rarely that the table may move for it.
fn index(member: &MemberSnapshot) -> String {
    member.applied_index.last().map(|index| format!("~{}", count(*index))).unwrap_or_default()
}

/// The columns that fit into `width`, placed.
pub fn place(members: &[MemberSnapshot], width: usize) -> Vec<Placed> {
    let room = width.saturating_sub(LEFT + 1);
    let mut used = 0;
    let mut chosen: Vec<Column> = Vec::new();
    for column in BY_IMPORTANCE {
        let more = column.width(members) + if chosen.is_empty() { 0 } else { GAP };
        if used + more > room {
            break;
        }
        used += more;
        chosen.push(column);
    }
    let mut spare = room - used;
    let mut x = LEFT;
    let mut placed = Vec::with_capacity(chosen.len());
    for column in BY_PLACE.into_iter().filter(|column| chosen.contains(column)) {
        let mut width = column.width(members);
        if column == Column::Database {
            let more = spare.min(BAR_MAX - width);
            width += more;
            spare -= more;
        }
        placed.push(Placed { column, x, width });
        x += width + GAP;
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_client::model::samples;

    /// What an operator needs first is there at 80 columns, everything at 200, and nothing passes the edge.
    #[test]
    fn columns_fit() {
        let members = samples::healthy().members;
        for width in 60..=220 {
            let placed = place(&members, width);
            let last = placed.last().unwrap();
            assert!(last.x + last.width < width, "{width}: {placed:?}");
        }
        let at = |width| place(&members, width).iter().map(|p| p.column).collect::<Vec<_>>();
        for column in [Column::Database, Column::Lag, Column::Fsync, Column::RoundTrip] {
            assert!(at(80).contains(&column), "{column:?} is missing at 80 columns");
        }
        assert_eq!(at(200), BY_PLACE);
    }
}
