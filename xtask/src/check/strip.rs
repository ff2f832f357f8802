//! Blanks what is not code: comments, the insides of strings, and test modules. Lines and columns stay where they
//! were, so a rule that looks for a word can name the line. Not a Rust parser: it knows no more than it needs.

/// The text with comments and the insides of string and character literals turned into spaces.
pub fn comments_and_strings(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment or literal that begins at `at` ends; `at` itself when none begins there.
fn literal_end(chars: &[char], at: usize) -> usize {
    let next = chars.get(at + 1).copied();
    match chars[at] {
        '/' if next == Some('/') => line_end(chars, at),
        '/' if next == Some('*') => block_comment_end(chars, at),
        'r' if !follows_a_word(chars, at) => raw_string_end(chars, at),
        '"' => quoted_end(chars, at, '"'),
        '\'' => char_end(chars, at),
        _ => at,
    }
}

fn follows_a_word(chars: &[char], at: usize) -> bool {
    // `br"…"` is a raw string too, and its `b` is no word.
    let before = at.checked_sub(1).map(|i| chars[i]);
    let further = at.checked_sub(2).map(|i| chars[i]);
    match before {
        Some('b') => further.is_some_and(|c| c.is_alphanumeric() || c == '_'),
        Some(c) => c.is_alphanumeric() || c == '_',
        None => false,
    }
}

fn line_end(chars: &[char], at: usize) -> usize {
    chars[at..].iter().position(|&c| c == '\n').map_or(chars.len(), |n| at + n)
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let (mut depth, mut i) = (0_usize, at);
    while i + 1 < chars.len() {
        match (chars[i], chars[i + 1]) {
            ('/', '*') => {
                depth += 1;
                i += 2;
            }
            ('*', '/') => {
                depth -= 1;
                i += 2;
                if depth == 0 {
                    return i;
                }
            }
            _ => i += 1,
        }
    }
    chars.len()
}

fn raw_string_end(chars: &[char], at: usize) -> usize {
    let hashes = chars[at + 1..].iter().take_while(|&&c| c == '#').count();
    let open = at + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return at;
    }
    let closes =
        |i: usize| chars[i] == '"' && chars[i + 1..].iter().take(hashes).all(|&c| c == '#');
    (open + 1..chars.len()).find(|&i| closes(i)).map_or(chars.len(), |i| i + 1 + hashes)
}

fn quoted_end(chars: &[char], at: usize, quote: char) -> usize {
    let mut i = at + 1;
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            c if c == quote => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

/// A character literal, but not a lifetime.
fn char_end(chars: &[char], at: usize) -> usize {
    let is_escape = chars.get(at + 1) == Some(&'\\');
    let is_plain = chars.get(at + 2) == Some(&'\'');
    if is_escape || is_plain { quoted_end(chars, at, '\'') } else { at }
}

/// Code (already stripped of comments and strings) with every `#[cfg(test)]` item blanked.
pub fn test_items(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(start) = rest.find(MARK) {
        out.push_str(&rest[..start]);
        let end = item_end(rest, start + MARK.len());
        out.extend(rest[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// Where the item that starts after `from` ends: at its `;`, or at the brace that closes it.
pub fn item_end(code: &str, from: usize) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code[from..].char_indices() {
        match c {
            ';' if depth == 0 => return from + at + 1,
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && c == '}' {
                    return from + at + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words in comments and literals vanish, code and line numbers stay.
    #[test]
    fn only_code_is_left() {
        let text =
            "let a = \"sled::\"; // sled::\n/* sled:: /* */ */ let b = r#\"sled::\"#; b'\\''; 'x'";
        let code = comments_and_strings(text);
        assert!(!code.contains("sled"));
        assert!(code.contains("let a =") && code.contains("let b ="));
        assert_eq!(code.lines().count(), 2);
    }

    /// A lifetime is no literal.
    #[test]
    fn lifetimes_are_code() {
        let code = comments_and_strings("fn f<'a>(x: &'a str, y: &'a str) -> char { 'y' }");
        assert!(code.contains("&'a str, y"));
        assert!(!code.contains("'y'"));
    }

    /// A test module is blanked to its closing brace, and what follows is kept.
    #[test]
    fn test_modules_are_blanked() {
        let code = "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { x[1]; } }\nfn c() {}";
        let left = test_items(code);
        assert!(left.contains("fn a") && left.contains("fn c") && !left.contains("fn b"));
        assert_eq!(test_items("#[cfg(test)]\nmod t;\nfn d() {}").trim(), "fn d() {}");
    }
}
