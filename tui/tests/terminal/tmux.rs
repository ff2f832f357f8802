//! A terminal that can be looked at: a tmux server of our own with one pane and a plain shell in it.

use std::process::Command;
use std::time::{Duration, Instant};

/// Longest wait for something to appear; the machine may be busy.
const LIMIT: Duration = Duration::from_secs(30);

/// What the shell shows when it waits for a command.
const PROMPT: &str = "shell-is-ready:";

/// A terminal; the server is ended on drop.
pub struct Terminal {
    socket: String,
}

impl Terminal {
    /// Opens a terminal of this size and waits for its shell.
    pub fn open(width: u16, height: u16) -> Self {
        let terminal = Self { socket: format!("quorate-{:016x}", rand::random::<u64>()) };
        let (width, height) = (width.to_string(), height.to_string());
        // A shell without anybody's settings, a prompt to wait for.
        let shell = format!(
            "env -u NO_COLOR RUST_BACKTRACE=0 PS1='{PROMPT} ' LC_ALL=C.UTF-8 bash --norc --noprofile -i"
        );
        terminal.tmux(&["new-session", "-d", "-s", "t", "-x", &width, "-y", &height, &shell]);
        terminal.wait_for(PROMPT);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.args(["-L", &self.socket, "-f", "/dev/null", "-u"]).args(arguments);
        let output = command.output().unwrap_or_else(|error| {
            panic!(
                "tmux cannot be started: {error}. Install it, for example by `apt install tmux`."
            )
        });
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tmux {arguments:?}: {errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What the screen shows.
    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-t", "t"])
    }

    /// What the screen shows, with the escape sequences of its styles.
    pub fn styled_screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-e", "-t", "t"])
    }

    /// Types a line.
    pub fn type_line(&self, line: &str) {
        self.tmux(&["send-keys", "-t", "t", "-l", line]);
        self.press("Enter");
    }

    /// Presses a key by tmux's name for it.
    pub fn press(&self, key: &str) {
        self.tmux(&["send-keys", "-t", "t", key]);
    }

    /// Changes the size.
    pub fn resize(&self, width: u16, height: u16) {
        self.tmux(&[
            "resize-window",
            "-t",
            "t",
            "-x",
            &width.to_string(),
            "-y",
            &height.to_string(),
        ]);
    }

    /// Waits until the screen shows a text.
    pub fn wait_for(&self, text: &str) -> String {
        self.wait_until(&format!("{text:?}"), |screen| screen.contains(text))
    }

    /// Waits until the screen fits.
    pub fn wait_until(&self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let screen = self.screen();
            if fits(&screen) {
                return screen;
            }
            assert!(Instant::now() < deadline, "{what} was not seen on:\n{screen}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// The process that the shell runs now.
    pub fn child(&self) -> i32 {
        let shell = self.tmux(&["display-message", "-p", "-t", "t", "#{pane_pid}"]);
        let shell = shell.trim();
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"));
        let children = children.expect("the shell runs");
        children.split_whitespace().next().and_then(|pid| pid.parse().ok()).expect("a child runs")
    }

    /// The settings of the terminal line, as the shell sees them.
    pub fn line_settings(&self) -> String {
        self.type_line("clear; echo settings-are $(stty -g) so");
        self.wait_until("the line settings", |screen| {
            screen.starts_with("settings-are") && screen.trim_end().ends_with(PROMPT)
        });
        // Long lines are shown wrapped; `-J` joins them.
        let screen = self.tmux(&["capture-pane", "-p", "-J", "-t", "t"]);
        let words: Vec<_> = screen.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "settings-are").expect("the line was shown");
        words[at + 1].to_owned()
    }

    /// Asserts that the program, which has ended, left the terminal as it found it.
    pub fn assert_clean(&self, settings_before: &str) {
        self.wait_until("the shell's prompt", |screen| screen.trim_end().ends_with(PROMPT));
        let state = "alternate #{alternate_on}, cursor #{cursor_flag}, mouse #{mouse_any_flag}";
        let state = self.tmux(&["display-message", "-p", "-t", "t", state]);
        assert_eq!(state.trim(), "alternate 0, cursor 1, mouse 0");
        assert_eq!(self.line_settings(), settings_before, "raw mode was left on");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-L", &self.socket, "kill-server"]).output();
    }
}
