//! Prometheus' text form, read. It comes from plugins, which may be anybody's programs: any bytes are judged, the number of
//! samples is bounded, and what is no metric is refused as a whole, with the line, so that no half of it reaches the page.

use super::{Bound, Families, Family, Key, Kind, Part, push_label};

/// Samples that one source may have.
const MOST_SAMPLES: usize = 200_000;

/// Labels that one sample may have.
const MOST_LABELS: usize = 64;

/// Why a text is no metrics.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ParseError {
    /// Where, counted from one.
    pub line: usize,
    /// What is wrong.
    pub reason: &'static str,
}

impl Families {
    /// Reads a text. Timestamps are dropped, labels sorted; of a sample that comes twice the first counts.
    ///
    /// # Errors
    /// The first line that is neither a comment nor a sample, or one sample too many.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut reader = Reader::default();
        for (number, line) in text.lines().enumerate() {
            let failed = |reason| ParseError {
                line: number + 1,
                reason,
            };
            reader.line(line.trim()).map_err(failed)?;
        }
        Ok(reader.families)
    }
}

#[derive(Default)]
struct Reader {
    families: Families,
    samples: usize,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), &'static str> {
        match line.strip_prefix('#') {
            Some(comment) => self.comment(comment.trim_start()),
            None if line.is_empty() => Ok(()),
            None => self.sample(line),
        }
    }

    fn comment(&mut self, comment: &str) -> Result<(), &'static str> {
        let (keyword, rest) = comment.split_once([' ', '\t']).unwrap_or((comment, ""));
        let rest = rest.trim_start();
        let (name, text) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
        match keyword {
            "HELP" => {
                let family = self.family(checked(name)?);
                if family.help.is_empty() {
                    family.help = unescaped(text);
                }
            }
            "TYPE" => {
                let kind = Kind::of(text.trim()).ok_or("a type that does not exist")?;
                let family = self.family(checked(name)?);
                if !family.samples.is_empty() && family.kind != kind {
                    return Err("a type after the samples");
                }
                family.kind = kind;
            }
            _ => {}
        }
        Ok(())
    }

    fn family(&mut self, name: &str) -> &mut Family {
        if !self.families.0.contains_key(name) {
            self.families.insert(name, Family::default());
        }
        self.families.0.entry(name.to_owned()).or_default()
    }

    fn sample(&mut self, line: &str) -> Result<(), &'static str> {
        self.samples += 1;
        if self.samples > MOST_SAMPLES {
            return Err("too many samples");
        }
        let end = line
            .find(|c: char| c == '{' || c.is_ascii_whitespace())
            .ok_or("a name without a value")?;
        let name = checked(&line[..end])?;
        let rest = line[end..].trim_start();
        let (mut labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (Vec::new(), rest),
        };
        let value = rest.split_ascii_whitespace().next().ok_or("a name without a value")?;
        let value = value.parse().map_err(|_| "a value that is no number")?;
        labels.sort_unstable();
        if labels.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err("a label twice");
        }
        let (name, part) = self.place(name, &mut labels)?;
        let name = name.to_owned();
        let mut written = String::new();
        for (name, value) in &labels {
            push_label(&mut written, name, value);
        }
        let key = Key::part(written, part);
        self.family(&name).samples.entry(key).or_insert(value);
        Ok(())
    }

    /// The family of a sample, and which of its numbers it is; takes the label for that out. A family of exactly that name comes
    /// before the numbers of another one.
    fn place<'a>(&self, name: &'a str, labels: &mut Vec<(&str, String)>) -> Result<(&'a str, Part), &'static str> {
        let kind = |name: &str| self.families.0.get(name).map(|family| family.kind);
        let exact = kind(name);
        let own = |suffix: &str, kinds: &[Kind]| {
            if exact.is_some() {
                return None;
            }
            let base = name.strip_suffix(suffix)?;
            kind(base).filter(|kind| kinds.contains(kind)).map(|_| base)
        };
        let mut bound = |label: &str| {
            let index = labels.iter().position(|(name, _)| *name == label);
            let (_, text) = labels.remove(index.ok_or("a bucket or quantile without its bound")?);
            let bound = text.parse::<f64>().ok().filter(|bound| !bound.is_nan());
            // Zero has no sign here, as it has none where it is written.
            bound.map(|bound| Bound(bound + 0.0)).ok_or("a bound that is no number")
        };
        if let Some(base) = own("_bucket", &[Kind::Histogram]) {
            return Ok((base, Part::Bucket(bound("le")?)));
        }
        if let Some(base) = own("_sum", &[Kind::Histogram, Kind::Summary]) {
            return Ok((base, Part::Sum));
        }
        if let Some(base) = own("_count", &[Kind::Histogram, Kind::Summary]) {
            return Ok((base, Part::Count));
        }
        match exact {
            Some(Kind::Summary) => Ok((name, Part::Quantile(bound("quantile")?))),
            Some(Kind::Histogram) => Err("a histogram's sample that is no bucket, sum or count"),
            _ => Ok((name, Part::Value)),
        }
    }
}

type Labels<'a> = Vec<(&'a str, String)>;

/// Labels up to the closing brace, and what comes after it.
fn labels(mut rest: &str) -> Result<(Labels<'_>, &str), &'static str> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((labels, after));
        }
        if labels.len() == MOST_LABELS {
            return Err("too many labels");
        }
        let (name, after) = rest.split_once('=').ok_or("a label without a value")?;
        let name = name.trim_end();
        if !is_name(name, false) {
            return Err("a label's name that is none");
        }
        let quoted = after.trim_start().strip_prefix('"').ok_or("a label without quotes")?;
        let end = closing_quote(quoted).ok_or("a label without its closing quote")?;
        labels.push((name, unescaped(&quoted[..end])));
        rest = quoted[end + 1..].trim_start();
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None if rest.starts_with('}') => {}
            None => return Err("labels without a comma between them"),
        }
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some(c @ ('\\' | '"')) => out.push(c),
                Some(c) => out.extend(['\\', c]),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
    out
}

fn checked(name: &str) -> Result<&str, &'static str> {
    is_name(name, true).then_some(name).ok_or("a name that is none")
}

/// Whether a name may stand in the text: letters, digits and underscores; for metrics colons too.
fn is_name(name: &str, metric: bool) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || (metric && byte == b':');
    name.bytes().all(fits) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = r#"# HELP c a\\b\nc
# TYPE c counter
c{b="y\"\\\n",a="x"} 1.5
c{a="z"} 2
# HELP h 
# TYPE h histogram
h_bucket{s="200",le="0.5"} 1
h_bucket{s="200",le="+Inf"} 2
h_sum{s="200"} 1.25
h_count{s="200"} 2
# HELP s 
# TYPE s summary
s{quantile="0.5"} NaN
s_sum 0
s_count 0
# HELP u 
# TYPE u untyped
u -1e+09
"#;

    #[test]
    fn what_is_read_is_written_again() {
        let families = Families::parse(TEXT).unwrap();
        let expected = TEXT.replace(r#"{b="y\"\\\n",a="x"}"#, r#"{a="x",b="y\"\\\n"}"#);
        assert_eq!(families.to_string(), expected);
    }

    #[test]
    fn other_ways_to_write_the_same() {
        let text = "u { a = \"x\" , } 1 1395066363000\r\n\n  #comment\n# EOF\n#\tTYPE x gauge\nx\t+Inf\nx 3\nx_sum 1";
        let families = Families::parse(text).unwrap();
        let expected = "# HELP u \n# TYPE u untyped\nu{a=\"x\"} 1\n# HELP x \n# TYPE x gauge\nx +Inf\n\
                        # HELP x_sum \n# TYPE x_sum untyped\nx_sum 1\n";
        assert_eq!(families.to_string(), expected);
    }

    #[test]
    fn rubbish_is_refused_with_its_line() {
        let cases = [
            "a",
            "a b",
            "a{",
            "a{x}",
            "a{x=\"1\"",
            "a{x=\"1\" y=\"2\"} 1",
            "a{x=\"1\",x=\"2\"} 1",
            "a{x=1} 1",
            "a{x=\"1} 1",
            "a{=\"1\"} 1",
            "a{1x=\"1\"} 1",
            "1a 1",
            "ü 1",
            "# TYPE a nothing",
            "# TYPE a-b counter",
            "# TYPE a histogram\na 1",
            "# TYPE a histogram\na_bucket 1",
            "# TYPE a histogram\na_bucket{le=\"x\"} 1",
            "# TYPE a histogram\na_bucket{le=\"NaN\"} 1",
            "# TYPE a histogram\na_bucket{le=\"1\",le=\"2\"} 1",
            "# TYPE a summary\na 1",
            "a 1\n# TYPE a counter",
            "<html>",
        ];
        for text in cases {
            let error = Families::parse(text).unwrap_err();
            assert_eq!(error.line, text.lines().count(), "{text}: {error}");
        }
        let many = "a 1\n".repeat(MOST_SAMPLES + 1);
        assert_eq!(Families::parse(&many).unwrap_err().reason, "too many samples");
    }

    proptest! {
        #[test]
        fn any_text_is_judged_and_what_is_read_reads_back(
            lines in prop::collection::vec("(# (TYPE|HELP) )?[a-b]{1,2}(_sum|_bucket)?[ {]?([a-c]{1,2}=\"\\PC{0,4}\",?)?[}]? ?(counter|histogram|summary|[0-9.e+-]{1,6})?", 0..12),
        ) {
            let text = lines.join("\n");
            if let Ok(families) = Families::parse(&text) {
                let again = Families::parse(&families.to_string()).unwrap();
                prop_assert_eq!(again.to_string(), families.to_string());
            }
        }

        #[test]
        fn what_is_read_of_histograms_and_summaries_reads_back(
            lines in prop::collection::vec("(# TYPE [ab](_sum)? (histogram|summary|gauge))|([ab](_sum|_bucket|_count|_sum_sum)?\\{(le|quantile)=\"(-?0|1|inf|-?nan)\"(,[a-c]=\"x\")?\\} [0-2])", 0..12),
        ) {
            let text = lines.join("\n");
            if let Ok(families) = Families::parse(&text) {
                let again = Families::parse(&families.to_string()).unwrap();
                prop_assert_eq!(again.to_string(), families.to_string());
            }
        }

        #[test]
        fn any_bytes_are_judged_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Families::parse(&String::from_utf8_lossy(&bytes));
        }
    }
}
