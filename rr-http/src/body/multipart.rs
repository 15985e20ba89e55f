//! The multipart format as a pure parser: bytes in, events out, in constant memory.
//!
//! It accepts and refuses what Go's `mime/multipart` does, with the same messages: lines end with CR LF, or with LF
//! alone if the first boundary's line does; text before the first boundary is skipped; nothing is read after the last
//! one; a body that ends within a part's head ends the form.

use super::{
    media::{self, MediaType},
    quote::quote,
};
use bytes::{Buf, BytesMut};
use memchr::{memchr, memmem};

/// Longest line between parts.
const MAX_LINE: usize = 4096;

/// Parts of one body, as in the reference.
const MAX_PARTS: usize = 1000;

/// Bytes in the heads of all parts.
const MAX_HEADS: usize = 1 << 20;

/// Why a body is no multipart one; the texts are Go's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MultipartError {
    /// The content type gives an empty boundary.
    #[error("multipart: boundary is empty")]
    EmptyBoundary,
    /// The body ended before the last boundary.
    #[error("multipart: NextPart: EOF")]
    Eof,
    /// The body ended within a part.
    #[error("unexpected EOF")]
    UnexpectedEof,
    /// A line between parts is too long.
    #[error("multipart: NextPart: bufio: buffer full")]
    LongLine,
    /// Too many parts, or too much in their heads.
    #[error("multipart: message too large")]
    TooLarge,
    /// Something else than a boundary follows a part.
    #[error("multipart: unexpected line in Next(): {}", quote(.0))]
    UnexpectedLine(Vec<u8>),
    /// Something else than a boundary follows the line break after a part.
    #[error("multipart: expecting a new Part; got line {}", quote(.0))]
    ExpectedPart(Vec<u8>),
    /// A part's head begins with a space.
    #[error("malformed MIME header initial line: {}", quote(.0))]
    InitialLine(Vec<u8>),
    /// A line of a part's head has no colon.
    #[error("malformed MIME header: missing colon: {}", quote(.0))]
    MissingColon(Vec<u8>),
    /// A line of a part's head has an invalid name or value.
    #[error("malformed MIME header line: {}", quote(.0))]
    HeaderLine(Vec<u8>),
}

/// What the parser found.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// More bytes are needed: push some, or say that there are none.
    More,
    /// A part begins.
    Part(Head),
    /// Bytes of the part; never empty.
    Data(&'a [u8]),
    /// The part is complete.
    PartEnd,
    /// The last boundary, or what counts as it.
    End,
}

/// What matters of a part's head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The field's name; empty if there is none, or no `form-data` disposition.
    pub name: Vec<u8>,
    /// The file's name without directories; empty if the part is a plain field.
    pub filename: Vec<u8>,
    /// The content type as sent.
    pub mime: Vec<u8>,
}

/// The parser; ask it for events until it wants more bytes.
#[derive(Debug)]
pub struct Parser {
    /// CR LF, two hyphens, the boundary; without the CR once lines end with LF alone.
    delimiter: Vec<u8>,
    /// The line break alone.
    newline: usize,
    finder: memmem::Finder<'static>,
    buffer: BytesMut,
    /// Bytes at the buffer's start that the last event showed.
    shown: usize,
    ended: bool,
    state: State,
    parts: usize,
    heads: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// At the start of a line; `after_break`: the line break after a part has been read.
    Line { after_break: bool },
    /// In a part's head; the bytes before `line` have been searched for its end, those before `scanned` for the line's.
    Head { line: usize, scanned: usize },
    /// In a part; `first`: nothing of it has been shown, so the boundary may follow without a line break.
    Data { first: bool },
    /// The part's last bytes have been shown.
    DataEnd,
    /// Over.
    End,
}

/// An event that may refer to the buffer's first bytes.
enum Step {
    More,
    Part(Head),
    Data(usize),
    PartEnd,
    End,
}

impl Parser {
    /// A parser for a boundary as the content type gives it.
    ///
    /// # Errors
    ///
    /// An empty boundary.
    pub fn new(boundary: &[u8]) -> Result<Self, MultipartError> {
        if boundary.is_empty() {
            return Err(MultipartError::EmptyBoundary);
        }
        let delimiter = [b"\r\n--", boundary].concat();
        Ok(Self {
            finder: memmem::Finder::new(&delimiter).into_owned(),
            delimiter,
            newline: 2,
            buffer: BytesMut::new(),
            shown: 0,
            ended: false,
            state: State::Line { after_break: false },
            parts: 0,
            heads: 0,
        })
    }

    /// Adds bytes; only after [`Event::More`], so that the buffer stays small.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// No more bytes will come.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// The next event.
    ///
    /// # Errors
    ///
    /// [`MultipartError`]; the parser is of no use then.
    pub fn event(&mut self) -> Result<Event<'_>, MultipartError> {
        self.buffer.advance(std::mem::take(&mut self.shown));
        Ok(match self.step()? {
            Step::More => Event::More,
            Step::Part(head) => Event::Part(head),
            Step::Data(length) => {
                self.shown = length;
                Event::Data(&self.buffer[..length])
            }
            Step::PartEnd => Event::PartEnd,
            Step::End => Event::End,
        })
    }

    fn step(&mut self) -> Result<Step, MultipartError> {
        loop {
            let step = match self.state {
                State::Line { after_break } => self.line(after_break)?,
                State::Head { line, scanned } => self.head(line, scanned)?,
                State::Data { first } => Some(self.data(first)?),
                State::DataEnd => {
                    self.state = State::Line { after_break: false };
                    Some(Step::PartEnd)
                }
                State::End => Some(Step::End),
            };
            if let Some(step) = step {
                return Ok(step);
            }
        }
    }

    /// Reads one line between parts.
    fn line(&mut self, after_break: bool) -> Result<Option<Step>, MultipartError> {
        let searched = &self.buffer[..self.buffer.len().min(MAX_LINE)];
        let line = match memchr(b'\n', searched) {
            Some(at) => &searched[..=at],
            None if searched.len() == MAX_LINE => return Err(MultipartError::LongLine),
            None if !self.ended => return Ok(Some(Step::More)),
            None if self.is_last_boundary(searched) => {
                self.state = State::End;
                return Ok(None);
            }
            None => return Err(MultipartError::Eof),
        };
        let rest = line.strip_prefix(self.boundary()).map(skip_blanks);
        if self.parts == 0 && rest == Some(b"\n") {
            self.delimiter.remove(0);
            self.newline = 1;
            self.finder = memmem::Finder::new(&self.delimiter).into_owned();
        }
        let length = line.len();
        if rest == Some(&self.delimiter[..self.newline]) {
            if self.parts == MAX_PARTS {
                return Err(MultipartError::TooLarge);
            }
            self.parts += 1;
            self.state = State::Head { line: 0, scanned: 0 };
        } else if self.is_last_boundary(line) {
            self.state = State::End;
        } else if after_break {
            return Err(MultipartError::ExpectedPart(line.to_vec()));
        } else if self.parts > 0 {
            if line != &self.delimiter[..self.newline] {
                return Err(MultipartError::UnexpectedLine(line.to_vec()));
            }
            self.state = State::Line { after_break: true };
        }
        self.buffer.advance(length);
        Ok(None)
    }

    /// Two hyphens and the boundary.
    fn boundary(&self) -> &[u8] {
        &self.delimiter[self.newline..]
    }

    fn is_last_boundary(&self, line: &[u8]) -> bool {
        let rest = line
            .strip_prefix(self.boundary())
            .and_then(|rest| rest.strip_prefix(b"--"));
        rest.map(skip_blanks)
            .is_some_and(|rest| rest.is_empty() || rest == &self.delimiter[..self.newline])
    }

    /// Looks for the empty line that ends a part's head.
    fn head(&mut self, line: usize, scanned: usize) -> Result<Option<Step>, MultipartError> {
        let end = memchr(b'\n', &self.buffer[scanned..]).map(|at| scanned + at + 1);
        if self.heads + end.unwrap_or(self.buffer.len()) > MAX_HEADS {
            return Err(MultipartError::TooLarge);
        }
        let Some(end) = end else {
            if self.ended {
                self.state = State::End;
                return Ok(None);
            }
            let scanned = self.buffer.len();
            self.state = State::Head { line, scanned };
            return Ok(Some(Step::More));
        };
        if !matches!(&self.buffer[line..end], b"\n" | b"\r\n") {
            self.state = State::Head {
                line: end,
                scanned: end,
            };
            return Ok(None);
        }
        let head = parse_head(&self.buffer[..line])?;
        self.buffer.advance(end);
        self.heads += end;
        self.state = State::Data { first: true };
        Ok(Some(Step::Part(head)))
    }

    /// Shows as much of a part as is certain not to belong to a boundary.
    fn data(&mut self, first: bool) -> Result<Step, MultipartError> {
        let (length, then) = self.scan(first);
        self.state = match then {
            Then::Boundary if length == 0 => State::Line { after_break: false },
            Then::Boundary => State::DataEnd,
            Then::Unknown | Then::Data => State::Data {
                first: first && length == 0,
            },
        };
        match then {
            Then::Boundary if length == 0 => Ok(Step::PartEnd),
            Then::Unknown if length == 0 && self.ended => Err(MultipartError::UnexpectedEof),
            Then::Unknown if length == 0 => Ok(Step::More),
            _ => Ok(Step::Data(length)),
        }
    }

    /// How many bytes at the buffer's start are data, and what follows them.
    fn scan(&self, first: bool) -> (usize, Then) {
        let buffer = &self.buffer[..];
        if first {
            let boundary = self.boundary();
            if buffer.starts_with(boundary) {
                return match self.after(boundary.len()) {
                    Then::Data => (boundary.len(), Then::Data),
                    then => (0, then),
                };
            }
            if boundary.starts_with(buffer) {
                return (0, Then::Unknown);
            }
        }
        if let Some(at) = self.finder.find(buffer) {
            let end = at + self.delimiter.len();
            return match self.after(end) {
                Then::Data => (end, Then::Data),
                then => (at, then),
            };
        }
        if self.ended {
            return (buffer.len(), Then::Unknown);
        }
        // The delimiter's first byte occurs in it only once, so the last one in the buffer is its only possible start.
        match memchr::memrchr(self.delimiter[0], buffer) {
            Some(at) if self.delimiter.starts_with(&buffer[at..]) => (at, Then::Unknown),
            _ => (buffer.len(), Then::Unknown),
        }
    }

    /// What a delimiter is that ends at this place: a boundary only if a line break, blanks or two hyphens follow.
    fn after(&self, end: usize) -> Then {
        match &self.buffer[end..] {
            [] if self.ended => Then::Boundary,
            [b'-'] if self.ended => Then::Data,
            [] | [b'-'] => Then::Unknown,
            [b' ' | b'\t' | b'\r' | b'\n', ..] | [b'-', b'-', ..] => Then::Boundary,
            _ => Then::Data,
        }
    }
}

/// What follows some bytes of a part.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Unknown,
    Data,
    Boundary,
}

fn skip_blanks(line: &[u8]) -> &[u8] {
    let blanks = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &line[blanks..]
}

/// A part's head without its empty line.
fn parse_head(text: &[u8]) -> Result<Head, MultipartError> {
    let mut lines = text
        .split_inclusive(|&byte| byte == b'\n')
        .map(without_newline)
        .peekable();
    let continues = |line: &&[u8]| line.starts_with(b" ") || line.starts_with(b"\t");
    if let Some(line) = lines.next_if(continues) {
        return Err(MultipartError::InitialLine(line[..line.len().min(80)].to_vec()));
    }
    let mut head = Head::default();
    let (mut disposition, mut mime) = (None, None);
    while let Some(line) = lines.next() {
        if !line.contains(&b':') {
            return Err(MultipartError::MissingColon(line.to_vec()));
        }
        let mut line = trim(line).to_vec();
        while let Some(more) = lines.next_if(continues) {
            line.push(b' ');
            line.extend_from_slice(trim(more));
        }
        let colon = memchr(b':', &line).unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default();
        let valid = |&byte: &u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        if name.is_empty() || !name.iter().all(|&byte| is_token(byte) || byte == b' ') || !value.iter().all(valid) {
            return Err(MultipartError::HeaderLine(line));
        }
        // The first of several headers of one name counts.
        if name.eq_ignore_ascii_case(b"content-disposition") {
            disposition.get_or_insert_with(|| media::parse(skip_blanks(value)).unwrap_or_default());
        } else if name.eq_ignore_ascii_case(b"content-type") {
            mime.get_or_insert_with(|| skip_blanks(value).to_vec());
        }
    }
    let disposition: MediaType = disposition.unwrap_or_default();
    if disposition.is("form-data") {
        head.name = disposition.param("name").unwrap_or_default().to_vec();
        head.filename = base_name(disposition.param("filename").unwrap_or_default()).to_vec();
        head.mime = mime.unwrap_or_default();
    }
    Ok(head)
}

fn without_newline(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn trim(line: &[u8]) -> &[u8] {
    let line = skip_blanks(line);
    let blanks = line
        .iter()
        .rev()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    &line[..line.len() - blanks]
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The last element of a path; a path of slashes alone is one slash.
fn base_name(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|&byte| byte != b'/').map_or(0, |at| at + 1);
    if end == 0 {
        return &path[..path.len().min(1)];
    }
    let start = memchr::memrchr(b'/', &path[..end]).map_or(0, |at| at + 1);
    &path[start..end]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// Events of a body in pieces of a size: `name/filename/mime=data` for each part, and the error if there is one.
    fn events(body: &[u8], size: usize) -> (Vec<String>, Option<MultipartError>) {
        let mut parser = Parser::new(b"XX").unwrap();
        let mut pieces = body.chunks(size);
        let mut parts: Vec<String> = Vec::new();
        loop {
            match parser.event() {
                Ok(Event::More) => match pieces.next() {
                    Some(piece) => parser.push(piece),
                    None => parser.end(),
                },
                Ok(Event::Part(head)) => {
                    let [name, filename, mime] =
                        [&head.name, &head.filename, &head.mime].map(|text| String::from_utf8_lossy(text));
                    parts.push(format!("{name}/{filename}/{mime}="));
                }
                Ok(Event::Data(data)) => {
                    assert!(!data.is_empty());
                    *parts.last_mut().unwrap() += &String::from_utf8_lossy(data);
                }
                Ok(Event::PartEnd) => *parts.last_mut().unwrap() += ".",
                Ok(Event::End) => return (parts, None),
                Err(error) => return (parts, Some(error)),
            }
            assert!(parser.buffer.len() <= MAX_HEADS + size);
        }
    }

    fn ok(body: &str, expected: &[&str]) {
        for size in [1, 3, 1000] {
            let (parts, error) = events(body.as_bytes(), size);
            assert_eq!(error, None, "{body:?}");
            assert_eq!(parts, expected, "{body:?}");
        }
    }

    fn fails(body: &str, expected: &str) {
        for size in [1, 3, 5000] {
            let (_, error) = events(body.as_bytes(), size);
            assert_eq!(error.unwrap().to_string(), expected, "{body:?}");
        }
    }

    const A: &str = "Content-Disposition: form-data; name=a";

    #[test]
    fn bodies() {
        ok("--XX--", &[]);
        ok("preamble\r\n--XX \t\r\n\r\n\r\n--XX--\r\nepilogue", &["//=."]);
        ok(&format!("--XX\r\n{A}\r\n\r\n1\r\n--XX--\r\n"), &["a//=1."]);
        ok(
            &format!("--XX\r\n{A}\r\n\r\n\r\n--XX\r\n{A}\r\n\r\n--XX--"),
            &["a//=.", "a//=."],
        );
        ok(&format!("--XX\n{A}\n\n1\r\n\n--XX--\n"), &["a//=1\r\n."]);
        ok(
            &format!("--XX\r\n{A}\n\n1\n--XX\r\n-\r\n--XXX\r\n--XX-\r\n--XX--"),
            &["a//=1\n--XX\r\n-\r\n--XXX\r\n--XX-."],
        );
        ok(&format!("--XX\r\n{A}\r\n\r\n--XXY\r\n--XX--"), &["a//=--XXY."]);
        // As in the reference, a body that ends in a part's head is complete.
        ok(&format!("--XX\r\n{A}\r\n\r\n1\r\n--XX\r\n{A}\r\n"), &["a//=1."]);
    }

    #[test]
    fn heads() {
        let head = |head: &str, expected: &str| ok(&format!("--XX\r\n{head}\r\n\r\n--XX--"), &[expected]);
        head(
            "Content-Disposition: form-data; name=\"a b\"; filename=\"x/y.txt\"\r\nContent-Type: t/x; y=z",
            "a b/y.txt/t/x; y=z=.",
        );
        head("content-DISPOSITION:Form-Data;\r\n\tname=a;\r\n filename=b", "a/b/=.");
        head("Content-Disposition: form-data; name=a; filename=\"\"", "a//=.");
        head("Content-Disposition: form-data; name=a; filename=\"///\"", "a///=.");
        head(
            "Content-Disposition: form-data; name=a; filename*=utf-8''%e2%82%ac.txt; filename=x",
            "a/€.txt/=.",
        );
        head("Content-Disposition: attachment; name=a; filename=b", "//=.");
        head("Content-Disposition: form-data; name=a; name=b", "//=.");
        head(
            "Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b",
            "a//=.",
        );
        head("Content-Disposition : form-data; name=a\r\nX: y", "//=.");
    }

    #[test]
    fn errors() {
        fails("", "multipart: NextPart: EOF");
        fails("--XX", "multipart: NextPart: EOF");
        fails(&"x".repeat(5000), "multipart: NextPart: bufio: buffer full");
        fails("--XX\r\n\r\nabc", "unexpected EOF");
        fails("--XX\r\n\r\nabc\r\n--XX", "multipart: NextPart: EOF");
        fails("--XX\r\n\r\nabc\r\n--XX \r", "multipart: NextPart: EOF");
        fails(
            "--XX\r\n\r\nabc\r\n--XX y\r\n",
            "multipart: expecting a new Part; got line \"--XX y\\r\\n\"",
        );
        fails(
            "--XX\r\n\r\n--XX y\r\n",
            "multipart: unexpected line in Next(): \"--XX y\\r\\n\"",
        );
        fails("--XX\r\n a: b\r\n\r\n", "malformed MIME header initial line: \" a: b\"");
        fails("--XX\r\nab\r\n\r\n", "malformed MIME header: missing colon: \"ab\"");
        fails("--XX\r\na(b: c \r\n\r\n", "malformed MIME header line: \"a(b: c\"");
        fails("--XX\r\na: \x01\r\n\r\n", "malformed MIME header line: \"a: \\x01\"");
        let many = "--XX\r\n\r\n\r\n".repeat(1001);
        fails(&many, "multipart: message too large");
        let long = format!("--XX\r\na: {}", "x".repeat(MAX_HEADS));
        let (_, error) = events(long.as_bytes(), 5000);
        assert_eq!(error, Some(MultipartError::TooLarge));
        assert_eq!(Parser::new(b"").unwrap_err(), MultipartError::EmptyBoundary);
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces(body: Vec<u8>, size in 1..9_usize) {
            prop_assert_eq!(events(&body, size), events(&body, 10_000));
        }

        #[test]
        fn any_lines_in_any_pieces(
            lines in proptest::collection::vec("(--XX|--XX--|-|\r|\n|X|a: b| |Content-Disposition: form-data; name=a)?\r?\n?", 0..30),
            size in 1..9_usize,
        ) {
            let body = lines.concat();
            let (whole, pieces) = (events(body.as_bytes(), 10_000), events(body.as_bytes(), size));
            prop_assert_eq!(whole, pieces);
        }

        /// Any content comes out as it went in, as long as it does not contain the boundary.
        #[test]
        fn content_survives(content in "[-X\r\n]{0,40}", size in 1..50_usize) {
            prop_assume!(!format!("\r\n{content}").contains("\r\n--XX"));
            let (parts, error) = events(format!("--XX\r\n{A}\r\n\r\n{content}\r\n--XX--\r\n").as_bytes(), size);
            prop_assert_eq!(error, None);
            prop_assert_eq!(parts, [format!("a//={content}.")]);
        }
    }
}
