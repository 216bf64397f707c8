//! What the parser makes of PTX text: declarations and statements, instructions not yet understood.

use super::types::{Space, Type};

/// An operand of an instruction.
#[derive(Clone, Debug)]
pub enum Operand {
    /// register, variable, function, label, special register (with .x) or predicate
    Name(String),
    /// `!%p`
    Not(String),
    Integer(u64),
    /// bits
    F32(u32),
    /// bits
    F64(u64),
    /// `{a, b, ...}`
    Vector(Vec<Operand>),
    /// `[base + offset]`
    Address(Option<String>, i64),
    /// `a|b`
    Pair(Box<Operand>, Box<Operand>),
    /// `(a, b)` of a call
    List(Vec<Operand>),
    /// `symbol + offset`
    Symbol(String, i64),
}

/// `@guard opcode.modifiers operands;`
#[derive(Clone, Debug)]
pub struct Statement {
    /// predicate, and whether it is negated
    pub guard: Option<(String, bool)>,
    pub opcode: String,
    pub modifiers: Vec<String>,
    pub operands: Vec<Operand>,
    /// line of the PTX text
    pub line: u32,
    /// number of the source file and line in it, from `.loc`
    pub source: (u32, u32),
    /// bytes of a widened load that are used, a bit each: `.pragma "used_bytes_mask"`
    pub used_bytes: u32,
}

/// One value of a variable's initializer.
#[derive(Clone, Debug)]
pub enum Initializer {
    Integer(u64),
    F32(u32),
    F64(u64),
    /// address of a variable
    Symbol(String, i64),
}

#[derive(Clone, Debug)]
pub struct Variable {
    pub space: Space,
    pub name: String,
    /// a power of two
    pub align: u64,
    /// bytes of one element, or of one component of a vector
    pub element: u64,
    pub size: u64,
    pub is_extern: bool,
    pub init: Vec<Initializer>,
    pub ty: String,
}

/// A line of a function's body.
#[derive(Clone, Debug)]
pub enum Line {
    Label(String),
    Statement(Statement),
    /// `.reg .ty name<count>`
    Registers {
        ty: String,
        names: Vec<(String, Option<u32>)>,
    },
    Variable(Variable),
    Open,
    Close,
    BranchTargets(String, Vec<String>),
}

#[derive(Clone, Debug)]
pub struct Function {
    pub name: String,
    /// `.entry`, a kernel
    pub is_entry: bool,
    pub returns: Vec<Variable>,
    pub params: Vec<Variable>,
    /// None for a declaration
    pub body: Option<Vec<Line>>,
    /// `.maxntid` or `.reqntid`; zeros without
    pub max_threads: [u32; 3],
    /// it was `.reqntid`
    pub exact_threads: bool,
    pub cluster: ClusterDirectives,
}

/// What a kernel's header says of its cluster.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClusterDirectives {
    /// `.reqnctapercluster`; zeros without it
    pub required: [u32; 3],
    /// `.explicitcluster`: a launch has to have a cluster
    pub explicit: bool,
    /// `.maxclusterrank`, the most blocks; 0 without it
    pub max_blocks: u32,
}

#[derive(Clone, Debug, Default)]
pub struct Module {
    pub version: (u32, u32),
    pub target: String,
    pub variables: Vec<Variable>,
    pub functions: Vec<Function>,
    /// source files by number
    pub files: Vec<(u32, String)>,
}

impl Module {
    /// Compute capability of the target, times ten; 0 if it names none.
    pub fn capability(&self) -> u32 {
        let number = self.target.trim_start_matches("sm_");
        number.trim_end_matches(|c: char| c.is_alphabetic()).parse().unwrap_or(0)
    }
}

impl Statement {
    pub fn has(&self, modifier: &str) -> bool {
        self.modifiers.iter().any(|m| m == modifier)
    }

    /// Types among the modifiers, in order.
    pub fn types(&self) -> Vec<Type> {
        self.modifiers.iter().filter_map(|m| Type::parse(m)).collect()
    }

    /// The last of its types, which is that of the sources; .b32 without one.
    pub fn ty(&self) -> Type {
        self.modifiers.iter().rev().find_map(|m| Type::parse(m)).unwrap_or(Type::B32)
    }

    pub fn operand(&self, n: usize) -> Result<&Operand, String> {
        match self.operands.get(n) {
            Some(operand) => Ok(operand),
            None => self.error(&format!("operand {} is missing", n + 1)),
        }
    }

    pub fn integer(&self, n: usize) -> Result<u64, String> {
        match self.operand(n)? {
            Operand::Integer(v) => Ok(*v),
            _ => self.error(&format!("operand {} must be a constant", n + 1)),
        }
    }

    pub fn error<T>(&self, what: &str) -> Result<T, String> {
        let mut name = self.opcode.clone();
        for m in &self.modifiers {
            name.push('.');
            name += m;
        }
        Err(format!("PTX line {}: {name}: {what}", self.line))
    }
}
