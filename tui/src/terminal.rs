//! Takes the terminal and always gives it back: at the end, on errors, on a panic of any thread, on signals.
//!
//! Neither mouse nor bracketed paste is ever switched on, so that text can be selected and there is less to undo.

use std::io::{self, IsTerminal, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{cursor, execute, terminal};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

/// Whether the terminal is ours now. The one global: a panic hook has nobody to ask.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// The exit code of a Rust program that panicked.
const PANIC_EXIT_CODE: i32 = 101;

/// How long a stop signal may take to reach all threads.
const STOP_GRACE: std::time::Duration = std::time::Duration::from_millis(50);

/// The terminal while it is ours. Dropping it gives it back.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<io::Stdout>>,
}

impl Screen {
    /// Takes the terminal: raw mode, alternate screen, no cursor.
    ///
    /// # Errors
    /// Standard input or output is no terminal, or it cannot be set up.
    pub fn take() -> io::Result<Self> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Err(io::Error::other(
                "the dashboard needs a terminal. Use --once or --output json without one.",
            ));
        }
        restore_on_panic();
        enter()?;
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()));
        terminal.map(|terminal| Self { terminal }).inspect_err(|_| give_back())
    }

    /// Draws a frame.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn draw(&mut self, draw: impl FnOnce(&mut ratatui::buffer::Buffer)) -> io::Result<()> {
        self.terminal.draw(|frame| draw(frame.buffer_mut()))?;
        Ok(())
    }

    /// Gives the terminal to the shell until it continues us, then takes it again.
    ///
    /// # Errors
    /// The terminal is gone.
    pub fn suspend(&mut self) -> io::Result<()> {
        give_back();
        let ourselves = rustix::process::getpid();
        rustix::process::kill_process(ourselves, rustix::process::Signal::TSTP)?;
        // The signal may reach another thread first; until all stand still the terminal must not be touched.
        std::thread::sleep(STOP_GRACE);
        // Here again after `fg`.
        enter()?;
        // A new one draws everything; `Terminal::clear` would ask the terminal where the cursor is.
        self.terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn enter() -> io::Result<()> {
    IS_TAKEN.store(true, Ordering::SeqCst);
    let taken = terminal::enable_raw_mode()
        .and_then(|()| execute!(io::stdout(), EnterAlternateScreen, cursor::Hide));
    taken.inspect_err(|_| give_back())
}

/// Gives the terminal back if it is ours. Safe to call from anywhere, any number of times.
pub fn give_back() {
    if !IS_TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    // The terminal may be gone already; there is nobody left to tell.
    let _ = terminal::disable_raw_mode();
    let _ = execute!(io::stdout(), LeaveAlternateScreen, cursor::Show);
    let _ = io::stdout().flush();
}

/// Gives raw mode back without writing, for a terminal that takes no output any more.
pub fn give_back_without_output() {
    if IS_TAKEN.swap(false, Ordering::SeqCst) {
        let _ = terminal::disable_raw_mode();
    }
}

/// A panic anywhere ends the program with a usable terminal and a readable message: a dashboard whose worker is dead
/// would show old figures as if they were new.
fn restore_on_panic() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            print(panic);
            std::process::exit(PANIC_EXIT_CODE);
        }));
    });
}
