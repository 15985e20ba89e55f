//! The content type of a body that comes without one, guessed from its first bytes as the WHATWG's MIME sniffing
//! standard says, in the variant of the reference: no tables for fonts that browsers refuse, text is always UTF-8.

use http::HeaderValue;

/// Bytes that are looked at.
const WINDOW: usize = 512;

/// Beginnings of HTML, after white space, without regard to case, followed by a space or `>`.
const HTML: [&[u8]; 17] = [
    b"<!DOCTYPE HTML",
    b"<HTML",
    b"<HEAD",
    b"<SCRIPT",
    b"<IFRAME",
    b"<H1",
    b"<DIV",
    b"<FONT",
    b"<TABLE",
    b"<A",
    b"<STYLE",
    b"<TITLE",
    b"<B",
    b"<BODY",
    b"<BR",
    b"<P",
    b"<!--",
];

/// Beginnings with a fixed text. A `.` of the pattern stands for any byte; none of the patterns has a dot of its own.
const FIXED: [(&[u8], &str); 34] = [
    (b"%PDF-", "application/pdf"),
    (b"%!PS-Adobe-", "application/postscript"),
    (b"\xfe\xff..", "text/plain; charset=utf-16be"),
    (b"\xff\xfe..", "text/plain; charset=utf-16le"),
    (b"\xef\xbb\xbf.", "text/plain; charset=utf-8"),
    (b"\0\0\x01\0", "image/x-icon"),
    (b"\0\0\x02\0", "image/x-icon"),
    (b"BM", "image/bmp"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"RIFF....WEBPVP", "image/webp"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"FORM....AIFF", "audio/aiff"),
    (b"ID3", "audio/mpeg"),
    (b"OggS\0", "application/ogg"),
    (b"MThd\0\0\0\x06", "audio/midi"),
    (b"RIFF....AVI ", "video/avi"),
    (b"RIFF....WAVE", "audio/wave"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
    (b"..................................LP", "application/vnd.ms-fontobject"),
    (b"\0\x01\0\0", "font/ttf"),
    (b"OTTO", "font/otf"),
    (b"ttcf", "font/collection"),
    (b"wOFF", "font/woff"),
    (b"wOF2", "font/woff2"),
    (b"\x1f\x8b\x08", "application/x-gzip"),
    (b"PK\x03\x04", "application/zip"),
    (b"Rar!\x1a\x07\0", "application/x-rar-compressed"),
    (b"Rar!\x1a\x07\x01\0", "application/x-rar-compressed"),
    (b"\0asm", "application/wasm"),
    (b"....ftypavc1", "video/mp4"),
    (b"....ftypisom", "video/mp4"),
    (b"....ftypmp4", "video/mp4"),
];

/// The content type of a body with this beginning.
pub fn content_type(body: &[u8]) -> HeaderValue {
    let head = &body[..body.len().min(WINDOW)];
    let text = trim(head);
    if HTML.iter().any(|tag| is_tag(text, tag)) {
        return HeaderValue::from_static("text/html; charset=utf-8");
    }
    if text.starts_with(b"<?xml") {
        return HeaderValue::from_static("text/xml; charset=utf-8");
    }
    if let Some((_, found)) = FIXED.iter().find(|(pattern, _)| matches(head, pattern)) {
        return HeaderValue::from_static(found);
    }
    match text.iter().any(|byte| is_binary(*byte)) {
        true => HeaderValue::from_static("application/octet-stream"),
        false => HeaderValue::from_static("text/plain; charset=utf-8"),
    }
}

fn trim(head: &[u8]) -> &[u8] {
    let start = head.iter().position(|byte| !b"\t\n\x0c\r ".contains(byte));
    &head[start.unwrap_or(head.len())..]
}

fn is_tag(text: &[u8], tag: &[u8]) -> bool {
    text.len() > tag.len() && text[..tag.len()].eq_ignore_ascii_case(tag) && matches!(text[tag.len()], b' ' | b'>')
}

fn matches(head: &[u8], pattern: &[u8]) -> bool {
    head.len() >= pattern.len()
        && pattern
            .iter()
            .zip(head)
            .all(|(want, have)| *want == b'.' || want == have)
}

fn is_binary(byte: u8) -> bool {
    matches!(byte, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f)
}

#[cfg(test)]
mod tests {
    use super::content_type;

    // HTTP-16
    #[test]
    fn the_usual_kinds() {
        for (body, expected) in [
            (&b"hello"[..], "text/plain; charset=utf-8"),
            (b"", "text/plain; charset=utf-8"),
            (b"\xc3\xa4", "text/plain; charset=utf-8"),
            (b"\n  <!doctype html><html>", "text/html; charset=utf-8"),
            (b"<html>", "text/html; charset=utf-8"),
            (b"<h1>x", "text/html; charset=utf-8"),
            (b"<abbr>", "text/plain; charset=utf-8"),
            (b"<?xml version", "text/xml; charset=utf-8"),
            (b"{\"json\":1}", "text/plain; charset=utf-8"),
            (b"%PDF-1.7", "application/pdf"),
            (b"\x89PNG\r\n\x1a\n\0", "image/png"),
            (b"RIFF1234WEBPVP8", "image/webp"),
            (b"\x1f\x8b\x08\0", "application/x-gzip"),
            (b"a\0b", "application/octet-stream"),
            (b"\0\0\0\x18ftypisom", "video/mp4"),
        ] {
            assert_eq!(content_type(body), expected, "{body:?}");
        }
    }
}
