//! One picture without a terminal: as text for people, as JSON for programs.

use std::sync::Arc;
use std::time::Duration;

use quorate_client::model::{ClusterSnapshot, Collector, CollectorOptions, Report};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde::Serialize;

use crate::app::{App, Message, Settings, update};
use crate::look::Look;
use crate::screens;

/// Rates and percentiles need two readings.
const ROUNDS: u64 = 2;

/// Tall enough for the largest cluster with every finding spelled out; empty lines are cut off.
const HEIGHT: u16 = 400;

/// Waits until the cluster was asked often enough to know its rates, or a little longer than members may take.
///
/// # Errors
/// The collector ended, which it never does by itself.
pub async fn picture(options: CollectorOptions) -> Result<Arc<ClusterSnapshot>, &'static str> {
    let limit = options.interval * 2 + options.timeout * 2 + Duration::from_secs(1);
    let collector = Collector::start(options);
    let mut pictures = collector.snapshots();
    let enough = pictures.wait_for(|picture| {
        let is_settled = |m: &quorate_client::model::MemberSnapshot| {
            m.health != quorate_client::model::Health::Checking
        };
        picture.round > ROUNDS && picture.members.iter().all(is_settled)
    });
    let result = tokio::time::timeout(limit, enough).await.map(|found| found.map(|_| ()));
    match result {
        Ok(Ok(())) | Err(_) => Ok(pictures.borrow().clone()),
        Ok(Err(_)) => Err("the collector has stopped"),
    }
}

/// The opening screen as lines of text.
pub fn text(settings: Settings, picture: Arc<ClusterSnapshot>, look: &Look, width: u16) -> String {
    let mut app = App::new(settings);
    update(&mut app, Message::Snapshot(picture));
    let mut buffer = Buffer::empty(Rect::new(0, 0, width.max(screens::MIN_WIDTH), HEIGHT));
    screens::draw_once(&app, look, &mut buffer);
    let mut lines: Vec<String> = rows(&buffer).collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.join("\n")
}

/// The buffer's lines without trailing spaces.
pub(crate) fn rows(buffer: &Buffer) -> impl Iterator<Item = String> {
    let area = buffer.area;
    (area.top()..area.bottom()).map(move |y| {
        let row: String = (area.left()..area.right()).map(|x| buffer[(x, y)].symbol()).collect();
        row.trim_end().to_owned()
    })
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    cluster: &'a ClusterSnapshot,
    #[serde(flatten)]
    report: &'a Report,
}

/// The picture and the findings as one JSON object.
///
/// # Errors
/// A figure that JSON cannot hold; there is none today.
pub fn json(settings: Settings, picture: Arc<ClusterSnapshot>) -> serde_json::Result<String> {
    let mut app = App::new(settings);
    update(&mut app, Message::Snapshot(picture));
    serde_json::to_string_pretty(&Document { cluster: &app.cluster, report: &app.report })
}
