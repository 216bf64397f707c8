//! Runs instructions over many operands, one at a time, and compares each result with a model.

use super::{Tally, beside_nvcc};
use crate::common::{Device, cfg, scratch_file};
use cudarc::driver::PushKernelArg;
use std::process::Command;

/// One instruction, or a few that belong together.
pub struct Form {
    /// PTX with `{a}`, `{b}`, `{c}`, `{e}` for the operands and `{d}` for the result. There are also
    /// `%t` (32 bits), `%h0`, `%h1` (16 bits) and the predicates `%p`, `%q`, `%z`.
    pub text: String,
    /// 16, 32 or 64
    pub result_bits: u32,
    /// The result for the operands; for those beyond the last one of the group there is 0.
    pub expected: Box<dyn Fn([u64; 4]) -> u64>,
    /// whether two results are the same
    pub is_same: fn(u64, u64) -> bool,
}

impl Form {
    pub fn new(
        text: impl Into<String>,
        result_bits: u32,
        expected: impl Fn([u64; 4]) -> u64 + 'static,
    ) -> Form {
        let expected = Box::new(expected);
        Form { text: text.into(), result_bits, expected, is_same: |a, b| a == b }
    }
}

/// Forms with operands of the same widths: 16, 32 or 64 bits each.
pub struct Group {
    pub name: &'static str,
    pub operand_bits: Vec<u32>,
    pub forms: Vec<Form>,
}

const BLOCK: usize = 128;
const CASES_PER_THREAD: usize = 8;
const NAMES: [&str; 4] = ["a", "b", "c", "e"];

impl Group {
    /// A kernel that computes all forms: operands of a case lie together, results of a form do, each in
    /// eight bytes. A thread's cases are `threads` apart, so that a warp's lie together.
    fn kernel(&self, threads: usize) -> String {
        let record = 8 * self.operand_bits.len();
        let mut body = String::new();
        for case in 0..CASES_PER_THREAD {
            for (k, bits) in self.operand_bits.iter().enumerate() {
                let at = case * threads * record + 8 * k;
                body += &format!("ld.global.b{bits} %{}{case}, [%in+{at}];\n", NAMES[k]);
            }
        }
        for form in &self.forms {
            let result = format!("%d{}", form.result_bits);
            for case in 0..CASES_PER_THREAD {
                let mut text = form.text.replace("{d}", &result);
                for name in NAMES {
                    text = text.replace(&format!("{{{name}}}"), &format!("%{name}{case}"));
                }
                body += &format!(
                    "{text}\nst.global.b{} [%out+{}], {result};\n",
                    form.result_bits,
                    8 * case * threads
                );
            }
            body += "add.s64 %out, %out, %stride;\n";
        }
        let registers: String = (self.operand_bits.iter().zip(NAMES))
            .map(|(bits, name)| format!(".reg .b{bits} %{name}<{CASES_PER_THREAD}>;\n"))
            .collect();
        format!(
            ".version 8.0
.target sm_90
.address_size 64
.visible .entry k(.param .u64 in, .param .u64 out, .param .u64 stride) {{
.reg .b16 %d16, %h<2>;
.reg .b32 %d32, %t, %thread, %block, %size;
.reg .b64 %d64, %in, %out, %stride, %at;
.reg .pred %p, %q, %z;
{registers}mov.u32 %thread, %tid.x;
mov.u32 %block, %ctaid.x;
mov.u32 %size, %ntid.x;
mad.lo.s32 %thread, %block, %size, %thread;
ld.param.u64 %in, [in];
ld.param.u64 %out, [out];
ld.param.u64 %stride, [stride];
mul.wide.u32 %at, %thread, {record};
add.s64 %in, %in, %at;
mul.wide.u32 %at, %thread, 8;
add.s64 %out, %out, %at;
{body}ret;
}}
"
        )
    }

    /// Compares all forms for all cases.
    pub fn compare(&self, d: &Device, cases: impl Iterator<Item = [u64; 4]>, tally: &mut Tally) {
        let threads = (1 << 17) / self.forms.len();
        let threads = threads.next_multiple_of(BLOCK).clamp(1 << 11, 1 << 16);
        let n = threads * CASES_PER_THREAD;
        let text = self.kernel(threads);
        self.assemble(&text);
        let f = d.load_text(&text).load_function("k").unwrap();
        let operands = self.operand_bits.len();
        let masks: Vec<u64> = self.operand_bits.iter().map(|bits| !0 >> (64 - bits)).collect();
        let mut input = d.s.alloc_zeros::<u64>(n * operands).unwrap();
        let mut out = d.s.alloc_zeros::<u64>(n * self.forms.len()).unwrap();
        let mut results = vec![0; n * self.forms.len()];
        let stride = 8 * n as u64;
        let mut cases = cases.peekable();
        while cases.peek().is_some() {
            let mut now: Vec<[u64; 4]> = cases.by_ref().take(n).collect();
            for case in &mut now {
                case.iter_mut().zip(&masks).for_each(|(v, mask)| *v &= mask);
                case[operands..].fill(0);
            }
            let flat: Vec<u64> = now.iter().flat_map(|case| &case[..operands]).copied().collect();
            d.s.memcpy_htod(&flat, &mut input).unwrap();
            let mut b = d.s.launch_builder(&f);
            b.arg(&input).arg(&mut out).arg(&stride);
            unsafe { b.launch(cfg((threads / BLOCK) as u32, BLOCK as u32, 0)) }.unwrap();
            d.s.memcpy_dtoh(&out, &mut results).unwrap();
            for (form, results) in self.forms.iter().zip(results.chunks(n)) {
                for (case, &got) in now.iter().zip(results) {
                    let want = (form.expected)(*case);
                    tally.check((form.is_same)(got, want), || {
                        let case = &case[..operands];
                        format!("{} of {case:x?}: {got:#x}, expected {want:#x}", form.text)
                    });
                }
            }
        }
    }

    /// Where there is an assembler: it must accept what is asked of the emulator.
    fn assemble(&self, text: &str) {
        let Some(ptxas) = beside_nvcc("ptxas") else { return };
        let file = scratch_file(self.name);
        std::fs::write(&file, text).unwrap();
        let mut c = Command::new(ptxas);
        c.args(["-arch=sm_90", "-O0", "-o", "/dev/null"]).arg(&file);
        let r = c.output().unwrap();
        let _ = std::fs::remove_file(&file);
        assert!(r.status.success(), "{}: {}", self.name, String::from_utf8_lossy(&r.stderr));
    }
}
