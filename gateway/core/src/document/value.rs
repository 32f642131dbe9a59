//! Values inside of items: lib0's `Any` (`readAny`) and JSON. They are walked to find their ends, and never decoded.
//! Nothing here recurses: how deep a value may nest is counted, and only so that clients survive reading it.

use super::refused::Refused;
use crate::lib0::Reader;

/// Arrays and maps in each other, at most. lib0 reads and JavaScript writes them by recursion.
pub(super) const MAX_DEPTH: usize = 512;

/// The kind of a value, by its first byte.
pub(super) const MAP: u8 = 118;
pub(super) const STRING: u8 = 119;

/// Walks over one value.
pub(super) fn skip_any(reader: &mut Reader<'_>) -> Result<(), Refused> {
    // What is still to come of each open array or map; a map's values have a key in front.
    let mut open: Vec<(u64, bool)> = Vec::new();
    loop {
        match reader.byte()? {
            // undefined, null, false, true
            127 | 126 | 121 | 120 => {}
            // integer
            125 => drop(reader.var_int()?),
            // float32
            124 => drop(reader.bytes(4)?),
            // float64, bigint
            123 | 122 => drop(reader.bytes(8)?),
            STRING => drop(reader.var_str()?),
            MAP => open.push((reader.var_uint()?, true)),
            // array
            117 => open.push((reader.var_uint()?, false)),
            // Uint8Array
            116 => drop(reader.var_bytes()?),
            other => return Err(Refused::UnknownValue(other)),
        }
        if open.len() > MAX_DEPTH {
            return Err(Refused::TooDeep);
        }
        while open.pop_if(|(left, _)| *left == 0).is_some() {}
        let Some((left, keyed)) = open.last_mut() else { return Ok(()) };
        *left -= 1;
        if *keyed {
            reader.var_str()?;
        }
    }
}

/// Walks over one string that is JSON as `JSON.parse` takes it.
pub(super) fn skip_json(reader: &mut Reader<'_>) -> Result<(), Refused> {
    let text = reader.var_str()?.as_bytes();
    let mut json = Json { text, at: 0 };
    match json.whole() {
        Some(Nesting::Fits) if json.at == text.len() => Ok(()),
        Some(Nesting::TooDeep) => Err(Refused::TooDeep),
        _ => Err(Refused::NotJson),
    }
}

enum Nesting {
    Fits,
    TooDeep,
}

/// A walk over the grammar of RFC 8259. None: the text is not JSON.
struct Json<'a> {
    text: &'a [u8],
    at: usize,
}

impl Json<'_> {
    fn whole(&mut self) -> Option<Nesting> {
        // The closing brackets that are due, innermost last.
        let mut open: Vec<u8> = Vec::new();
        loop {
            self.space();
            match self.peek()? {
                bracket @ (b'{' | b'[') => {
                    self.at += 1;
                    let close = bracket + 2;
                    self.space();
                    if self.peek()? != close {
                        if open.len() == MAX_DEPTH {
                            return Some(Nesting::TooDeep);
                        }
                        open.push(close);
                        if close == b'}' {
                            self.key()?;
                        }
                        continue;
                    }
                    self.at += 1;
                }
                b'"' => self.string()?,
                b'-' | b'0'..=b'9' => self.number()?,
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => return None,
            }
            loop {
                self.space();
                let Some(&close) = open.last() else { return Some(Nesting::Fits) };
                match self.next()? {
                    b',' => {
                        if close == b'}' {
                            self.space();
                            self.key()?;
                        }
                        break;
                    }
                    byte if byte == close => drop(open.pop()),
                    _ => return None,
                }
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        let found = self.text[self.at..].starts_with(word);
        self.at += word.len();
        found.then_some(())
    }

    fn key(&mut self) -> Option<()> {
        self.string()?;
        self.space();
        (self.next()? == b':').then_some(())
    }

    fn string(&mut self) -> Option<()> {
        if self.next()? != b'"' {
            return None;
        }
        loop {
            match self.next()? {
                b'"' => return Some(()),
                b'\\' => match self.next()? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                    b'u' => {
                        for _ in 0..4 {
                            self.next()?.is_ascii_hexdigit().then_some(())?;
                        }
                    }
                    _ => return None,
                },
                0..=0x1f => return None,
                _ => {}
            }
        }
    }

    fn digits(&mut self) -> Option<()> {
        let from = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        (self.at > from).then_some(())
    }

    fn number(&mut self) -> Option<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek()? == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lib0::write_var_string;

    fn json(text: &str) -> Result<(), Refused> {
        let mut bytes = Vec::new();
        write_var_string(&mut bytes, text);
        skip_json(&mut Reader::new(&bytes))
    }

    #[test]
    fn json_is_what_json_parse_takes() {
        for text in [
            "null",
            " true ",
            "false",
            "0",
            "-0",
            "12.5e-3",
            "1E9",
            "9223372036854775808",
            "\"\\ud83d\"",
            "\"a\\\\\"",
            "[]",
            "[1,[ ] , {}]",
            "{\"a\":{\"b\":[null]},\"c\":\"\"}",
            "\"\u{1f600}\"",
            "{}",
        ] {
            assert_eq!(json(text), Ok(()), "{text}");
        }
        for text in [
            "",
            "undefined",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "nul",
            "[1,]",
            "[,1]",
            "{\"a\"}",
            "{\"a\":1,}",
            "{a:1}",
            "\"\t\"",
            "\"\\x41\"",
            "\"\\u12g4\"",
            "[}",
            "[1",
            "{} {}",
            "'a'",
            "\"a",
            "]",
            "[1]]",
            "NaN",
        ] {
            assert_eq!(json(text), Err(Refused::NotJson), "{text}");
        }
    }

    #[test]
    fn values_may_nest_so_deep_and_no_deeper() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(json(&nested(MAX_DEPTH)), Ok(()));
        assert_eq!(json(&nested(MAX_DEPTH + 2)), Err(Refused::TooDeep));
        let any = |depth: usize| [[117, 1].repeat(depth), vec![126]].concat();
        assert_eq!(skip_any(&mut Reader::new(&any(MAX_DEPTH))), Ok(()));
        assert_eq!(skip_any(&mut Reader::new(&any(MAX_DEPTH + 1))), Err(Refused::TooDeep));
    }

    #[test]
    fn a_value_ends_where_it_ends() {
        let cases: &[&[u8]] = &[
            &[127],
            &[125, 5],
            &[124, 0, 0, 0, 0],
            &[122, 0, 0, 0, 0, 0, 0, 0, 1],
            &[119, 1, b'x'],
            &[116, 2, 1, 2],
            &[118, 0],
            &[117, 0],
            &[118, 2, 1, b'a', 117, 1, 126, 1, b'b', 118, 0],
            &[117, 2, 117, 0, 120],
        ];
        for value in cases {
            let bytes = [value, &[0xff; 3][..]].concat();
            let mut reader = Reader::new(&bytes);
            assert_eq!(skip_any(&mut reader), Ok(()), "{value:?}");
            assert_eq!(reader.remaining(), 3, "{value:?}");
            assert!(skip_any(&mut Reader::new(&value[..value.len() - 1])).is_err(), "{value:?}");
        }
        assert_eq!(skip_any(&mut Reader::new(&[115])), Err(Refused::UnknownValue(115)));
    }
}
