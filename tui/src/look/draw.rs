//! The few drawing moves the screens share: text in a cell, cut text, wrapped text.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::Symbols;

/// Which side of its cell a text keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Figures.
    Right,
}

/// A part of the screen that is filled line by line from the top.
pub struct Area<'a> {
    buffer: &'a mut Buffer,
    rect: Rect,
    line: u16,
    cut: &'static str,
}

impl<'a> Area<'a> {
    /// Begins at the top of `rect`.
    pub fn new(buffer: &'a mut Buffer, rect: Rect, symbols: &Symbols) -> Self {
        let rect = rect.intersection(buffer.area);
        Self { buffer, rect, line: 0, cut: symbols.cut }
    }

    /// Columns.
    pub fn width(&self) -> usize {
        usize::from(self.rect.width)
    }

    /// Lines not yet used.
    pub fn lines_left(&self) -> usize {
        usize::from(self.rect.height.saturating_sub(self.line))
    }

    /// Leaves a line empty.
    pub fn skip(&mut self) {
        self.line = self.line.saturating_add(1);
    }

    /// Writes a line of spans; what does not fit is cut.
    pub fn line(&mut self, line: &Line<'_>) {
        if self.lines_left() > 0 {
            self.buffer.set_line(self.rect.x, self.rect.y + self.line, line, self.rect.width);
        }
        self.skip();
    }

    /// Writes text into the cell from column `x`, `width` wide, of the present line, without moving on.
    pub fn cell(&mut self, x: usize, width: usize, align: Align, text: &str, style: Style) {
        if self.lines_left() == 0 || x >= self.width() {
            return;
        }
        let width = width.min(self.width() - x);
        let text = clip(text, width, self.cut);
        let indent = match align {
            Align::Left => 0,
            Align::Right => width - text.width(),
        };
        let left = self.rect.x + u16::try_from(x + indent).unwrap_or(u16::MAX);
        self.buffer.set_stringn(left, self.rect.y + self.line, text, width, style);
    }

    /// Lays a style over the present line.
    pub fn paint(&mut self, style: Style) {
        if self.lines_left() > 0 {
            let line = Rect { y: self.rect.y + self.line, height: 1, ..self.rect };
            self.buffer.set_style(line, style);
        }
    }
}

/// Cuts a text to `width` columns and marks the cut.
pub fn clip(text: &str, width: usize, cut: &str) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(cut.width());
    let mut used = 0;
    let kept: String = text
        .chars()
        .take_while(|letter| {
            used += letter.width().unwrap_or(0);
            used <= room
        })
        .collect();
    if width >= cut.width() { kept + cut } else { kept }
}

/// Breaks a text into lines of at most `width` columns, between words where possible. The spaces that a line of the
/// text begins with are kept, as indented JSON needs it.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let words = paragraph.trim_start_matches(' ');
        let indent = (paragraph.len() - words.len()).min(width - 1);
        let mut line = " ".repeat(indent);
        let mut is_empty = true;
        for word in words.split(' ') {
            if line.width() + usize::from(!is_empty) + word.width() > width && !is_empty {
                lines.push(std::mem::take(&mut line));
            } else if !is_empty {
                line.push(' ');
            }
            is_empty = false;
            for letter in word.chars() {
                if line.width() + letter.width().unwrap_or(0) > width {
                    lines.push(std::mem::take(&mut line));
                }
                line.push(letter);
            }
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text is cut by columns, not bytes, and says so.
    #[test]
    fn clip_marks_the_cut() {
        assert_eq!(clip("etcd", 4, "…"), "etcd");
        assert_eq!(clip("etcd-0", 4, "…"), "etc…");
        assert_eq!(clip("日本語", 5, "…"), "日本…");
        assert_eq!(clip("etcd", 0, "…"), "");
    }

    /// Words stay whole where they can, long ones are broken, and nothing is lost.
    #[test]
    fn wrap_breaks_between_words() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrap("a\n\n  b c", 9), ["a", "", "  b c"]);
    }
}
