//! Device printf: strings and arguments in the memory of the thread.

use crate::checks::{AccessKind, Fault};
use crate::machine::block::{At, Block};
use crate::ptx::kernel::{LOCAL_WINDOW, SHARED_BASE, SHARED_WINDOW, WINDOW};

type Result<T> = std::result::Result<T, Fault>;

/// A string that does not end by then is cut.
const MAX_STRING: usize = 1 << 16;
/// No field is padded to more.
const MAX_WIDTH: usize = 4096;

/// `%5.2lf` and its like.
#[derive(Default)]
struct Conversion {
    flags: String,
    width: usize,
    precision: Option<usize>,
    is_long: bool,
}

impl Block<'_> {
    /// A byte at a generic address.
    fn generic_byte(&self, at: At, a: u64) -> Result<u8> {
        if a.wrapping_sub(LOCAL_WINDOW) < WINDOW {
            let offset = self.local_offset(at) + (a - LOCAL_WINDOW) as usize;
            return Ok(self.warps[at.warp()].local.get(offset).copied().unwrap_or(0));
        }
        if a.wrapping_sub(SHARED_WINDOW) < WINDOW {
            let offset = self.untagged(a).wrapping_sub(SHARED_BASE) as usize;
            return Ok(self.shared.get(offset).copied().unwrap_or(0));
        }
        let (host, _) = self.global_access(at, a, 1, AccessKind::Read, None)?;
        // SAFETY: the check found a byte there
        Ok(unsafe { *(host as *const u8) })
    }

    pub(super) fn c_string(&self, at: At, a: u64) -> Result<String> {
        let mut bytes = vec![];
        for a in a.. {
            let byte = self.generic_byte(at, a)?;
            if byte == 0 || bytes.len() > MAX_STRING {
                break;
            }
            bytes.push(byte);
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The text for a format string and arguments at these addresses.
    pub(super) fn printf(&self, at: At, format: u64, arguments: u64) -> Result<String> {
        let format = self.c_string(at, format)?;
        let mut offset = 0u64;
        let mut argument = |bytes: u64| -> Result<u64> {
            offset = offset.next_multiple_of(bytes);
            let mut v = 0;
            for n in 0..bytes {
                let a = arguments.wrapping_add(offset + n);
                v |= (self.generic_byte(at, a)? as u64) << (n * 8);
            }
            offset += bytes;
            Ok(v)
        };
        let mut out = String::new();
        let mut rest = format.as_str();
        while let Some((plain, after)) = rest.split_once('%') {
            out += plain;
            let (conversion, letter, after) = Conversion::parse(after);
            rest = after;
            let Some(letter) = letter else { break };
            let long = if conversion.is_long { 8 } else { 4 };
            let precision = conversion.precision.unwrap_or(6);
            let text = match letter {
                '%' => "%".to_string(),
                'd' | 'i' if conversion.is_long => format!("{}", argument(8)? as i64),
                'd' | 'i' => format!("{}", argument(4)? as i32),
                'u' => format!("{}", argument(long)?),
                'x' => format!("{:x}", argument(long)?),
                'X' => format!("{:X}", argument(long)?),
                'c' => format!("{}", argument(4)? as u8 as char),
                'p' => format!("{:#x}", argument(8)?),
                's' => self.c_string(at, argument(8)?)?,
                'f' | 'F' => format!("{:.precision$}", f64::from_bits(argument(8)?)),
                'e' | 'E' => format!("{:.precision$e}", f64::from_bits(argument(8)?)),
                _ => format!("{}", f64::from_bits(argument(8)?)),
            };
            conversion.pad(&text, &mut out);
        }
        Ok(out + rest)
    }
}

impl Conversion {
    /// What follows a `%`: the conversion, its letter if there is one, and the rest.
    fn parse(text: &str) -> (Conversion, Option<char>, &str) {
        let count =
            |text: &str, set: &str| text.len() - text.trim_start_matches(|c| set.contains(c)).len();
        let (flags, text) = text.split_at(count(text, "-+ #0"));
        let (width, mut text) = text.split_at(count(text, "0123456789"));
        let mut precision = None;
        if let Some(after) = text.strip_prefix('.') {
            let digits = count(after, "0123456789");
            precision = Some(after[..digits].parse().unwrap_or(0).min(MAX_WIDTH));
            text = &after[digits..];
        }
        let (length, text) = text.split_at(count(text, "lhzjt"));
        let is_long = length.chars().any(|c| c != 'h');
        let width = width.parse().unwrap_or(0).min(MAX_WIDTH);
        let mut rest = text.chars();
        let letter = rest.next();
        (Conversion { flags: flags.into(), width, precision, is_long }, letter, rest.as_str())
    }

    fn pad(&self, text: &str, out: &mut String) {
        let missing = self.width.saturating_sub(text.len());
        let zeros = self.flags.starts_with('0');
        if self.flags.starts_with('-') {
            *out += text;
            out.extend(std::iter::repeat_n(' ', missing));
        } else {
            out.extend(std::iter::repeat_n(if zeros { '0' } else { ' ' }, missing));
            *out += text;
        }
    }
}
