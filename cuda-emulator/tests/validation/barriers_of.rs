//! Barriers in PTX text, and the text without one of them.

/// A barrier in a text of PTX.
#[derive(Clone, Debug)]
pub struct Barrier {
    /// the kernel or the function that has it
    pub kernel: String,
    /// its number among those of the kernel, from 1 on
    pub number: usize,
    pub text: String,
    line: usize,
    range: std::ops::Range<usize>,
}

impl Barrier {
    pub fn name(&self) -> String {
        format!("{} #{} `{}`", self.kernel, self.number, self.text)
    }

    /// The text without it. A barrier that combines values becomes what its thread alone says.
    pub fn deleted_from(&self, ptx: &str) -> String {
        let mut lines: Vec<String> = ptx.lines().map(String::from).collect();
        lines[self.line].replace_range(self.range.clone(), &self.without());
        lines.join("\n") + "\n"
    }

    fn without(&self) -> String {
        let mut words = self.text.trim_end_matches(';').split([' ', '\t', ',']);
        let opcode = words.next().unwrap_or_default();
        let operands: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        match (opcode.contains(".red."), &operands[..]) {
            (false, _) => String::new(),
            (true, [to, .., of]) if opcode.contains(".popc") => {
                format!("selp.u32 {to}, 1, 0, {of};")
            }
            (true, [to, .., of]) => format!("mov.pred {to}, {of};"),
            _ => panic!("{self:?}"),
        }
    }
}

/// All barriers of all kernels: `bar` and `barrier` with all that follows the dot.
pub fn barriers(ptx: &str) -> Vec<Barrier> {
    let mut found: Vec<Barrier> = vec![];
    let mut kernel = String::new();
    for (line, text) in ptx.lines().enumerate() {
        if let Some(name) = declared(text) {
            kernel = name;
        }
        let code = text.split("//").next().unwrap_or_default();
        for range in barriers_of_line(code) {
            let number = 1 + found.iter().filter(|b| b.kernel == kernel).count();
            let text = code[range.clone()].to_string();
            // `exit` ends threads and is none; an arrival that is deleted leaves others waiting
            found.push(Barrier { kernel: kernel.clone(), number, text, line, range });
        }
    }
    found
}

/// The name in the first line of a kernel or of a function.
fn declared(line: &str) -> Option<String> {
    let is_function = line.starts_with(".func") || line.starts_with(".visible .func");
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_$".contains(c);
    if let Some((_, after)) = line.split_once(".entry ") {
        return Some(after.trim_start().chars().take_while(|c| is_name(*c)).collect());
    }
    // a result stands before the name of a function, and may do so in a line of its own
    is_function.then(|| {
        let after = line.rsplit(") ").next().unwrap_or(line).trim_start_matches(".visible ");
        let after = after.trim_start_matches(".func ").trim_start();
        after.chars().take_while(|c| is_name(*c)).collect()
    })
}

fn barriers_of_line(code: &str) -> Vec<std::ops::Range<usize>> {
    let mut found = vec![];
    let mut from = 0;
    // statements end with `;`, and blocks begin with `{`
    for statement in code.split_inclusive([';', '{', '}']) {
        let begin = from + statement.len() - statement.trim_start().len();
        from += statement.len();
        let text = statement.trim_start();
        // a guard goes along
        let instruction = match text.strip_prefix('@') {
            Some(guarded) => {
                guarded.split_once([' ', '\t']).map_or("", |(_, rest)| rest.trim_start())
            }
            None => text,
        };
        let is_barrier = instruction.starts_with("bar.") || instruction.starts_with("barrier.");
        if is_barrier && text.ends_with(';') {
            found.push(begin..from);
        }
    }
    found
}

#[test]
fn every_barrier_is_found_and_deleted() {
    let ptx = "\
.visible .entry first(
\tbar.sync \t0;
\t@%p1 bar.warp.sync -1; // bar.sync 0;
}
.func (.reg .b32 r) second(
{ barrier.cluster.arrive; barrier.cluster.wait; }
bar.red.or.pred %p2, 0, %p3;
mov.u32 %r1, 7;
";
    let all = barriers(ptx);
    let names: Vec<String> = all.iter().map(Barrier::name).collect();
    let want = [
        "first #1 `bar.sync \t0;`",
        "first #2 `@%p1 bar.warp.sync -1;`",
        "second #1 `barrier.cluster.arrive;`",
        "second #2 `barrier.cluster.wait;`",
        "second #3 `bar.red.or.pred %p2, 0, %p3;`",
    ];
    assert_eq!(names, want);
    let without = |n: usize| all[n].deleted_from(ptx);
    assert_eq!(without(1), ptx.replace("@%p1 bar.warp.sync -1;", ""));
    assert_eq!(without(3), ptx.replace("barrier.cluster.wait;", ""));
    assert_eq!(without(4), ptx.replace("bar.red.or.pred %p2, 0, %p3;", "mov.pred %p2, %p3;"));
}
