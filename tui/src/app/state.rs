//! The dashboard's state: plain data that the screens draw.

use std::sync::Arc;
use std::time::Duration;

use quorate_client::model::findings::evaluate;
use quorate_client::model::{
    ClusterSnapshot, Finding, MemberId, MemberSnapshot, Report, Thresholds,
};

use super::{KeyBrowser, KeyValue, Trend};
use crate::keymap::Context;

/// What does not change while the program runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The endpoints as given.
    pub endpoints: Vec<String>,
    /// The time between rounds at the start.
    pub interval: Duration,
    /// The limits behind the findings.
    pub thresholds: Thresholds,
}

/// The whole screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// The opening screen.
    Members,
    /// The key browser.
    Keys,
}

/// The half of the opening screen that the arrow keys move in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pane {
    /// The table.
    Members,
    /// The findings below it.
    Findings,
}

/// What lies over a screen.
#[derive(Debug, Clone, PartialEq)]
pub enum Popup {
    /// The keys of the place below.
    Help(Context),
    /// One member in full.
    Member(MemberId),
    /// One finding in full.
    Finding(Finding),
    /// The alarms.
    Alarms,
    /// One value.
    Value(Box<KeyValue>),
}

/// The state.
#[derive(Debug)]
pub struct App {
    /// What does not change.
    pub settings: Settings,
    /// The newest picture.
    pub cluster: Arc<ClusterSnapshot>,
    /// The verdict on it.
    pub report: Report,
    /// The last minutes.
    pub trend: Trend,
    /// The screen shown.
    pub screen: Screen,
    /// The popups over it, the topmost last.
    pub popups: Vec<Popup>,
    /// First line shown of the topmost popup.
    pub scroll: usize,
    /// Where the arrow keys move.
    pub pane: Pane,
    /// The selected member; `None` selects the first.
    pub selected_member: Option<MemberId>,
    /// The selected finding.
    pub selected_finding: usize,
    /// The key browser.
    pub keys: KeyBrowser,
    /// The time between rounds.
    pub interval: Duration,
    /// Whether asking is stopped.
    pub is_paused: bool,
    /// Counts the questions of the key browser.
    pub ticket: u64,
}

impl App {
    /// The state before anything is known.
    pub fn new(settings: Settings) -> Self {
        let cluster = Arc::new(ClusterSnapshot::empty());
        Self {
            report: Report { findings: Vec::new(), n_checked: 0, not_checked: Vec::new() },
            cluster,
            trend: Trend::default(),
            screen: Screen::Members,
            popups: Vec::new(),
            scroll: 0,
            pane: Pane::Members,
            selected_member: None,
            selected_finding: 0,
            keys: KeyBrowser::default(),
            interval: settings.interval,
            is_paused: false,
            ticket: 0,
            settings,
        }
    }

    /// Takes in a new picture.
    pub fn show(&mut self, cluster: Arc<ClusterSnapshot>) {
        // Before the first answer there is nothing to judge.
        if cluster.round > 0 {
            self.report = evaluate(&cluster, &self.settings.thresholds);
            self.trend.note(&cluster);
        }
        self.cluster = cluster;
        let last = self.report.findings.len().saturating_sub(1);
        self.selected_finding = self.selected_finding.min(last);
        if self.report.findings.is_empty() {
            self.pane = Pane::Members;
        }
    }

    /// The place that has the keyboard.
    pub fn context(&self) -> Context {
        match (self.popups.last(), self.screen) {
            (Some(_), _) => Context::Popup,
            (None, Screen::Members) => Context::Members,
            (None, Screen::Keys) => Context::Keys,
        }
    }

    /// The row of the selected member.
    pub fn selected_row(&self) -> usize {
        let id = self.selected_member;
        self.cluster.members.iter().position(|member| Some(member.id) == id).unwrap_or(0)
    }

    /// The selected member, if there is any member.
    pub fn selected(&self) -> Option<&MemberSnapshot> {
        self.cluster.members.get(self.selected_row())
    }
}
