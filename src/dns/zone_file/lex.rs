//! A zone file's text as entries: what stands on one line, or within parentheses on several (RFC 1035,
//! section 5.1). Each knows its line.

/// Tokens of one entry at most: the longest sensible record is a TXT of some hundred strings.
const MAX_TOKENS: usize = 4096;

/// A word of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    /// The text, escapes as written, without quotes.
    pub(super) raw: String,
    /// Whether it was in quotes.
    pub(super) quoted: bool,
}

/// A record or a directive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The line on which it begins, from 1.
    pub(super) line: usize,
    /// Whether its line begins with a blank: the owner is the one before.
    pub(super) blank: bool,
    /// Its words; never empty.
    pub(super) tokens: Vec<Token>,
}

/// Takes a text apart.
pub(super) struct Lexer<'t> {
    rest: &'t str,
    line: usize,
}

/// A line, and what is wrong on it.
pub(super) type Wrong = (usize, String);

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        // Editors put a byte order mark in front of UTF-8 that needs none.
        Self { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 }
    }

    /// The next entry; `None` at the end.
    pub(super) fn entry(&mut self) -> Result<Option<Entry>, Wrong> {
        let mut blank = self.at_blank();
        let mut opened = None;
        let mut begun = None;
        let mut tokens = Vec::new();
        while let Some(c) = self.peek() {
            match c {
                '\n' => {
                    self.take();
                    if opened.is_none() {
                        if !tokens.is_empty() {
                            break;
                        }
                        blank = self.at_blank();
                    }
                }
                c if c.is_ascii_whitespace() => self.take(),
                ';' => self.skip_comment(),
                '(' if opened.is_none() => {
                    opened = Some(self.line);
                    self.take();
                }
                '(' => return Err((self.line, "a `(` within parentheses".into())),
                ')' if opened.is_some() => {
                    opened = None;
                    self.take();
                }
                ')' => return Err((self.line, "a `)` without its `(`".into())),
                c if c.is_control() => {
                    return Err((self.line, format!("a control character {c:?}")));
                }
                _ if tokens.len() == MAX_TOKENS => {
                    return Err((self.line, format!("more than {MAX_TOKENS} words in a record")));
                }
                _ => {
                    begun.get_or_insert(self.line);
                    tokens.push(self.token()?);
                }
            }
        }
        match (opened, begun) {
            (Some(line), _) => Err((line, "a `(` without its `)`".into())),
            (None, Some(line)) => Ok(Some(Entry { line, blank, tokens })),
            (None, None) => Ok(None),
        }
    }

    fn token(&mut self) -> Result<Token, Wrong> {
        let mut raw = String::new();
        let whole = self.peek() == Some('"');
        let mut in_quotes = false;
        while let Some(c) = self.peek() {
            match c {
                '"' => {
                    self.take();
                    in_quotes = !in_quotes;
                    if whole && !in_quotes {
                        return Ok(Token { raw, quoted: true });
                    }
                    continue;
                }
                '\n' if in_quotes => break,
                ';' | '(' | ')' if !in_quotes => break,
                c if c.is_ascii_whitespace() && !in_quotes => break,
                '\\' => {
                    raw.push(c);
                    self.take();
                    match self.peek() {
                        Some('\n') | None => {
                            return Err((self.line, "a `\\` that escapes nothing".into()));
                        }
                        Some(escaped) => raw.push(escaped),
                    }
                }
                c if c.is_control() && c != '\t' => {
                    return Err((self.line, format!("a control character {c:?}")));
                }
                c => raw.push(c),
            }
            self.take();
        }
        if in_quotes {
            return Err((self.line, "a `\"` without the one that ends its text".into()));
        }
        Ok(Token { raw, quoted: false })
    }

    fn at_blank(&self) -> bool {
        self.rest.starts_with([' ', '\t'])
    }

    fn skip_comment(&mut self) {
        let end = self.rest.find('\n').unwrap_or(self.rest.len());
        self.rest = self.rest.get(end..).unwrap_or_default();
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn take(&mut self) {
        let mut chars = self.rest.chars();
        if chars.next() == Some('\n') {
            self.line += 1;
        }
        self.rest = chars.as_str();
    }
}
