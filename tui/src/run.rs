//! The loop: waits for whatever comes first, updates, draws, and hands effects to the workers.
//!
//! It awaits keys, pictures, answers and signals, never the network. Everything that waits is taken in before one
//! drawing, so a burst of keys costs one frame.

use std::io;
use std::process::ExitCode;
use std::task::Poll;
use std::time::Duration;

use crossterm::event::{Event, EventStream};
use futures::StreamExt;
use quorate_client::Client;
use quorate_client::model::{Collector, CollectorOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::app::{App, Effect, Message, Settings, update};
use crate::look::Look;
use crate::screens;
use crate::terminal::{Screen, give_back_without_output};
use crate::worker::KeyReader;

/// Answers of the key reader that may wait; it works on one question at a time.
const ANSWERS_MAX: usize = 4;

/// After a signal the loop has this long to end; a terminal that takes no output could hold it for ever.
const END_LIMIT: Duration = Duration::from_millis(500);

/// Runs the dashboard until the operator or a signal ends it.
///
/// # Errors
/// There is no terminal, or it is gone.
pub async fn run(
    settings: Settings,
    options: CollectorOptions,
    client: Client,
    look: Look,
) -> io::Result<ExitCode> {
    let mut signals = signals()?;
    let mut screen = Screen::take()?;
    let mut app = App::new(settings);
    let collector = Collector::start(options);
    let mut pictures = collector.snapshots();
    let (answer, mut answers) = mpsc::channel(ANSWERS_MAX);
    let mut reader = KeyReader::new(client, answer);
    let mut input = EventStream::new();
    screen.draw(|buffer| screens::draw(&app, &look, buffer))?;
    planted_panic();
    loop {
        let message = tokio::select! {
            biased;
            Some(code) = signals.recv() => return Ok(ExitCode::from(code)),
            event = input.next() => match event {
                Some(event) => message_of(event?),
                None => return Ok(ExitCode::SUCCESS),
            },
            Some(answer) = answers.recv() => Some(answer),
            changed = pictures.changed() => match changed {
                Ok(()) => Some(Message::Snapshot(pictures.borrow_and_update().clone())),
                Err(_) => return Err(io::Error::other("the collector has stopped")),
            },
        };
        let mut waiting: Vec<Message> = message.into_iter().collect();
        // Polled with this task's own waker: another one would be told of the next key in our place.
        while let Poll::Ready(Some(event)) = futures::poll!(input.next()) {
            waiting.extend(message_of(event?));
        }
        for message in waiting {
            for effect in update(&mut app, message) {
                match effect {
                    Effect::Quit => return Ok(ExitCode::SUCCESS),
                    Effect::Suspend => screen.suspend()?,
                    Effect::Refresh => collector.refresh(),
                    Effect::SetInterval(interval) => collector.set_interval(interval),
                    Effect::SetPaused(is_paused) => collector.set_paused(is_paused),
                    Effect::ReadKeys { ticket, prefix, from } => {
                        reader.read_page(ticket, prefix, from)
                    }
                    Effect::ReadValue { ticket, key } => reader.read_value(ticket, key),
                }
            }
        }
        screen.draw(|buffer| screens::draw(&app, &look, buffer))?;
    }
}

fn message_of(event: Event) -> Option<Message> {
    match event {
        Event::Key(key) => Some(Message::Key(key)),
        Event::Resize(..) => Some(Message::Resized),
        Event::FocusGained | Event::FocusLost | Event::Mouse(_) | Event::Paste(_) => None,
    }
}

/// Sends the exit code for the first signal that asks us to end, and ends the program itself if the loop does not.
fn signals() -> io::Result<mpsc::Receiver<u8>> {
    let (send, receive) = mpsc::channel(1);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        let number = tokio::select! {
            _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
            _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
            _ = hang_up.recv() => SignalKind::hangup().as_raw_value(),
        };
        let code = 128 + number;
        let _ = send.send(u8::try_from(code).unwrap_or(u8::MAX)).await;
        tokio::time::sleep(END_LIMIT).await;
        give_back_without_output();
        std::process::exit(code);
    });
    Ok(receive)
}

/// A panic on purpose, to test that the terminal survives one. Not in release builds.
fn planted_panic() {
    #[cfg(debug_assertions)]
    match std::env::var("QUORATE_TUI_TEST_PANIC").as_deref() {
        Ok("loop") => panic!("planted in the loop"),
        Ok("worker") => {
            tokio::spawn(async { panic!("planted in a worker") });
        }
        _ => {}
    }
}
