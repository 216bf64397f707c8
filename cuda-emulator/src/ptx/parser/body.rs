//! Bodies of functions: statements, their operands, and declarations among them.

use super::{MAX_DEPTH, Parser, Result};
use crate::ptx::lexer::Token;
use crate::ptx::syntax::{Line, Operand, Statement};
use crate::ptx::types::Space;

/// More registers of one declaration than any compiler writes.
const MAX_REGISTERS: u32 = 1 << 18;

impl Parser<'_> {
    /// What follows the opening brace, to the brace that closes it.
    pub(super) fn body(&mut self) -> Result<Vec<Line>> {
        let mut lines = Vec::new();
        let mut depth = 0;
        loop {
            match self.peek().cloned() {
                None => return self.error("a body without end"),
                Some(Token::Symbol('}')) => {
                    self.at += 1;
                    if depth == 0 {
                        return Ok(lines);
                    }
                    depth -= 1;
                    lines.push(Line::Close);
                }
                Some(Token::Symbol('{')) => {
                    self.at += 1;
                    depth += 1;
                    lines.push(Line::Open);
                }
                Some(Token::Symbol(';')) => self.at += 1,
                Some(Token::Symbol('@')) => {
                    self.at += 1;
                    let negated = self.eat('!');
                    let guard = self.name()?;
                    lines.push(Line::Statement(self.statement(Some((guard, negated)))?));
                }
                Some(Token::Name(name)) => {
                    let colon = self.tokens.get(self.at + 1).map(|t| &t.0);
                    if colon == Some(&Token::Symbol(':')) {
                        self.at += 2;
                        lines.extend(self.label(name)?);
                    } else {
                        lines.push(Line::Statement(self.statement(None)?));
                    }
                }
                Some(Token::Dotted(directive)) => {
                    self.at += 1;
                    lines.extend(self.body_directive(&directive)?);
                }
                Some(t) => return self.error(&format!("unexpected {t:?}")),
            }
        }
    }

    /// What a label names: a place, or a table of targets.
    fn label(&mut self, name: String) -> Result<Option<Line>> {
        let directive = match self.peek() {
            Some(Token::Dotted(d)) => d.as_str(),
            _ => return Ok(Some(Line::Label(name))),
        };
        match directive {
            "branchtargets" => {
                self.at += 1;
                let mut targets = vec![];
                while !self.eat(';') {
                    targets.push(self.name()?);
                    self.eat(',');
                }
                Ok(Some(Line::BranchTargets(name, targets)))
            }
            // of indirect calls, which are refused where they are
            "callprototype" | "calltargets" => {
                self.skip_past(';');
                Ok(None)
            }
            _ => Ok(Some(Line::Label(name))),
        }
    }

    fn body_directive(&mut self, name: &str) -> Result<Option<Line>> {
        Ok(match name {
            "reg" => Some(self.registers()?),
            "local" | "shared" | "param" | "const" | "global" => {
                let variable = self.variable(Space::of_directive(name), false)?;
                self.expect(';')?;
                Some(Line::Variable(variable))
            }
            "extern" => {
                let Some(space) = self.eat_dotted() else { return self.error("bad .extern") };
                let variable = self.variable(Space::of_directive(&space), true)?;
                self.expect(';')?;
                Some(Line::Variable(variable))
            }
            "loc" => {
                self.location()?;
                None
            }
            "pragma" => {
                self.pragma();
                None
            }
            _ => return self.error(&format!("unknown directive .{name} in a body")),
        })
    }

    fn registers(&mut self) -> Result<Line> {
        let mut ty = String::new();
        while let Some(attribute) = self.eat_dotted() {
            if attribute.starts_with('v') {
                return self.error("vector registers not supported");
            }
            ty = attribute;
        }
        let mut names = vec![];
        loop {
            let name = self.name()?;
            let mut count = None;
            if self.eat('<') {
                let n = self.integer_u32()?;
                if n > MAX_REGISTERS {
                    return self.error(&format!("{n} registers, at most {MAX_REGISTERS}"));
                }
                count = Some(n);
                self.expect('>')?;
            }
            names.push((name, count));
            if !self.eat(',') {
                break;
            }
        }
        self.expect(';')?;
        Ok(Line::Registers { ty, names })
    }

    /// `.loc file line column`, and where it was inlined.
    fn location(&mut self) -> Result<()> {
        self.source = (self.integer_u32()?, self.integer_u32()?);
        self.integer()?;
        while self.eat(',') {
            match self.name()?.as_str() {
                "function_name" => {
                    self.name()?;
                    if self.eat('+') {
                        self.integer()?;
                    }
                }
                "inlined_at" => {
                    for _ in 0..3 {
                        self.integer()?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The one pragma that matters says which bytes of a widened load are used.
    fn pragma(&mut self) {
        if let Some(Token::Text(text)) = self.peek()
            && let Some(mask) = text.strip_prefix("used_bytes_mask")
        {
            let mask = mask.trim();
            let value = match mask.strip_prefix("0x") {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => mask.parse(),
            };
            self.used_bytes = value.unwrap_or(!0);
        }
        self.skip_past(';');
    }

    fn statement(&mut self, guard: Option<(String, bool)>) -> Result<Statement> {
        let line = self.line();
        let opcode = self.name()?;
        let mut modifiers = Vec::new();
        while let Some(modifier) = self.eat_dotted() {
            modifiers.push(modifier);
        }
        let mut operands = Vec::new();
        while !self.eat(';') {
            operands.push(self.operand(0)?);
            if !self.eat(',') && !self.is_symbol(';') {
                return self.error("expected ',' or ';'");
            }
        }
        let used_bytes = std::mem::replace(&mut self.used_bytes, !0);
        Ok(Statement { guard, opcode, modifiers, operands, line, source: self.source, used_bytes })
    }

    fn operand(&mut self, depth: u32) -> Result<Operand> {
        if depth > MAX_DEPTH {
            return self.error("too many brackets");
        }
        if self.eat('{') {
            return Ok(Operand::Vector(self.operands('}', depth)?));
        }
        if self.eat('(') {
            return Ok(Operand::List(self.operands(')', depth)?));
        }
        if self.eat('[') {
            return self.address();
        }
        if self.eat('!') {
            return Ok(Operand::Not(self.name()?));
        }
        if self.eat('-') {
            return Ok(match self.next()? {
                Token::Integer(v) => Operand::Integer(v.wrapping_neg()),
                Token::F32(v) => Operand::F32(v ^ 1 << 31),
                Token::F64(v) => Operand::F64(v ^ 1 << 63),
                _ => return self.error("bad negative operand"),
            });
        }
        let mut name = match self.peek().cloned() {
            Some(Token::Name(name)) => name,
            Some(Token::Integer(v)) => {
                self.at += 1;
                return Ok(Operand::Integer(v));
            }
            Some(Token::F32(v)) => {
                self.at += 1;
                return Ok(Operand::F32(v));
            }
            Some(Token::F64(v)) => {
                self.at += 1;
                return Ok(Operand::F64(v));
            }
            _ => return self.error("bad operand"),
        };
        self.at += 1;
        if let (true, Some(Token::Dotted(axis))) = (name.starts_with('%'), self.peek())
            && matches!(axis.as_str(), "x" | "y" | "z" | "w")
        {
            name = format!("{name}.{axis}");
            self.at += 1;
        }
        if self.eat('|') {
            let second = self.operand(depth + 1)?;
            return Ok(Operand::Pair(Box::new(Operand::Name(name)), Box::new(second)));
        }
        if self.eat('+') {
            return Ok(Operand::Symbol(name, self.integer()? as i64));
        }
        Ok(Operand::Name(name))
    }

    fn operands(&mut self, end: char, depth: u32) -> Result<Vec<Operand>> {
        let mut all = Vec::new();
        while !self.eat(end) {
            all.push(self.operand(depth + 1)?);
            self.eat(',');
        }
        Ok(all)
    }

    /// What follows the bracket of an address.
    fn address(&mut self) -> Result<Operand> {
        let (base, mut offset) = match self.next()? {
            Token::Name(name) => (Some(name), 0),
            Token::Integer(v) => (None, v as i64),
            _ => return self.error("bad address"),
        };
        loop {
            if self.eat('+') || self.is_symbol('-') {
                offset = offset.wrapping_add(self.integer()? as i64);
            } else {
                break;
            }
        }
        if !self.eat(']') {
            return self.error("unsupported address form");
        }
        Ok(Operand::Address(base, offset))
    }
}
