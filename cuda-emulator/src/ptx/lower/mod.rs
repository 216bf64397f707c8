//! One kernel of a module to flat code: calls inlined, registers numbered, constants pooled,
//! instructions ranked for reconvergence. Selecting an operation for a statement is the business of
//! [`crate::instructions`], which comes back here for operands and to emit code.

mod calls;
mod operands;
pub mod reconvergence;

use super::kernel::*;
use super::syntax::{Function, Line, Module, Statement, Variable};
use super::types::{Space, Type};
use crate::instructions::{self, Op, barriers::Barrier, control::Control};
use std::collections::HashMap;

/// More than any compiler's output after inlining.
const MAX_CODE: usize = 4_000_000;
const MAX_REGISTERS: usize = 1 << 18;
/// What a thread can have on a device.
const MAX_LOCAL: u64 = 512 << 10;
/// What a kernel can have on a device.
const MAX_PARAMS: u64 = 32764;

pub type Result<T> = std::result::Result<T, String>;

/// Code of the kernel `function`. `globals` has the addresses of the module's variables.
pub fn lower(
    module: &Module,
    function: &Function,
    globals: &HashMap<String, u64>,
) -> Result<Kernel> {
    let mut lowering = Lowering::new(module, function, globals);
    let mut offset = 0u64;
    let mut params = HashMap::new();
    for p in &function.params {
        offset = offset.next_multiple_of(p.align);
        params.insert(p.name.clone(), Name::KernelParam(offset));
        lowering.kernel.params.push((offset, p.size));
        offset = offset.saturating_add(p.size);
        if offset > MAX_PARAMS {
            return Err(format!("more than {MAX_PARAMS} bytes of parameters"));
        }
    }
    lowering.kernel.params_size = offset;
    lowering.function(function, params)?;
    lowering.emit_plain(Control::Exit, Class::Branch);
    lowering.finish()
}

/// What a name in PTX stands for.
#[derive(Clone, Copy, Debug)]
enum Name {
    /// and its width in bits
    Register(Register, u32),
    Predicate(Predicate),
    /// offset in the block's static shared memory
    Shared(u64),
    DynamicShared,
    /// address in local memory: a variable, or a parameter of a call
    Local(u64),
    KernelParam(u64),
}

type Scope = HashMap<String, Name>;

/// Number of a label; its place is known in the end.
type Label = usize;

/// A function on the way, with its callers below.
struct Frame {
    name: String,
    /// by brace scope and name
    labels: HashMap<(usize, String), Label>,
    /// by brace scope: the one around it
    parents: Vec<usize>,
    /// brace scopes that are open
    open: Vec<usize>,
    branch_tables: HashMap<String, Vec<String>>,
    /// where `ret` goes; None in a kernel
    end: Option<Label>,
}

impl Frame {
    fn scope(&self) -> usize {
        self.open.last().copied().unwrap_or(0)
    }
}

/// The state of lowering one kernel.
pub struct Lowering<'a> {
    module: &'a Module,
    functions: HashMap<&'a str, &'a Function>,
    globals: &'a HashMap<String, u64>,
    pub kernel: Kernel,
    constants: HashMap<u64, Register>,
    specials: HashMap<Special, Register>,
    scopes: Vec<Scope>,
    labels: Vec<Option<u32>>,
    frames: Vec<Frame>,
    shared: HashMap<String, u64>,
    /// by function and name: one place for all calls
    local: HashMap<(String, String), u64>,
}

impl<'a> Lowering<'a> {
    fn new(
        module: &'a Module,
        function: &Function,
        globals: &'a HashMap<String, u64>,
    ) -> Lowering<'a> {
        let mut functions: HashMap<&str, &Function> = HashMap::new();
        for f in &module.functions {
            if f.body.is_some() || !functions.contains_key(f.name.as_str()) {
                functions.insert(&f.name, f);
            }
        }
        Lowering {
            module,
            functions,
            globals,
            kernel: Kernel {
                name: function.name.clone(),
                code: vec![],
                ranks: vec![],
                constants: vec![],
                registers: 0,
                predicates: 0,
                specials: vec![],
                vectors: vec![],
                branch_tables: vec![],
                local_size: LOCAL_BASE,
                static_shared: 0,
                dynamic_shared_align: 16,
                params: vec![],
                params_size: 0,
                locations: vec![Location::default()],
                files: module.files.iter().cloned().collect(),
                max_threads: function.max_threads,
                exact_threads: function.exact_threads,
                cluster: function.cluster,
                uses_cluster: false,
                orders_blocks: false,
                strong_shared: false,
            },
            constants: HashMap::new(),
            specials: HashMap::new(),
            scopes: vec![],
            labels: vec![],
            frames: vec![],
            shared: HashMap::new(),
            local: HashMap::new(),
        }
    }

    // ---- emitting ----

    /// An instruction without operands, to be filled in.
    pub fn instruction(&self, op: impl Into<Op>, class: Class) -> Instruction {
        Instruction {
            op: op.into(),
            class,
            guard: NONE,
            d: NONE,
            a: NONE,
            b: NONE,
            c: NONE,
            e: NONE,
            location: self.kernel.locations.len() as u32 - 1,
        }
    }

    pub fn emit(&mut self, instruction: Instruction) {
        self.kernel.code.push(instruction);
    }

    /// An instruction that has no operands.
    pub fn emit_plain(&mut self, op: impl Into<Op>, class: Class) {
        self.emit(self.instruction(op, class));
    }

    /// `op d, a, b, c` with so many sources, each of the statement's type.
    pub fn emit_simple<const SOURCES: usize>(
        &mut self,
        s: &Statement,
        op: impl Into<Op>,
        class: Class,
    ) -> Result<()> {
        let mut sources = [NONE; 3];
        for (n, source) in sources.iter_mut().enumerate().take(SOURCES) {
            *source = self.source(s, n + 1, s.ty())?;
        }
        let [a, b, c] = sources;
        let d = self.destination(s, 0)?.0;
        self.emit(Instruction { d, a, b, c, ..self.instruction(op, class) });
        Ok(())
    }

    pub fn new_register(&mut self) -> Register {
        self.kernel.registers += 1;
        (self.kernel.registers - 1) as Register
    }

    pub fn new_predicate(&mut self) -> Predicate {
        self.kernel.predicates += 1;
        (self.kernel.predicates - 1) as Predicate
    }

    pub fn constant(&mut self, v: u64) -> Register {
        if let Some(&r) = self.constants.get(&v) {
            return r;
        }
        let r = CONSTANT | self.kernel.constants.len() as u32;
        self.kernel.constants.push([v; 32]);
        self.constants.insert(v, r);
        r
    }

    pub fn vector(&mut self, registers: [Register; 4]) -> u32 {
        self.kernel.vectors.push(registers);
        self.kernel.vectors.len() as u32 - 1
    }

    // ---- labels ----

    fn new_label(&mut self) -> Label {
        self.labels.push(None);
        self.labels.len() - 1
    }

    fn place_label(&mut self, label: Label) {
        self.labels[label] = Some(self.kernel.code.len() as u32);
    }

    /// The label with this name that is closest.
    fn label(&self, s: &Statement, name: &str) -> Result<u32> {
        let Some(frame) = self.frames.last() else { return s.error("no function") };
        let mut scope = frame.scope();
        loop {
            if let Some(&label) = frame.labels.get(&(scope, name.to_string())) {
                return Ok(label as u32);
            }
            if scope == 0 {
                return s.error(&format!("unknown label {name}"));
            }
            scope = frame.parents[scope];
        }
    }

    /// The label that a statement's operand names.
    pub fn label_operand(&self, s: &Statement, n: usize) -> Result<u32> {
        match s.operand(n)? {
            super::syntax::Operand::Name(name) => self.label(s, name),
            _ => s.error("bad target"),
        }
    }

    /// Number of the branch table that a statement's operand names.
    pub fn branch_table(&mut self, s: &Statement, n: usize) -> Result<u32> {
        let super::syntax::Operand::Name(name) = s.operand(n)? else {
            return s.error("bad branch table");
        };
        let names = self.frames.last().and_then(|f| f.branch_tables.get(name));
        let Some(names) = names else { return s.error("unknown branch table") };
        let table = names.iter().map(|name| self.label(s, name)).collect::<Result<_>>()?;
        self.kernel.branch_tables.push(table);
        Ok(self.kernel.branch_tables.len() as u32 - 1)
    }

    /// Where `ret` goes; None if it ends the thread.
    pub fn return_label(&self) -> Option<u32> {
        self.frames.last().and_then(|f| f.end).map(|label| label as u32)
    }

    // ---- functions ----

    fn function(&mut self, function: &'a Function, params: Scope) -> Result<()> {
        if self.frames.iter().any(|f| f.name == function.name) {
            return Err(format!("recursive call of {} is not supported", function.name));
        }
        if self.kernel.code.len() > MAX_CODE {
            return Err("code too large after inlining".into());
        }
        let Some(body) = &function.body else {
            return Err(format!("unresolved extern function {}", function.name));
        };
        let end = self.new_label();
        let frame = self.frame(function, body, end);
        self.frames.push(frame);
        let scopes_of_caller = std::mem::replace(&mut self.scopes, vec![params]);
        let mut opened = 0;
        for line in body {
            match line {
                Line::Open => {
                    opened += 1;
                    self.frame_mut().open.push(opened);
                    self.scopes.push(HashMap::new());
                }
                Line::Close => {
                    self.frame_mut().open.pop();
                    self.scopes.pop();
                }
                Line::Label(name) => {
                    let frame = self.frame_mut();
                    let label = frame.labels[&(frame.scope(), name.clone())];
                    self.place_label(label);
                }
                Line::BranchTargets(..) => {}
                Line::Registers { ty, names } => self.declare_registers(ty, names)?,
                Line::Variable(v) => self.declare_variable(function, v)?,
                Line::Statement(s) => self.statement(s)?,
            }
        }
        self.scopes = scopes_of_caller;
        self.place_label(end);
        self.frames.pop();
        Ok(())
    }

    /// A first walk through the body: labels are known before they are placed.
    fn frame(&mut self, function: &Function, body: &[Line], end: Label) -> Frame {
        let mut frame = Frame {
            name: function.name.clone(),
            labels: HashMap::new(),
            parents: vec![0],
            open: vec![0],
            branch_tables: HashMap::new(),
            end: (!function.is_entry).then_some(end),
        };
        for line in body {
            match line {
                Line::Open => {
                    frame.parents.push(frame.scope());
                    frame.open.push(frame.parents.len() - 1);
                }
                Line::Close => {
                    frame.open.pop();
                }
                Line::Label(name) => {
                    frame.labels.insert((frame.scope(), name.clone()), self.new_label());
                }
                Line::BranchTargets(name, targets) => {
                    frame.branch_tables.insert(name.clone(), targets.clone());
                }
                _ => {}
            }
        }
        frame.open = vec![0];
        frame
    }

    fn frame_mut(&mut self) -> &mut Frame {
        self.frames.last_mut().expect("a function is being lowered")
    }

    fn declare(&mut self, name: String, what: Name) {
        self.scopes.last_mut().expect("the scope of a function").insert(name, what);
    }

    fn declare_registers(&mut self, ty: &str, names: &[(String, Option<u32>)]) -> Result<()> {
        let ty = Type::parse(ty).ok_or_else(|| format!("register type .{ty}"))?;
        for (name, count) in names {
            let numbered = (0..count.unwrap_or(0)).map(|i| format!("{name}{i}"));
            let plain = count.is_none().then(|| name.clone());
            for name in numbered.chain(plain) {
                let what = if ty == Type::Pred {
                    Name::Predicate(self.new_predicate())
                } else {
                    Name::Register(self.new_register(), ty.bits())
                };
                self.declare(name, what);
            }
        }
        // predicates have 16 bits in an instruction
        if self.kernel.registers > MAX_REGISTERS || self.kernel.predicates >= NEGATED as usize {
            return Err("too many registers after inlining".into());
        }
        Ok(())
    }

    fn declare_variable(&mut self, function: &Function, v: &Variable) -> Result<()> {
        let what = match v.space {
            Space::Shared => self.shared_variable(v)?,
            Space::Local => {
                let key = (function.name.clone(), v.name.clone());
                match self.local.get(&key) {
                    Some(&address) => Name::Local(address),
                    None => {
                        let address = self.new_local(v.size, v.align)?;
                        self.local.insert(key, address);
                        Name::Local(address)
                    }
                }
            }
            Space::Param => Name::Local(self.new_local(v.size, v.align)?),
            _ => return Err(format!("{}: .global/.const variable inside a function", v.name)),
        };
        self.declare(v.name.clone(), what);
        Ok(())
    }

    /// A kernel has of the module's shared variables those that it names, in that order.
    fn shared_variable(&mut self, v: &Variable) -> Result<Name> {
        let kernel = &mut self.kernel;
        if v.size == 0 {
            kernel.dynamic_shared_align = kernel.dynamic_shared_align.max(v.align);
            return Ok(Name::DynamicShared);
        }
        if let Some(&offset) = self.shared.get(&v.name) {
            return Ok(Name::Shared(offset));
        }
        let offset = kernel.static_shared.next_multiple_of(v.align);
        // no more than a few such sums fit, and no device has as much
        if v.size > u32::MAX as u64 || offset > u32::MAX as u64 {
            return Err(format!("shared variable {} of {} bytes", v.name, v.size));
        }
        kernel.static_shared = offset + v.size;
        self.shared.insert(v.name.clone(), offset);
        Ok(Name::Shared(offset))
    }

    fn new_local(&mut self, size: u64, align: u64) -> Result<u64> {
        let address = self.kernel.local_size.next_multiple_of(align.max(8));
        if size > MAX_LOCAL || address + size > MAX_LOCAL {
            return Err(format!("more than {MAX_LOCAL} bytes of local memory"));
        }
        self.kernel.local_size = address + size;
        Ok(address)
    }

    fn statement(&mut self, s: &Statement) -> Result<()> {
        let location = Location { ptx_line: s.line, file: s.source.0, line: s.source.1 };
        if self.kernel.locations.last() != Some(&location) {
            self.kernel.locations.push(location);
        }
        let guard = match &s.guard {
            None => NONE,
            Some((name, negated)) => match self.find(name) {
                Some(Name::Predicate(p)) => p | if *negated { NEGATED } else { 0 },
                _ => return s.error(&format!("guard {name} is not a predicate")),
            },
        };
        if s.opcode == "call" {
            return self.guarded_call(s, guard);
        }
        let start = self.kernel.code.len();
        instructions::select(self, s)?;
        // helper instructions (clock reads, address sums) may run unguarded; the last one is the real one
        if guard != NONE
            && let Some(instruction) = self.kernel.code[start..].last_mut()
        {
            instruction.guard = guard;
        }
        Ok(())
    }

    // ---- the end ----

    fn finish(mut self) -> Result<Kernel> {
        let labels = &self.labels;
        let place =
            |label: u32| labels[label as usize].ok_or_else(|| "label without a place".to_string());
        let kernel = &mut self.kernel;
        for instruction in &mut kernel.code {
            if let Op::Control(Control::Branch(target)) = &mut instruction.op {
                *target = place(*target)?;
            }
        }
        for target in kernel.branch_tables.iter_mut().flatten() {
            *target = place(*target)?;
        }
        kernel.local_size = kernel.local_size.next_multiple_of(16);
        kernel.ranks = reconvergence::ranks(kernel);
        for (instruction, rank) in kernel.code.iter().zip(&mut kernel.ranks) {
            if matches!(instruction.op, Op::Barrier(b) if Barrier::is_aligned(b)) {
                *rank |= reconvergence::AT_BARRIER;
            }
        }
        Ok(self.kernel)
    }
}
