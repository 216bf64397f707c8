//! PTX text -> a plain syntax tree. Knows the grammar, not the instructions.

#[derive(Clone, Debug, PartialEq)]
pub enum Tok {
    Id(String),
    Dot(String),
    Int(u64),
    F32(u32),
    F64(u64),
    Str(String),
    P(char),
}

#[derive(Clone, Debug)]
pub enum Opnd {
    /// register, variable, function, label, special register (with .x) or predicate
    Name(String),
    /// `!%p`
    Not(String),
    Int(u64),
    F32(u32),
    F64(u64),
    /// `{a, b, ...}`
    Vec(Vec<Opnd>),
    /// `[base + off]`
    Addr(Option<String>, i64),
    /// `a|b`
    Pair(Box<Opnd>, Box<Opnd>),
    /// `(a, b)` of a call
    List(Vec<Opnd>),
    /// `sym + off`
    SymOff(String, i64),
}

#[derive(Clone, Debug)]
pub struct PInst {
    pub guard: Option<(String, bool)>,
    pub op: String,
    pub mods: Vec<String>,
    pub ops: Vec<Opnd>,
    pub line: u32,
    pub loc: (u32, u32),
    /// bytes of a (widened) load that are really used
    pub used: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sp {
    Global,
    Const,
    Shared,
    Local,
    Param,
}

#[derive(Clone, Debug)]
pub enum Init {
    Int(u64),
    F32(u32),
    F64(u64),
    Sym(String, i64),
}

#[derive(Clone, Debug)]
pub struct Var {
    pub space: Sp,
    pub name: String,
    pub align: u64,
    pub elem: u64,
    pub size: u64,
    pub ext: bool,
    pub init: Vec<Init>,
    pub ty: String,
}

#[derive(Clone, Debug)]
pub enum Stmt {
    Label(String),
    Inst(PInst),
    Reg { ty: String, names: Vec<(String, Option<u32>)> },
    Var(Var),
    Open,
    Close,
    Targets(String, Vec<String>),
}

#[derive(Clone, Debug)]
pub struct Func {
    pub name: String,
    pub entry: bool,
    pub rets: Vec<Var>,
    pub params: Vec<Var>,
    pub body: Option<Vec<Stmt>>,
    pub maxntid: [u32; 3],
    pub reqntid: bool,
    pub cluster: ClusterDecl,
}

/// What a kernel's header says of its cluster.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClusterDecl {
    /// `.reqnctapercluster`; zeros without it
    pub required: [u32; 3],
    /// `.explicitcluster`: a launch has to have a cluster
    pub explicit: bool,
    /// `.maxclusterrank`, the most blocks; 0 without it
    pub most: u32,
}

#[derive(Clone, Debug, Default)]
pub struct Module {
    pub version: (u32, u32),
    pub target: String,
    pub vars: Vec<Var>,
    pub funcs: Vec<Func>,
    pub files: Vec<(u32, String)>,
}

pub struct Lexed {
    toks: Vec<(Tok, u32)>,
}

fn is_id_start(c: u8) -> bool {
    c.is_ascii_alphabetic() || c == b'_' || c == b'$' || c == b'%'
}
fn is_id(c: u8) -> bool {
    c.is_ascii_alphanumeric() || c == b'_' || c == b'$'
}

pub fn lex(s: &str) -> Result<Lexed, String> {
    let b = s.as_bytes();
    let mut i = 0;
    let mut line = 1u32;
    let mut toks = Vec::new();
    while i < b.len() {
        let c = b[i];
        if c == b'\n' {
            line += 1;
            i += 1;
        } else if c.is_ascii_whitespace() || c == 0 {
            i += 1;
        } else if c == b'/' && b.get(i + 1) == Some(&b'/') {
            while i < b.len() && b[i] != b'\n' {
                i += 1;
            }
        } else if c == b'/' && b.get(i + 1) == Some(&b'*') {
            i += 2;
            while i + 1 < b.len() && !(b[i] == b'*' && b[i + 1] == b'/') {
                if b[i] == b'\n' {
                    line += 1;
                }
                i += 1;
            }
            i += 2;
        } else if c == b'"' {
            let st = i + 1;
            i += 1;
            while i < b.len() && b[i] != b'"' {
                if b[i] == b'\n' {
                    line += 1;
                }
                i += 1;
            }
            toks.push((Tok::Str(s[st..i.min(b.len())].to_string()), line));
            i += 1;
        } else if is_id_start(c) {
            let st = i;
            i += 1;
            while i < b.len() && is_id(b[i]) {
                i += 1;
            }
            toks.push((Tok::Id(s[st..i].to_string()), line));
        } else if c == b'.'
            && i + 1 < b.len()
            && (b[i + 1].is_ascii_alphabetic() || b[i + 1] == b'_')
        {
            let st = i + 1;
            i += 1;
            loop {
                if i < b.len() && is_id(b[i]) {
                    i += 1;
                } else if i + 1 < b.len() && b[i] == b':' && b[i + 1] == b':' {
                    i += 2;
                } else {
                    break;
                }
            }
            toks.push((Tok::Dot(s[st..i].to_string()), line));
        } else if c.is_ascii_digit() {
            let st = i;
            let nx = b.get(i + 1).copied().unwrap_or(0);
            if c == b'0' && (nx == b'f' || nx == b'F') {
                i += 2;
                let h = i;
                while i < b.len() && b[i].is_ascii_hexdigit() && i - h < 8 {
                    i += 1;
                }
                toks.push((
                    Tok::F32(u32::from_str_radix(&s[h..i], 16).map_err(|e| e.to_string())?),
                    line,
                ));
            } else if c == b'0' && (nx == b'd' || nx == b'D') {
                i += 2;
                let h = i;
                while i < b.len() && b[i].is_ascii_hexdigit() && i - h < 16 {
                    i += 1;
                }
                toks.push((
                    Tok::F64(u64::from_str_radix(&s[h..i], 16).map_err(|e| e.to_string())?),
                    line,
                ));
            } else if c == b'0' && (nx == b'x' || nx == b'X') {
                i += 2;
                let h = i;
                while i < b.len() && b[i].is_ascii_hexdigit() {
                    i += 1;
                }
                toks.push((
                    Tok::Int(u64::from_str_radix(&s[h..i], 16).map_err(|e| e.to_string())?),
                    line,
                ));
                if i < b.len() && b[i] == b'U' {
                    i += 1;
                }
            } else if c == b'0' && (nx == b'b' || nx == b'B') {
                i += 2;
                let h = i;
                while i < b.len() && (b[i] == b'0' || b[i] == b'1') {
                    i += 1;
                }
                toks.push((
                    Tok::Int(u64::from_str_radix(&s[h..i], 2).map_err(|e| e.to_string())?),
                    line,
                ));
            } else {
                while i < b.len() && b[i].is_ascii_digit() {
                    i += 1;
                }
                let mut fl = false;
                if i + 1 < b.len() && b[i] == b'.' && b[i + 1].is_ascii_digit() {
                    fl = true;
                    i += 1;
                    while i < b.len() && b[i].is_ascii_digit() {
                        i += 1;
                    }
                }
                if i < b.len() && (b[i] == b'e' || b[i] == b'E') {
                    fl = true;
                    i += 1;
                    if b[i] == b'-' || b[i] == b'+' {
                        i += 1;
                    }
                    while i < b.len() && b[i].is_ascii_digit() {
                        i += 1;
                    }
                }
                if fl {
                    let v: f64 =
                        s[st..i].parse().map_err(|_| format!("bad number {}", &s[st..i]))?;
                    toks.push((Tok::F64(v.to_bits()), line));
                } else {
                    let t = &s[st..i];
                    let v = if t.len() > 1 && t.starts_with('0') {
                        u64::from_str_radix(&t[1..], 8).map_err(|e| e.to_string())?
                    } else {
                        t.parse::<u64>().map_err(|e| e.to_string())?
                    };
                    toks.push((Tok::Int(v), line));
                    if i < b.len() && b[i] == b'U' {
                        i += 1;
                    }
                }
            }
        } else {
            toks.push((Tok::P(c as char), line));
            i += 1;
        }
    }
    Ok(Lexed { toks })
}

struct P<'a> {
    t: &'a [(Tok, u32)],
    i: usize,
    loc: (u32, u32),
    used: u32,
    files: Vec<(u32, String)>,
}

pub fn ty_size(t: &str) -> Option<u64> {
    Some(match t {
        "b8" | "u8" | "s8" | "e4m3" | "e5m2" => 1,
        "b16" | "u16" | "s16" | "f16" | "bf16" | "e4m3x2" | "e5m2x2" => 2,
        "b32" | "u32" | "s32" | "f32" | "f16x2" | "bf16x2" | "tf32" | "u16x2" | "s16x2" => 4,
        "b64" | "u64" | "s64" | "f64" | "f32x2" => 8,
        "b128" => 16,
        "pred" => 0,
        _ => return None,
    })
}

impl<'a> P<'a> {
    fn peek(&self) -> Option<&Tok> {
        self.t.get(self.i).map(|x| &x.0)
    }
    fn line(&self) -> u32 {
        self.t.get(self.i.min(self.t.len().saturating_sub(1))).map(|x| x.1).unwrap_or(0)
    }
    fn next(&mut self) -> Result<Tok, String> {
        let r = self.t.get(self.i).map(|x| x.0.clone()).ok_or("unexpected end of PTX")?;
        self.i += 1;
        Ok(r)
    }
    fn err<T>(&self, m: &str) -> Result<T, String> {
        Err(format!("PTX line {}: {} (at {:?})", self.line(), m, self.peek()))
    }
    fn is_p(&self, c: char) -> bool {
        self.peek() == Some(&Tok::P(c))
    }
    fn eat(&mut self, c: char) -> bool {
        if self.is_p(c) {
            self.i += 1;
            true
        } else {
            false
        }
    }
    fn want(&mut self, c: char) -> Result<(), String> {
        if self.eat(c) { Ok(()) } else { self.err(&format!("expected '{c}'")) }
    }
    fn ident(&mut self) -> Result<String, String> {
        match self.next()? {
            Tok::Id(s) => Ok(s),
            _ => {
                self.i -= 1;
                self.err("expected a name")
            }
        }
    }
    fn int(&mut self) -> Result<u64, String> {
        let neg = self.eat('-');
        match self.next()? {
            Tok::Int(v) => Ok(if neg { (v as i64).wrapping_neg() as u64 } else { v }),
            _ => {
                self.i -= 1;
                self.err("expected an integer")
            }
        }
    }
    fn skip_to(&mut self, c: char) {
        while let Some(t) = self.peek() {
            let hit = *t == Tok::P(c);
            self.i += 1;
            if hit {
                break;
            }
        }
    }

    /// after the space directive: attributes, type, name, dims, optional initialiser
    fn var(&mut self, space: Sp, ext: bool) -> Result<Var, String> {
        let mut align = 0;
        let mut ty = String::new();
        let mut vec = 1;
        while let Some(Tok::Dot(d)) = self.peek().cloned() {
            self.i += 1;
            match d.as_str() {
                "align" => align = self.int()?,
                "ptr" | "global" | "const" | "shared" | "local" => {}
                "v2" => vec = 2,
                "v4" => vec = 4,
                "attribute" => {
                    if self.eat('(') {
                        self.skip_to(')');
                    }
                }
                _ => {
                    if ty_size(&d).is_some()
                        || d.starts_with("tex")
                        || d == "samplerref"
                        || d == "surfref"
                    {
                        ty = d;
                    } else {
                        return self.err(&format!("unknown variable attribute .{d}"));
                    }
                }
            }
        }
        let name = self.ident()?;
        let elem = ty_size(&ty)
            .ok_or(format!("PTX line {}: type .{ty} not supported", self.line()))?
            * vec;
        let mut n = 1u64;
        let mut unsized_ = false;
        while self.eat('[') {
            if self.eat(']') {
                unsized_ = true;
                continue;
            }
            n *= self.int()?;
            self.want(']')?;
        }
        let mut init = Vec::new();
        if self.eat('=') {
            self.init(&mut init)?;
        }
        let mut size = if unsized_ { 0 } else { elem * n };
        if unsized_ && !init.is_empty() {
            size = elem * init.len() as u64;
        }
        Ok(Var {
            space,
            name,
            align: if align == 0 { elem.max(1) } else { align },
            elem: elem / vec,
            size,
            ext,
            init,
            ty,
        })
    }
    fn init(&mut self, out: &mut Vec<Init>) -> Result<(), String> {
        if self.eat('{') {
            while !self.eat('}') {
                self.init(out)?;
                self.eat(',');
            }
            return Ok(());
        }
        let neg = self.eat('-');
        match self.next()? {
            Tok::Int(v) => {
                out.push(Init::Int(if neg { (v as i64).wrapping_neg() as u64 } else { v }))
            }
            Tok::F32(v) => out.push(Init::F32(v)),
            Tok::F64(v) => out.push(Init::F64(v)),
            Tok::Id(s) => {
                let mut name = s;
                if self.eat('(') {
                    name = self.ident()?;
                    let mut off = 0i64;
                    if self.eat('+') {
                        off = self.int()? as i64;
                    }
                    self.want(')')?;
                    let mut o2 = off;
                    if self.eat('+') {
                        o2 += self.int()? as i64;
                    }
                    out.push(Init::Sym(name, o2));
                    return Ok(());
                }
                let mut off = 0i64;
                if self.eat('+') {
                    off = self.int()? as i64;
                }
                out.push(Init::Sym(name, off));
            }
            t => return self.err(&format!("bad initialiser {t:?}")),
        }
        Ok(())
    }

    fn opnd(&mut self) -> Result<Opnd, String> {
        if self.eat('{') {
            let mut v = Vec::new();
            while !self.eat('}') {
                v.push(self.opnd()?);
                self.eat(',');
            }
            return Ok(Opnd::Vec(v));
        }
        if self.eat('(') {
            let mut v = Vec::new();
            while !self.eat(')') {
                v.push(self.opnd()?);
                self.eat(',');
            }
            return Ok(Opnd::List(v));
        }
        if self.eat('[') {
            let mut base = None;
            let mut off = 0i64;
            match self.peek().cloned() {
                Some(Tok::Id(s)) => {
                    self.i += 1;
                    base = Some(s);
                }
                Some(Tok::Int(v)) => {
                    self.i += 1;
                    off = v as i64;
                }
                _ => return self.err("bad address"),
            }
            loop {
                if self.eat('+') {
                    off = off.wrapping_add(self.int()? as i64);
                } else if self.is_p('-') {
                    off = off.wrapping_add(self.int()? as i64);
                } else {
                    break;
                }
            }
            if !self.eat(']') {
                return self.err("unsupported address form");
            }
            return Ok(Opnd::Addr(base, off));
        }
        if self.eat('!') {
            return Ok(Opnd::Not(self.ident()?));
        }
        if self.eat('-') {
            return Ok(match self.next()? {
                Tok::Int(v) => Opnd::Int((v as i64).wrapping_neg() as u64),
                Tok::F32(v) => Opnd::F32(v ^ 0x8000_0000),
                Tok::F64(v) => Opnd::F64(v ^ (1 << 63)),
                _ => return self.err("bad negative operand"),
            });
        }
        match self.next()? {
            Tok::Int(v) => Ok(Opnd::Int(v)),
            Tok::F32(v) => Ok(Opnd::F32(v)),
            Tok::F64(v) => Ok(Opnd::F64(v)),
            Tok::Id(s) => {
                let mut s = s;
                if s.starts_with('%') {
                    if let Some(Tok::Dot(d)) = self.peek().cloned() {
                        if matches!(d.as_str(), "x" | "y" | "z" | "w") {
                            self.i += 1;
                            s = format!("{s}.{d}");
                        }
                    }
                }
                if self.eat('|') {
                    let b = self.opnd()?;
                    return Ok(Opnd::Pair(Box::new(Opnd::Name(s)), Box::new(b)));
                }
                if self.is_p('+') {
                    self.i += 1;
                    let off = self.int()? as i64;
                    return Ok(Opnd::SymOff(s, off));
                }
                Ok(Opnd::Name(s))
            }
            t => {
                self.i -= 1;
                self.err(&format!("bad operand {t:?}"))
            }
        }
    }

    fn inst(&mut self, guard: Option<(String, bool)>) -> Result<PInst, String> {
        let line = self.line();
        let op = self.ident()?;
        let mut mods = Vec::new();
        while let Some(Tok::Dot(d)) = self.peek().cloned() {
            self.i += 1;
            mods.push(d);
        }
        let mut ops = Vec::new();
        while !self.eat(';') {
            ops.push(self.opnd()?);
            if !self.eat(',') && !self.is_p(';') {
                return self.err("expected ',' or ';'");
            }
        }
        Ok(PInst {
            guard,
            op,
            mods,
            ops,
            line,
            loc: self.loc,
            used: std::mem::replace(&mut self.used, !0),
        })
    }

    fn body(&mut self) -> Result<Vec<Stmt>, String> {
        let mut out = Vec::new();
        let mut depth = 0;
        loop {
            match self.peek().cloned() {
                None => return self.err("unterminated body"),
                Some(Tok::P('}')) => {
                    self.i += 1;
                    if depth == 0 {
                        return Ok(out);
                    }
                    depth -= 1;
                    out.push(Stmt::Close);
                }
                Some(Tok::P('{')) => {
                    self.i += 1;
                    depth += 1;
                    out.push(Stmt::Open);
                }
                Some(Tok::P(';')) => self.i += 1,
                Some(Tok::P('@')) => {
                    self.i += 1;
                    let neg = self.eat('!');
                    let g = self.ident()?;
                    out.push(Stmt::Inst(self.inst(Some((g, neg)))?));
                }
                Some(Tok::Id(s)) => {
                    if self.t.get(self.i + 1).map(|x| &x.0) == Some(&Tok::P(':')) {
                        self.i += 2;
                        match self.peek().cloned() {
                            Some(Tok::Dot(d)) if d == "branchtargets" => {
                                self.i += 1;
                                let mut v = vec![];
                                while !self.eat(';') {
                                    v.push(self.ident()?);
                                    self.eat(',');
                                }
                                out.push(Stmt::Targets(s, v));
                            }
                            Some(Tok::Dot(d)) if d == "callprototype" || d == "calltargets" => {
                                self.skip_to(';')
                            }
                            _ => out.push(Stmt::Label(s)),
                        }
                    } else {
                        out.push(Stmt::Inst(self.inst(None)?));
                    }
                }
                Some(Tok::Dot(d)) => {
                    self.i += 1;
                    match d.as_str() {
                        "reg" => {
                            let mut ty = String::new();
                            while let Some(Tok::Dot(t)) = self.peek().cloned() {
                                self.i += 1;
                                if t.starts_with('v') {
                                    return self.err("vector registers not supported");
                                }
                                ty = t;
                            }
                            let mut names = vec![];
                            loop {
                                let n = self.ident()?;
                                let mut c = None;
                                if self.eat('<') {
                                    c = Some(self.int()? as u32);
                                    self.want('>')?;
                                }
                                names.push((n, c));
                                if !self.eat(',') {
                                    break;
                                }
                            }
                            self.want(';')?;
                            out.push(Stmt::Reg { ty, names });
                        }
                        "local" | "shared" | "param" | "const" | "global" => {
                            let v = self.var(space_of(&d), false)?;
                            self.want(';')?;
                            out.push(Stmt::Var(v));
                        }
                        "extern" => {
                            let Tok::Dot(sp) = self.next()? else { return self.err("bad extern") };
                            let v = self.var(space_of(&sp), true)?;
                            self.want(';')?;
                            out.push(Stmt::Var(v));
                        }
                        "loc" => {
                            let f = self.int()? as u32;
                            let l = self.int()? as u32;
                            let _ = self.int()?;
                            self.loc = (f, l);
                            // , function_name X, inlined_at a b c
                            while self.eat(',') {
                                let k = self.ident()?;
                                if k == "function_name" {
                                    self.ident()?;
                                    if self.eat('+') {
                                        self.int()?;
                                    }
                                } else if k == "inlined_at" {
                                    self.int()?;
                                    self.int()?;
                                    self.int()?;
                                }
                            }
                        }
                        "pragma" => {
                            if let Some(Tok::Str(t)) = self.peek() {
                                if let Some(n) = t.strip_prefix("used_bytes_mask") {
                                    let n = n.trim();
                                    self.used = match n.strip_prefix("0x") {
                                        Some(h) => u32::from_str_radix(h, 16),
                                        None => n.parse(),
                                    }
                                    .unwrap_or(!0);
                                }
                            }
                            self.skip_to(';')
                        }
                        _ => return self.err(&format!("unknown directive .{d} in a body")),
                    }
                }
                Some(t) => return self.err(&format!("unexpected {t:?}")),
            }
        }
    }

    /// One to three numbers; those left out are 1.
    fn dims(&mut self) -> Result<[u32; 3], String> {
        let mut v = [1u32; 3];
        for x in v.iter_mut() {
            *x = self.int()? as u32;
            if !self.eat(',') {
                break;
            }
        }
        Ok(v)
    }

    fn params(&mut self) -> Result<Vec<Var>, String> {
        let mut v = vec![];
        if !self.eat('(') {
            return Ok(v);
        }
        while !self.eat(')') {
            match self.next()? {
                Tok::Dot(d) if d == "param" => v.push(self.var(Sp::Param, false)?),
                Tok::Dot(d) if d == "reg" => v.push(self.var(Sp::Param, false)?),
                _ => {
                    self.i -= 1;
                    return self.err("expected .param");
                }
            }
            self.eat(',');
        }
        Ok(v)
    }

    fn func(&mut self, entry: bool) -> Result<Func, String> {
        while let Some(Tok::Dot(d)) = self.peek().cloned() {
            // .attribute(.unified) and the like
            self.i += 1;
            if d == "attribute" {
                self.skip_to(')');
            }
        }
        let rets = self.params()?;
        let name = self.ident()?;
        let params = self.params()?;
        let mut f = Func {
            name,
            entry,
            rets,
            params,
            body: None,
            maxntid: [0; 3],
            reqntid: false,
            cluster: ClusterDecl::default(),
        };
        loop {
            match self.peek().cloned() {
                Some(Tok::Dot(d)) => {
                    self.i += 1;
                    match d.as_str() {
                        "maxntid" | "reqntid" => {
                            f.maxntid = self.dims()?;
                            f.reqntid = d == "reqntid";
                        }
                        "explicitcluster" => f.cluster.explicit = true,
                        "reqnctapercluster" => {
                            f.cluster.required = self.dims()?;
                            if f.cluster.required.contains(&0) {
                                return self.err("a cluster of no blocks");
                            }
                        }
                        "maxclusterrank" => f.cluster.most = self.int()? as u32,
                        "blocksareclusters" => return self.err(".blocksareclusters not supported"),
                        "noreturn" => {}
                        "pragma" => {
                            self.skip_to(';');
                        }
                        _ => {
                            while matches!(self.peek(), Some(Tok::Int(_)) | Some(Tok::P(','))) {
                                self.i += 1;
                            }
                        }
                    }
                }
                Some(Tok::P(';')) => {
                    self.i += 1;
                    return Ok(f);
                }
                Some(Tok::P('{')) => {
                    self.i += 1;
                    f.body = Some(self.body()?);
                    return Ok(f);
                }
                _ => return self.err("bad function header"),
            }
        }
    }
}

fn space_of(d: &str) -> Sp {
    match d {
        "const" => Sp::Const,
        "shared" => Sp::Shared,
        "local" => Sp::Local,
        "param" => Sp::Param,
        _ => Sp::Global,
    }
}

pub fn parse(src: &str) -> Result<Module, String> {
    let lx = lex(src)?;
    let mut p = P { t: &lx.toks, i: 0, loc: (0, 0), used: !0, files: vec![] };
    let mut m = Module::default();
    while let Some(t) = p.peek().cloned() {
        match t {
            Tok::P(';') => p.i += 1,
            Tok::Dot(d) => {
                p.i += 1;
                match d.as_str() {
                    "version" => {
                        match p.next()? {
                            Tok::F64(v) => {
                                let s = format!("{:.1}", f64::from_bits(v));
                                let mut it = s.split('.');
                                m.version.0 = it.next().unwrap().parse().unwrap();
                                m.version.1 = it.next().unwrap().parse().unwrap();
                            }
                            Tok::Int(v) => m.version.0 = v as u32,
                            _ => return p.err("bad .version"),
                        };
                    }
                    "target" => {
                        m.target = p.ident()?;
                        while p.eat(',') {
                            p.ident()?;
                        }
                    }
                    "address_size" => {
                        if p.int()? != 64 {
                            return p.err("only 64-bit addresses");
                        }
                    }
                    "visible" | "weak" | "common" => {}
                    "extern" => {
                        let Tok::Dot(k) = p.next()? else { return p.err("bad .extern") };
                        match k.as_str() {
                            "func" => {
                                let f = p.func(false)?;
                                m.funcs.push(f);
                            }
                            "entry" => {
                                let f = p.func(true)?;
                                m.funcs.push(f);
                            }
                            _ => {
                                let v = p.var(space_of(&k), true)?;
                                p.want(';')?;
                                m.vars.push(v);
                            }
                        }
                    }
                    "global" | "const" | "shared" => {
                        let v = p.var(space_of(&d), false)?;
                        p.want(';')?;
                        m.vars.push(v);
                    }
                    "entry" => {
                        let f = p.func(true)?;
                        m.funcs.push(f);
                    }
                    "func" => {
                        let f = p.func(false)?;
                        m.funcs.push(f);
                    }
                    "file" => {
                        let n = p.int()? as u32;
                        if let Tok::Str(s) = p.next()? {
                            p.files.push((n, s));
                        }
                        while p.eat(',') {
                            p.int()?;
                        }
                    }
                    "section" => {
                        // .section .name { ... }
                        while !p.is_p('{') {
                            p.i += 1;
                        }
                        let mut depth = 0;
                        loop {
                            match p.next()? {
                                Tok::P('{') => depth += 1,
                                Tok::P('}') => {
                                    depth -= 1;
                                    if depth == 0 {
                                        break;
                                    }
                                }
                                _ => {}
                            }
                        }
                    }
                    "pragma" => p.skip_to(';'),
                    "alias" => p.skip_to(';'),
                    _ => return p.err(&format!("unknown directive .{d}")),
                }
            }
            t => return p.err(&format!("unexpected {t:?} at module level")),
        }
    }
    m.files = p.files;
    Ok(m)
}
