//! PTX text to tokens.

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// a name, with `%` or `$` if it has one
    Name(String),
    /// `.name`, without the dot; `::` is part of it
    Dotted(String),
    Integer(u64),
    /// bits
    F32(u32),
    /// bits
    F64(u64),
    Text(String),
    /// any other character
    Symbol(char),
}

/// Tokens with the line that each begins on, from 1.
pub fn tokens(source: &str) -> Result<Vec<(Token, u32)>, String> {
    let mut lexer = Lexer { source, at: 0, line: 1 };
    let mut found = Vec::new();
    while let Some(c) = lexer.skip_to_token() {
        let line = lexer.line;
        let token = lexer.token(c).map_err(|e| format!("PTX line {line}: {e}"))?;
        found.push((token, line));
    }
    Ok(found)
}

struct Lexer<'a> {
    source: &'a str,
    /// byte
    at: usize,
    line: u32,
}

fn starts_name(c: u8) -> bool {
    c.is_ascii_alphabetic() || matches!(c, b'_' | b'$' | b'%')
}

fn continues_name(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'_' | b'$')
}

impl<'a> Lexer<'a> {
    fn byte(&self, ahead: usize) -> Option<u8> {
        self.source.as_bytes().get(self.at + ahead).copied()
    }

    /// Past bytes that fit, of which there may be none: those bytes.
    fn take_while(&mut self, fits: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        while self.byte(0).is_some_and(&fits) {
            self.at += 1;
        }
        // callers take ASCII only, so both ends lie between characters
        self.source.get(start..self.at).unwrap_or("")
    }

    fn skip_lines_until(&mut self, ends: impl Fn(&Self) -> bool) {
        while let (Some(c), false) = (self.byte(0), ends(self)) {
            self.line += (c == b'\n') as u32;
            self.at += 1;
        }
    }

    /// Past space and comments: the first byte of the next token.
    fn skip_to_token(&mut self) -> Option<u8> {
        loop {
            match (self.byte(0)?, self.byte(1)) {
                (b'/', Some(b'/')) => {
                    self.take_while(|c| c != b'\n');
                }
                (b'/', Some(b'*')) => {
                    self.at += 2;
                    self.skip_lines_until(|l| (l.byte(0), l.byte(1)) == (Some(b'*'), Some(b'/')));
                    self.at += 2;
                }
                (c, _) if c.is_ascii_whitespace() || c == 0 => {
                    self.line += (c == b'\n') as u32;
                    self.at += 1;
                }
                (c, _) => return Some(c),
            }
        }
    }

    fn token(&mut self, c: u8) -> Result<Token, String> {
        let dotted = self.byte(1).is_some_and(|c| c.is_ascii_alphabetic() || c == b'_');
        Ok(match c {
            b'"' => Token::Text(self.text()),
            b'.' if dotted => Token::Dotted(self.dotted()),
            c if starts_name(c) => {
                let start = self.at;
                self.at += 1;
                self.take_while(continues_name);
                Token::Name(self.source[start..self.at].to_string())
            }
            c if c.is_ascii_digit() => return self.number(),
            _ => {
                let c = self.source[self.at..].chars().next().expect("a byte is left");
                self.at += c.len_utf8();
                Token::Symbol(c)
            }
        })
    }

    fn text(&mut self) -> String {
        self.at += 1;
        let start = self.at;
        self.skip_lines_until(|l| l.byte(0) == Some(b'"'));
        let text = self.source[start..self.at].to_string();
        self.at += 1;
        text
    }

    fn dotted(&mut self) -> String {
        self.at += 1;
        let start = self.at;
        loop {
            self.take_while(continues_name);
            if (self.byte(0), self.byte(1)) != (Some(b':'), Some(b':')) {
                return self.source[start..self.at].to_string();
            }
            self.at += 2;
        }
    }

    fn number(&mut self) -> Result<Token, String> {
        let prefix = match (self.byte(0), self.byte(1)) {
            (Some(b'0'), Some(c)) => c.to_ascii_lowercase(),
            _ => 0,
        };
        let radix = |digits: &str, radix| {
            u64::from_str_radix(digits, radix).map_err(|e| format!("number '{digits}': {e}"))
        };
        let token = match prefix {
            b'f' | b'd' => {
                self.at += 2;
                let digits = self.take_while(|c| c.is_ascii_hexdigit());
                let wanted = if prefix == b'f' { 8 } else { 16 };
                if digits.len() != wanted {
                    return Err(format!("a number of {wanted} hexadecimal digits has '{digits}'"));
                }
                let bits = radix(digits, 16)?;
                return Ok(if prefix == b'f' { Token::F32(bits as u32) } else { Token::F64(bits) });
            }
            b'x' => {
                self.at += 2;
                radix(self.take_while(|c| c.is_ascii_hexdigit()), 16)?
            }
            b'b' => {
                self.at += 2;
                radix(self.take_while(|c| matches!(c, b'0' | b'1')), 2)?
            }
            _ => match self.decimal()? {
                Token::Integer(v) => v,
                float => return Ok(float),
            },
        };
        if self.byte(0) == Some(b'U') {
            self.at += 1;
        }
        Ok(Token::Integer(token))
    }

    /// A decimal or octal integer, or a decimal fraction.
    fn decimal(&mut self) -> Result<Token, String> {
        let start = self.at;
        let digits = self.take_while(|c| c.is_ascii_digit());
        let mut is_float = false;
        if self.byte(0) == Some(b'.') && self.byte(1).is_some_and(|c| c.is_ascii_digit()) {
            is_float = true;
            self.at += 1;
            self.take_while(|c| c.is_ascii_digit());
        }
        if matches!(self.byte(0), Some(b'e' | b'E')) {
            is_float = true;
            self.at += 1;
            if matches!(self.byte(0), Some(b'-' | b'+')) {
                self.at += 1;
            }
            self.take_while(|c| c.is_ascii_digit());
        }
        let text = &self.source[start..self.at];
        if is_float {
            let v: f64 = text.parse().map_err(|_| format!("number '{text}'"))?;
            return Ok(Token::F64(v.to_bits()));
        }
        let (digits, radix) = match digits.strip_prefix('0') {
            Some(octal) if !octal.is_empty() => (octal, 8),
            _ => (digits, 10),
        };
        let v = u64::from_str_radix(digits, radix).map_err(|e| format!("number '{text}': {e}"))?;
        Ok(Token::Integer(v))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(source: &str) -> Result<Vec<Token>, String> {
        Ok(tokens(source)?.into_iter().map(|(t, _)| t).collect())
    }

    #[test]
    fn numbers() {
        let read = one("0x1fU 017 0b101 12 0f3F800000 0d3ff0000000000000 1.5e-1 0 8.0").unwrap();
        let want = [
            Token::Integer(31),
            Token::Integer(15),
            Token::Integer(5),
            Token::Integer(12),
            Token::F32(1f32.to_bits()),
            Token::F64(1f64.to_bits()),
            Token::F64(0.15f64.to_bits()),
            Token::Integer(0),
            Token::F64(8f64.to_bits()),
        ];
        assert_eq!(read, want);
    }

    #[test]
    fn numbers_that_are_none() {
        for source in ["0x", "0b2", "0f12", "09", "99999999999999999999", "1e", "1.5e+"] {
            assert!(tokens(source).is_err(), "{source}");
        }
    }

    #[test]
    fn lines_and_unfinished_comments() {
        let lines = |s: &str| -> Vec<u32> { tokens(s).unwrap().iter().map(|t| t.1).collect() };
        assert_eq!(lines("a\n/* \n */ b // c\n\"x\ny\" .d::e é"), [1, 3, 4, 5, 5]);
        assert_eq!(lines("a /* b"), [1]);
        assert_eq!(lines("a /"), [1, 1]);
        assert_eq!(one("\"a").unwrap(), [Token::Text("a".into())]);
    }
}
