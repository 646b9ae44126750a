//! The sources as the rules see them: words and paths, without comments, texts and tests.
#![allow(clippy::unwrap_used, reason = "all of this is a test")]

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// One file of `src/`.
pub struct Source {
    /// Its path below `src/`.
    pub name: String,
    /// How many lines it has without its tests.
    pub lines: usize,
    /// All words and signs, tests included.
    all: Vec<String>,
    /// Words and signs without tests.
    words: Vec<String>,
}

/// Every file of `src/` that is not a test as a whole.
pub fn read_all() -> Vec<Source> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&top, &mut files);
    files.sort();
    let texts: Vec<_> =
        files.iter().map(|file| (file, fs::read_to_string(file).unwrap())).collect();
    let tests: HashSet<PathBuf> =
        texts.iter().flat_map(|(file, text)| test_modules(file, text)).collect();
    let is_test =
        |file: &Path| file.ancestors().any(|path| tests.contains(&path.with_extension("")));
    texts
        .iter()
        .filter(|(file, _)| !is_test(file))
        .map(|(file, text)| Source::new(file.strip_prefix(&top).unwrap(), text))
        .collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

impl Source {
    fn new(name: &Path, text: &str) -> Self {
        let code = blank(text);
        let (kept, lines) = without_tests(&code);
        Self {
            name: name.to_str().unwrap().to_owned(),
            lines,
            all: words(&code),
            words: words(&kept),
        }
    }

    /// The room it is in; `None` for `main.rs` and `lib.rs`.
    pub fn room(&self) -> Option<&str> {
        let room = self.name.split('/').next().unwrap().trim_end_matches(".rs");
        (room != "main" && room != "lib").then_some(room)
    }

    /// The rooms that its paths lead to, by `crate::` or by `super::` up to the top.
    pub fn rooms_used(&self) -> Vec<String> {
        let inner = self.name.trim_end_matches(".rs").trim_end_matches("/mod");
        let depth = inner.split('/').count();
        let to_room = |path: &String| {
            let parts: Vec<&str> = path.split("::").collect();
            let ups = parts.iter().take_while(|part| **part == "super").count();
            match parts.first() {
                Some(&"crate") => parts.get(1).map(|room| (*room).to_owned()),
                _ if ups == depth => parts.get(ups).map(|room| (*room).to_owned()),
                _ => None,
            }
        };
        self.paths().iter().filter_map(to_room).collect()
    }

    /// All paths (`a::b::c`), with those in braces written out.
    pub fn paths(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut at = 0;
        while at < self.words.len() {
            let inside = at > 0 && self.words[at - 1] == "::";
            if is_word(&self.words[at]) && !inside {
                at = path(&self.words, at, "", &mut found);
            } else {
                at += 1;
            }
        }
        found
    }

    /// Whether a word is in it, tests included.
    pub fn has_word(&self, word: &str) -> bool {
        self.all.iter().any(|other| other == word)
    }

    /// Whether the macro `name` is called in it.
    pub fn calls_macro(&self, name: &str) -> bool {
        self.words.windows(2).any(|pair| pair[0] == name && pair[1] == "!")
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Takes in the path that begins at `at`, below `prefix`, and says where it ends.
fn path(words: &[String], mut at: usize, prefix: &str, found: &mut Vec<String>) -> usize {
    let mut path = prefix.to_owned();
    while words.get(at).is_some_and(|word| is_word(word)) {
        if !path.is_empty() {
            path.push_str("::");
        }
        path.push_str(&words[at]);
        at += 1;
        if words.get(at).is_none_or(|sign| sign != "::") {
            found.push(path);
            return at;
        }
        at += 1;
    }
    if words.get(at).is_none_or(|sign| sign != "{") {
        found.push(path);
        return at;
    }
    at += 1;
    while at < words.len() && words[at] != "}" {
        if words[at] == "as" {
            at += 2;
        } else if is_word(&words[at]) {
            at = self::path(words, at, &path, found);
        } else {
            at += 1;
        }
    }
    at + 1
}

/// Splits code into words and signs; `::` is one sign.
fn words(code: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_whitespace() {
            continue;
        }
        let mut word = String::from(c);
        if c.is_alphanumeric() || c == '_' {
            while let Some(next) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                word.push(next);
            }
        } else if c == ':' && chars.next_if_eq(&':').is_some() {
            word.push(':');
        }
        words.push(word);
    }
    words
}

/// The code with its comments and the insides of its texts blanked out, line by line as it was.
fn blank(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let previous = code.chars().next_back().unwrap_or(' ');
        let in_word = previous.is_alphanumeric() || previous == '_';
        let length = foreign(rest, in_word).unwrap_or(0);
        if length == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            code.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        }
    }
    code
}

/// How long the comment, text or character is that `rest` begins with.
fn foreign(rest: &str, in_word: bool) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    let raw = rest.strip_prefix("br").or(rest.strip_prefix('r')).filter(|_| !in_word);
    if let Some(raw) = raw {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = rest.len() - raw.len() + hashes + 1;
            return Some(rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len()));
        }
    }
    if rest.starts_with('"') {
        return Some(quoted(rest, '"'));
    }
    // A character, not a lifetime: `'a'`, `'\n'`.
    let mut chars = rest.strip_prefix('\'')?.chars();
    let (first, second) = (chars.next()?, chars.next()?);
    (first == '\\' || second == '\'').then(|| quoted(rest, '\''))
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + 1;
        }
    }
    rest.len()
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    for (at, _) in rest.char_indices() {
        if rest[at..].starts_with("/*") {
            depth += 1;
        } else if at > 1 && rest[..at].ends_with("*/") {
            depth -= 1;
            if depth == 0 {
                return at;
            }
        }
    }
    rest.len()
}

/// Where the next item that is compiled for tests only begins and ends.
fn test_item(code: &str) -> Option<(usize, usize)> {
    let starts = ["#[cfg(test)]", "#[cfg(all(test", "#![cfg(test)]"];
    let start = starts.iter().filter_map(|start| code.find(start)).min()?;
    if code[start..].starts_with("#!") {
        return Some((0, code.len()));
    }
    let mut depth = 0_i32;
    let mut attribute = false;
    for (at, c) in code[start..].char_indices() {
        match c {
            '#' if depth == 0 => attribute = true,
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => {
                depth -= 1;
                if depth < 0 {
                    return Some((start, start + at));
                }
                if depth == 0 && (c == '}' || attribute && c == ']') {
                    if !attribute {
                        return Some((start, start + at + 1));
                    }
                    attribute = false;
                }
            }
            ';' if depth == 0 => return Some((start, start + at + 1)),
            _ => {}
        }
    }
    Some((start, code.len()))
}

/// The code without what is compiled for tests only, and how many lines it has.
fn without_tests(code: &str) -> (String, usize) {
    let mut kept = String::new();
    let mut rest = code;
    let mut lines = code.lines().count();
    while let Some((start, end)) = test_item(rest) {
        kept.push_str(&rest[..start]);
        lines -= rest[start..end].matches('\n').count();
        rest = &rest[end..];
    }
    kept.push_str(rest);
    (kept, lines)
}

/// The paths, without extension, of the files that `#[cfg(test)] mod x;` declares.
fn test_modules(file: &Path, text: &str) -> Vec<PathBuf> {
    let stem = file.file_stem().unwrap().to_str().unwrap();
    let directory = match stem {
        "mod" | "lib" | "main" => file.parent().unwrap().to_owned(),
        _ => file.with_extension(""),
    };
    let code = blank(text);
    let mut rest = code.as_str();
    let mut modules = Vec::new();
    while let Some((start, end)) = test_item(rest) {
        let item = words(&rest[start..end]);
        if let [.., keyword, name, last] = item.as_slice()
            && keyword == "mod"
            && last == ";"
        {
            modules.push(directory.join(name));
        }
        rest = &rest[end..];
    }
    modules
}

#[test]
fn comments_texts_and_tests_are_not_seen() {
    let text = r##"
//! crate::a
use std::{fs::File, net::{IpAddr, UdpSocket as U}};
use crate::{b::{self, B}, c};
/* crate::d /* nested */ todo!() */
fn f<'a>(x: &'a str) -> char { crate::e::run::<u8>("crate::f \" todo!()", r#"crate::g""#); '"' }
#[cfg(test)]
#[allow(x)]
mod tests { use crate::h; fn g() { todo!() } }
#[cfg(test)]
const T: [u8; 2] = crate::i::T;
fn h() { super::super::j::x(); '\'' ; std::time::Instant::now() }
#[cfg(test)]
mod k;
"##;
    let source = Source::new(Path::new("room/file.rs"), text);
    let paths: Vec<_> = source.paths().into_iter().filter(|path| path.contains("::")).collect();
    assert_eq!(
        paths,
        [
            "std::fs::File",
            "std::net::IpAddr",
            "std::net::UdpSocket",
            "crate::b::self",
            "crate::b::B",
            "crate::c",
            "crate::e::run",
            "super::super::j::x",
            "std::time::Instant::now",
        ]
    );
    assert_eq!(source.rooms_used(), ["b", "b", "c", "e", "j"]);
    assert!(!source.calls_macro("todo"));
    assert_eq!((source.room(), source.lines), (Some("room"), 10));
    let modules = test_modules(Path::new("src/room/file.rs"), text);
    assert_eq!(modules, [PathBuf::from("src/room/file/k")]);
    let stub =
        Source::new(Path::new("room.rs"), "fn f() { todo!() } // unsafe\nfn g() { unsafe {} }");
    assert!(stub.calls_macro("todo") && stub.has_word("unsafe") && stub.room() == Some("room"));
}
