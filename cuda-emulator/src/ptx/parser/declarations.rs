//! Variables and their initial values.

use super::{MAX_DEPTH, Parser, Result};
use crate::ptx::lexer::Token;
use crate::ptx::syntax::{Initializer, Variable};
use crate::ptx::types::{Space, size_of};

/// No device has more memory. Sums of a few such numbers fit into 64 bits.
const MAX_SIZE: u64 = 1 << 40;
const MAX_ALIGN: u64 = 1 << 16;

impl Parser<'_> {
    /// What follows the space: attributes, type, name, dimensions, initial value.
    pub(super) fn variable(&mut self, space: Space, is_extern: bool) -> Result<Variable> {
        let (mut align, mut ty, mut components) = (0, String::new(), 1);
        while let Some(attribute) = self.eat_dotted() {
            match attribute.as_str() {
                "align" => {
                    align = self.integer()?;
                    if !align.is_power_of_two() || align > MAX_ALIGN {
                        return self.error(&format!("an alignment of {align}"));
                    }
                }
                "ptr" | "global" | "const" | "shared" | "local" => {}
                "v2" => components = 2,
                "v4" => components = 4,
                "attribute" => {
                    if self.eat('(') {
                        self.skip_past(')');
                    }
                }
                name if size_of(name).is_some() => ty = attribute,
                name => return self.error(&format!("variable attribute .{name} not supported")),
            }
        }
        let name = self.name()?;
        let Some(element @ 1..) = size_of(&ty) else {
            return self.error(&format!("variable {name} of type .{ty}"));
        };
        let (mut size, mut is_unsized) = (element * components, false);
        while self.eat('[') {
            if self.eat(']') {
                is_unsized = true;
                continue;
            }
            let count = self.integer()?;
            size = match size.checked_mul(count) {
                Some(size) if size <= MAX_SIZE => size,
                _ => return self.error(&format!("variable {name} is too large")),
            };
            self.expect(']')?;
        }
        let mut init = Vec::new();
        if self.eat('=') {
            self.initializer(&mut init, 0)?;
        }
        let init_size = element * init.len() as u64;
        if is_unsized {
            size = init_size;
        } else if init_size > size {
            return self.error(&format!("{init_size} initial bytes for the {size} of {name}"));
        }
        if element > 8 && !init.is_empty() {
            return self.error("an initial value of 128 bits");
        }
        let align = if align == 0 { element * components } else { align };
        Ok(Variable { space, name, align, element, size, is_extern, init, ty })
    }

    fn initializer(&mut self, out: &mut Vec<Initializer>, depth: u32) -> Result<()> {
        if depth > MAX_DEPTH {
            return self.error("too many braces");
        }
        if self.eat('{') {
            while !self.eat('}') {
                self.initializer(out, depth + 1)?;
                self.eat(',');
            }
            return Ok(());
        }
        if self.is_symbol('-') {
            out.push(Initializer::Integer(self.integer()?));
            return Ok(());
        }
        out.push(match self.next()? {
            Token::Integer(v) => Initializer::Integer(v),
            Token::F32(v) => Initializer::F32(v),
            Token::F64(v) => Initializer::F64(v),
            // generic(name + offset) + offset, or without `generic`
            Token::Name(mut name) => {
                let mut offset = 0i64;
                if self.eat('(') {
                    name = self.name()?;
                    offset = self.offset()?;
                    self.expect(')')?;
                }
                Initializer::Symbol(name, offset.wrapping_add(self.offset()?))
            }
            t => return self.error(&format!("bad initial value {t:?}")),
        });
        Ok(())
    }

    /// `+ number`, or nothing.
    fn offset(&mut self) -> Result<i64> {
        if self.eat('+') { Ok(self.integer()? as i64) } else { Ok(0) }
    }
}
