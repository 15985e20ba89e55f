//! The multipart format as a pure parser: bytes in, events out, in constant memory.
//!
//! It accepts and refuses what Go's `mime/multipart` does, with the same messages: lines end with CR LF, or with LF
//! alone if the first boundary's line does; text before the first boundary is skipped; nothing is read after the last
//! one; a body that ends within a part's head ends the form.

mod head;

pub use head::Head;

use super::quote::quote;
use bytes::{Buf, BytesMut};
use head::skip_blanks;
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
    /// The current part has a name; the others are skipped, and their errors are those of the lines between parts.
    named: bool,
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
            named: false,
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
                // The reference reads a head line by line and so finds a mistake before it finds the end.
                head::parse(&self.buffer)?;
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
        let head = head::parse(&self.buffer[..line])?;
        self.buffer.advance(end);
        self.heads += end;
        self.named = !head.name.is_empty();
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
            Then::Unknown if length == 0 && self.ended => Err(match self.named {
                true => MultipartError::UnexpectedEof,
                false => MultipartError::Eof,
            }),
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

#[cfg(test)]
mod tests;
