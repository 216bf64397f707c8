//! Tokens to a module. Knows the grammar, not the instructions.

mod body;
mod declarations;

use super::lexer::{Token, tokens};
use super::syntax::{ClusterDirectives, Function, Module};
use super::types::Space;

/// Brackets within brackets; PTX needs three.
const MAX_DEPTH: u32 = 32;

pub fn parse(source: &str) -> Result<Module> {
    let tokens = tokens(source)?;
    let mut parser = Parser { tokens: &tokens, at: 0, source: (0, 0), used_bytes: !0 };
    let mut module = Module::default();
    while let Some(token) = parser.peek().cloned() {
        match token {
            Token::Symbol(';') => parser.at += 1,
            Token::Dotted(directive) => {
                parser.at += 1;
                parser.directive(&directive, &mut module)?;
            }
            t => return parser.error(&format!("unexpected {t:?} at module level")),
        }
    }
    Ok(module)
}

struct Parser<'a> {
    tokens: &'a [(Token, u32)],
    at: usize,
    /// the last `.loc`
    source: (u32, u32),
    /// the last `.pragma "used_bytes_mask"`, for the next statement
    used_bytes: u32,
}

type Result<T> = std::result::Result<T, String>;

// What every rule is made of.
impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|t| &t.0)
    }

    /// The name of the directive that comes next, if one does, and past it.
    fn eat_dotted(&mut self) -> Option<String> {
        let Some(Token::Dotted(name)) = self.peek().cloned() else { return None };
        self.at += 1;
        Some(name)
    }

    fn line(&self) -> u32 {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(0, |t| t.1)
    }

    fn error<T>(&self, what: &str) -> Result<T> {
        let here = match self.peek() {
            Some(token) => format!("at {token:?}"),
            None => "at the end".into(),
        };
        Err(format!("PTX line {}: {what} ({here})", self.line()))
    }

    fn next(&mut self) -> Result<Token> {
        match self.peek().cloned() {
            Some(token) => {
                self.at += 1;
                Ok(token)
            }
            None => self.error("the text ends too early"),
        }
    }

    fn is_symbol(&self, c: char) -> bool {
        self.peek() == Some(&Token::Symbol(c))
    }

    fn eat(&mut self, c: char) -> bool {
        let there = self.is_symbol(c);
        self.at += there as usize;
        there
    }

    fn expect(&mut self, c: char) -> Result<()> {
        if self.eat(c) { Ok(()) } else { self.error(&format!("expected '{c}'")) }
    }

    fn name(&mut self) -> Result<String> {
        match self.peek().cloned() {
            Some(Token::Name(name)) => {
                self.at += 1;
                Ok(name)
            }
            _ => self.error("expected a name"),
        }
    }

    fn integer(&mut self) -> Result<u64> {
        let negative = self.eat('-');
        match self.peek() {
            Some(&Token::Integer(v)) => {
                self.at += 1;
                Ok(if negative { v.wrapping_neg() } else { v })
            }
            _ => self.error("expected an integer"),
        }
    }

    fn integer_u32(&mut self) -> Result<u32> {
        let v = self.integer()?;
        u32::try_from(v).or_else(|_| self.error(&format!("{v} is too large")))
    }

    fn skip_past(&mut self, c: char) {
        while self.at < self.tokens.len() && !self.eat(c) {
            self.at += 1;
        }
    }
}

// The module level.
impl Parser<'_> {
    fn directive(&mut self, name: &str, module: &mut Module) -> Result<()> {
        match name {
            "version" => module.version = self.version()?,
            "target" => {
                module.target = self.name()?;
                while self.eat(',') {
                    self.name()?;
                }
            }
            "address_size" => {
                if self.integer()? != 64 {
                    return self.error("only 64-bit addresses");
                }
            }
            "visible" | "weak" | "common" => {}
            "extern" => match self.eat_dotted().as_deref() {
                Some("func") => module.functions.push(self.function(false)?),
                Some("entry") => module.functions.push(self.function(true)?),
                Some(space) => {
                    module.variables.push(self.variable(Space::of_directive(space), true)?);
                    self.expect(';')?;
                }
                None => return self.error("bad .extern"),
            },
            "global" | "const" | "shared" => {
                module.variables.push(self.variable(Space::of_directive(name), false)?);
                self.expect(';')?;
            }
            "entry" => module.functions.push(self.function(true)?),
            "func" => module.functions.push(self.function(false)?),
            "file" => {
                let number = self.integer_u32()?;
                if let Token::Text(name) = self.next()? {
                    module.files.push((number, name));
                }
                while self.eat(',') {
                    self.integer()?;
                }
            }
            "section" => self.section()?,
            "pragma" | "alias" => self.skip_past(';'),
            _ => return self.error(&format!("unknown directive .{name}")),
        }
        Ok(())
    }

    fn version(&mut self) -> Result<(u32, u32)> {
        match self.next()? {
            Token::F64(v) => {
                let v = f64::from_bits(v);
                if v < 1000.0 {
                    let tenths = (v * 10.0).round() as u32;
                    return Ok((tenths / 10, tenths % 10));
                }
            }
            Token::Integer(v) if v < 1000 => return Ok((v as u32, 0)),
            _ => {}
        }
        self.error("bad .version")
    }

    /// `.section name { ... }`, debug information that is not read.
    fn section(&mut self) -> Result<()> {
        while !self.is_symbol('{') {
            self.next()?;
        }
        let mut depth = 0u32;
        loop {
            match self.next()? {
                Token::Symbol('{') => depth += 1,
                Token::Symbol('}') => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
    }

    fn function(&mut self, is_entry: bool) -> Result<Function> {
        while let Some(directive) = self.eat_dotted() {
            // .attribute(.unified) and the like
            if directive == "attribute" {
                self.skip_past(')');
            }
        }
        let returns = self.params()?;
        let mut function = Function {
            name: self.name()?,
            is_entry,
            returns,
            params: self.params()?,
            body: None,
            max_threads: [0; 3],
            exact_threads: false,
            cluster: ClusterDirectives::default(),
        };
        loop {
            if let Some(directive) = self.eat_dotted() {
                self.function_directive(&directive, &mut function)?;
            } else if self.eat(';') {
                return Ok(function);
            } else if self.eat('{') {
                function.body = Some(self.body()?);
                return Ok(function);
            } else {
                return self.error("bad function header");
            }
        }
    }

    fn params(&mut self) -> Result<Vec<super::syntax::Variable>> {
        let mut params = vec![];
        if !self.eat('(') {
            return Ok(params);
        }
        while !self.eat(')') {
            match self.eat_dotted().as_deref() {
                Some("param" | "reg") => params.push(self.variable(Space::Param, false)?),
                _ => return self.error("expected .param"),
            }
            self.eat(',');
        }
        Ok(params)
    }

    fn function_directive(&mut self, name: &str, function: &mut Function) -> Result<()> {
        let cluster = &mut function.cluster;
        match name {
            "maxntid" | "reqntid" => {
                function.max_threads = self.dimensions()?;
                function.exact_threads = name == "reqntid";
            }
            "explicitcluster" => cluster.explicit = true,
            "reqnctapercluster" => {
                cluster.required = self.dimensions()?;
                if cluster.required.contains(&0) {
                    return self.error("a cluster of no blocks");
                }
            }
            "maxclusterrank" => cluster.max_blocks = self.integer_u32()?,
            "blocksareclusters" => return self.error(".blocksareclusters not supported"),
            "pragma" => self.skip_past(';'),
            // .noreturn, and .minnctapersm and .maxnreg with their numbers: ptxas cares
            _ => {
                while matches!(self.peek(), Some(Token::Integer(_) | Token::Symbol(','))) {
                    self.at += 1;
                }
            }
        }
        Ok(())
    }

    /// One to three numbers; those left out are 1.
    fn dimensions(&mut self) -> Result<[u32; 3]> {
        let mut dims = [1; 3];
        for dim in &mut dims {
            *dim = self.integer_u32()?;
            if !self.eat(',') {
                break;
            }
        }
        Ok(dims)
    }
}
