//! A part's head: which field it is, and of what file.

use super::MultipartError;
use crate::body::media::{self, MediaType};
use memchr::memchr;

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

/// A part's head without its empty line.
pub(super) fn parse(text: &[u8]) -> Result<Head, MultipartError> {
    let mut lines = text
        .split_inclusive(|&byte| byte == b'\n')
        .map(without_newline)
        .peekable();
    let continues = |line: &&[u8]| line.starts_with(b" ") || line.starts_with(b"\t");
    if let Some(line) = lines.next_if(continues) {
        // The reference reads no more than this of a line that it is going to refuse.
        return Err(match line.len() {
            0..=80 => MultipartError::InitialLine(line.to_vec()),
            _ => MultipartError::TooLarge,
        });
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

pub(super) fn skip_blanks(line: &[u8]) -> &[u8] {
    let blanks = line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &line[blanks..]
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
