//! How a log line travels over a `SOCK_SEQPACKET` socket: `[1 byte: length of the logger's name, flags][name][text]`.
//!
//! One datagram is one line, or several whole lines of one logger. A line that is longer than a datagram may be is cut into parts: all but the last say
//! [`MORE`], all but the first say [`REST`]; the parts of one line follow each other, though whole lines may come
//! between them.

/// Most bytes of one datagram.
pub(crate) const DATAGRAM: usize = 64 * 1024;
/// Most bytes of a line; what is beyond is cut off.
pub(crate) const LINE: usize = 8 * 1024 * 1024;
/// Most bytes of a logger's name.
pub(crate) const NAME: usize = 63;
/// The line goes on in a later datagram.
const MORE: u8 = 0x80;
/// The datagram continues an earlier one.
const REST: u8 = 0x40;

/// One datagram, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Datagram<'a> {
    pub(crate) logger: &'a [u8],
    pub(crate) text: &'a [u8],
    pub(crate) more: bool,
    pub(crate) rest: bool,
}

/// Writes what precedes the text.
pub(crate) fn begin(out: &mut Vec<u8>, logger: &str) {
    let name = &logger.as_bytes()[..logger.len().min(NAME)];
    out.push(name.len() as u8);
    out.extend_from_slice(name);
}

/// Takes a datagram apart; `None` if it is none of ours.
pub(crate) fn parse(bytes: &[u8]) -> Option<Datagram<'_>> {
    let (&first, rest) = bytes.split_first()?;
    let (logger, text) = rest.split_at_checked(usize::from(first & !(MORE | REST)))?;
    Some(Datagram {
        logger,
        text,
        more: first & MORE != 0,
        rest: first & REST != 0,
    })
}

/// Cuts a long line, which begins as [`begin`] writes it and ends with `ending`, into datagrams.
pub(crate) fn split(line: &[u8], ending: &str) -> Vec<Box<[u8]>> {
    let Some(whole) = parse(line) else { return Vec::new() };
    let cut = format!("… ({} bytes cut off){ending}", whole.text.len().saturating_sub(LINE));
    let (text, cut) = match whole.text.len() > LINE {
        true => (&whole.text[..LINE], cut.as_str()),
        false => (whole.text, ""),
    };
    let text = [text, cut.as_bytes()].concat();
    let pieces = text.chunks(DATAGRAM - 1 - NAME);
    let last = pieces.len().saturating_sub(1);
    let datagram = |(index, piece): (usize, &[u8])| {
        let more = if index < last { MORE } else { 0 };
        let rest = if index > 0 { REST } else { 0 };
        let first = whole.logger.len() as u8 | more | rest;
        [&[first], whole.logger, piece].concat().into()
    };
    pieces.enumerate().map(datagram).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_taken_apart_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(datagram) = parse(&bytes) {
                prop_assert_eq!(1 + datagram.logger.len() + datagram.text.len(), bytes.len());
                prop_assert!(datagram.logger.len() <= NAME);
            }
        }

        #[test]
        fn the_parts_of_a_long_line_are_the_line(logger in ".{0,80}", length in 0..3 * DATAGRAM) {
            let mut line = Vec::new();
            begin(&mut line, &logger);
            let text: Vec<u8> = (0..length).map(|index| index as u8).collect();
            line.extend_from_slice(&text);
            let parts = split(&line, "\n");
            let mut joined = Vec::new();
            for (index, part) in parts.iter().enumerate() {
                prop_assert!(part.len() <= DATAGRAM);
                let datagram = parse(part).unwrap();
                prop_assert_eq!((datagram.rest, datagram.more), (index > 0, index + 1 < parts.len()));
                prop_assert!(logger.as_bytes().starts_with(datagram.logger));
                joined.extend_from_slice(datagram.text);
            }
            prop_assert!(joined == text);
        }
    }
}
