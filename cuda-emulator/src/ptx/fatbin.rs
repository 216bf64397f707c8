//! The container `nvcc -fatbin` writes: PTX and machine code for several architectures.
//!
//! NVIDIA does not document the format; this is what nvcc 13 writes, little endian. A header of 16
//! bytes: magic, u16 version, u16 header size, u64 size of what follows. Then entries: u16 kind,
//! u16 0x0101, u32 size of the entry's header, u64 size of its payload; at +16 u32 stored size if
//! compressed, at +28 u32 capability times ten, at +40 u32 flags. The payload follows the entry's
//! header.

use std::collections::HashMap;

pub const MAGIC: [u8; 4] = [0x50, 0xed, 0x55, 0xba];
pub const HEADER: usize = 16;
pub const ELF: [u8; 4] = [0x7f, b'E', b'L', b'F'];

const KIND_PTX: u16 = 1;
const KIND_ELF: u16 = 2;
/// the fields read here end there; PTX entries have 80 bytes
const ENTRY: usize = 64;
/// lz4 and zstd
const COMPRESSED: u32 = 0x2000 | 0x8000;
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

#[derive(Debug, PartialEq)]
pub enum Refused {
    /// not a container, or cut off, or sizes that contradict each other
    Malformed(String),
    /// a sound container without PTX this device could run
    NothingUsable(String),
}

#[derive(Debug)]
pub struct Chosen<'a> {
    pub ptx: &'a str,
    /// registers per thread of each kernel, if there is machine code for exactly this device
    pub registers: HashMap<String, u32>,
}

/// All reads go through these: `None` past the end.
struct Bytes<'a>(&'a [u8]);
impl<'a> Bytes<'a> {
    fn part(&self, at: u64, n: u64) -> Option<&'a [u8]> {
        let at = usize::try_from(at).ok()?;
        let n = usize::try_from(n).ok()?;
        self.0.get(at..at.checked_add(n)?)
    }
    fn u16(&self, at: u64) -> Option<u16> {
        Some(u16::from_le_bytes(self.part(at, 2)?.try_into().ok()?))
    }
    fn u32(&self, at: u64) -> Option<u32> {
        Some(u32::from_le_bytes(self.part(at, 4)?.try_into().ok()?))
    }
    fn u64(&self, at: u64) -> Option<u64> {
        Some(u64::from_le_bytes(self.part(at, 8)?.try_into().ok()?))
    }
    fn name(&self, at: u64) -> Option<&'a str> {
        let rest = self.0.get(usize::try_from(at).ok()?..)?;
        let n = rest.iter().position(|&b| b == 0)?;
        std::str::from_utf8(&rest[..n]).ok()
    }
}

struct Entry<'a> {
    kind: u16,
    capability: u32,
    compressed: bool,
    payload: &'a [u8],
}

/// Size of the container that starts with these 16 bytes.
pub fn size(header: &[u8; HEADER]) -> Result<usize, Refused> {
    let b = Bytes(header);
    let (version, hs, rest) = (b.u16(4), b.u16(6), b.u64(8));
    let (Some(1), Some(16), Some(rest)) = (version, hs, rest) else {
        return Err(Refused::Malformed(format!(
            "fatbin version {} with a header of {} bytes; known is version 1 with 16",
            version.unwrap_or(0),
            hs.unwrap_or(0)
        )));
    };
    usize::try_from(rest)
        .ok()
        .and_then(|n| n.checked_add(HEADER))
        .filter(|&n| n <= isize::MAX as usize)
        .ok_or_else(|| Refused::Malformed(format!("fatbin of {rest} bytes")))
}

fn entries(image: &[u8]) -> Result<Vec<Entry<'_>>, Refused> {
    let bad = |t: &str| Refused::Malformed(format!("fatbin: {t}"));
    let header: &[u8; HEADER] =
        image.get(..HEADER).and_then(|h| h.try_into().ok()).ok_or_else(|| bad("no header"))?;
    if header[..4] != MAGIC {
        return Err(bad("no magic number"));
    }
    let end = size(header)?;
    let b = Bytes(
        image
            .get(..end)
            .ok_or_else(|| bad(&format!("{} bytes of {end}, it is cut off", image.len())))?,
    );
    let mut found = vec![];
    let mut at = HEADER as u64;
    while at < end as u64 {
        let entry = || -> Option<(Entry<'_>, u64)> {
            let hs = b.u32(at + 4)? as u64;
            let n = b.u64(at + 8)?;
            if hs < ENTRY as u64 {
                return None;
            }
            let payload = b.part(at.checked_add(hs)?, n)?;
            let compressed = b.u32(at + 16)? != 0
                || b.u32(at + 40)? & COMPRESSED != 0
                || payload.starts_with(&ZSTD);
            let e = Entry { kind: b.u16(at)?, capability: b.u32(at + 28)?, compressed, payload };
            Some((e, at + hs + n))
        };
        let Some((e, next)) = entry() else {
            return Err(bad(&format!("entry {} at byte {at} leaves the container", found.len())));
        };
        found.push(e);
        at = next;
    }
    Ok(found)
}

fn list(mut caps: Vec<u32>) -> String {
    caps.sort();
    let v: Vec<String> = caps.iter().map(|c| format!("{}.{}", c / 10, c % 10)).collect();
    v.join(", ")
}

/// What the driver would translate for a device of capability `cc` (times ten) if there were no
/// machine code: the PTX of the highest capability that is not above it.
pub fn choose(image: &[u8], cc: u32) -> Result<Chosen<'_>, Refused> {
    let all = entries(image)?;
    let none = |t: String| Err(Refused::NothingUsable(format!("fatbin: {t}")));
    let caps = |kind| -> Vec<u32> {
        all.iter().filter(|e| e.kind == kind).map(|e| e.capability).collect()
    };
    let usable = all.iter().filter(|e| e.kind == KIND_PTX && e.capability <= cc);
    let Some(best) = usable.max_by_key(|e| e.capability) else {
        let (ptx, elf) = (caps(KIND_PTX), caps(KIND_ELF));
        return none(if ptx.is_empty() {
            format!(
                "machine code only (for {}), and this device runs PTX: add -gencode arch=compute_75,code=compute_75",
                list(elf)
            )
        } else {
            format!("PTX for {} only, this device is {} (CUDAEMU_CC)", list(ptx), list(vec![cc]))
        });
    };
    if best.compressed {
        return none(format!(
            "the PTX for {} is compressed: compile with -no-compress (--compress-mode none)",
            list(vec![best.capability])
        ));
    }
    let text = best.payload.split(|&b| b == 0).next().unwrap_or(&[]);
    let Ok(ptx) = std::str::from_utf8(text) else {
        return Err(Refused::Malformed("fatbin: a PTX entry is not text".into()));
    };
    let registers = all
        .iter()
        .find(|e| e.kind == KIND_ELF && e.capability == cc && !e.compressed)
        .and_then(|e| registers(e.payload))
        .unwrap_or_default();
    Ok(Chosen { ptx, registers })
}

/// Registers per thread of each kernel in a cubin. `None` where the file contradicts itself: the
/// counts only refine checks, so a strange cubin is as good as none.
pub fn registers(cubin: &[u8]) -> Option<HashMap<String, u32>> {
    const SYMTAB: u32 = 2;
    /// section `.nv.info`: records of u8 format, u8 attribute, u16 value or size of the value
    const SIZED: u8 = 4;
    const REGCOUNT: u8 = 0x2f;
    let b = Bytes(cubin);
    // 64 bits, little endian
    if b.part(0, 4)? != ELF || b.part(4, 2)? != [2, 1] {
        return None;
    }
    let (table, step) = (b.u64(0x28)?, b.u16(0x3a)? as u64);
    let (count, names) = (b.u16(0x3c)? as u64, b.u16(0x3e)? as u64);
    let section =
        |i: u64| -> Option<u64> { if i < count { table.checked_add(i * step) } else { None } };
    let field64 = |s: u64, o: u64| b.u64(s.checked_add(o)?);
    let field32 = |s: u64, o: u64| b.u32(s.checked_add(o)?);
    let strings = field64(section(names)?, 0x18)?;
    let mut out = HashMap::new();
    let mut info = None;
    let mut symbols = None;
    for i in 0..count {
        let s = section(i)?;
        let name = b.name(strings.checked_add(field32(s, 0)? as u64)?)?;
        if let Some(kernel) = name.strip_prefix(".text.") {
            // the top byte of sh_info until sm_89, zero from sm_90
            let n = field32(s, 0x2c)? >> 24;
            if n != 0 {
                out.insert(kernel.to_string(), n);
            }
        }
        if name == ".nv.info" {
            info = Some(Bytes(b.part(field64(s, 0x18)?, field64(s, 0x20)?)?));
        }
        if field32(s, 4)? == SYMTAB {
            let link = section(field32(s, 0x28)? as u64)?;
            symbols = Some((field64(s, 0x18)?, field64(link, 0x18)?));
        }
    }
    let (Some(info), Some((symbols, strings))) = (info, symbols) else { return Some(out) };
    let mut at = 0;
    while let (Some(format), Some(value)) = (info.u16(at), info.u16(at + 2)) {
        at += 4;
        let (format, attribute) = (format as u8, (format >> 8) as u8);
        if format != SIZED {
            continue;
        }
        if attribute == REGCOUNT && value == 8 {
            let symbol = symbols.checked_add(info.u32(at)? as u64 * 24)?;
            let name = b.name(strings.checked_add(b.u32(symbol)? as u64)?)?;
            out.insert(name.to_string(), info.u32(at + 4)?);
        }
        at += value as u64;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: u16, capability: u32, flags: u32, payload: &[u8]) -> Vec<u8> {
        let mut e = vec![0u8; 80];
        e[0..2].copy_from_slice(&kind.to_le_bytes());
        e[2..4].copy_from_slice(&0x0101u16.to_le_bytes());
        e[4..8].copy_from_slice(&80u32.to_le_bytes());
        e[8..16].copy_from_slice(&(payload.len() as u64).to_le_bytes());
        e[28..32].copy_from_slice(&capability.to_le_bytes());
        e[40..44].copy_from_slice(&flags.to_le_bytes());
        e.extend_from_slice(payload);
        e
    }
    fn container(entries: &[Vec<u8>]) -> Vec<u8> {
        let body = entries.concat();
        let mut c = MAGIC.to_vec();
        c.extend_from_slice(&1u16.to_le_bytes());
        c.extend_from_slice(&16u16.to_le_bytes());
        c.extend_from_slice(&(body.len() as u64).to_le_bytes());
        c.extend(body);
        c
    }

    #[test]
    fn highest_capability_not_above_the_device() {
        let c = container(&[
            entry(KIND_PTX, 90, 0x11, b"ninety\0"),
            entry(KIND_PTX, 75, 0x11, b"seventy-five\0\0"),
            entry(KIND_PTX, 80, 0x11, b"eighty\0"),
            entry(64, 80, 0x11, b"something else"),
        ]);
        for (cc, want) in
            [(75, "seventy-five"), (80, "eighty"), (89, "eighty"), (90, "ninety"), (100, "ninety")]
        {
            assert_eq!(choose(&c, cc).unwrap().ptx, want);
        }
        let Err(Refused::NothingUsable(t)) = choose(&c, 70) else { panic!() };
        assert!(t.contains("PTX for 7.5, 8.0, 9.0 only, this device is 7.0"), "{t}");
    }

    #[test]
    fn nothing_usable_says_what_to_do() {
        let c = container(&[entry(KIND_ELF, 80, 0x11, &ELF)]);
        let Err(Refused::NothingUsable(t)) = choose(&c, 80) else { panic!() };
        assert!(t.contains("machine code only (for 8.0)"), "{t}");
        for e in [
            entry(KIND_PTX, 80, 0x8011, b"anything"),
            entry(KIND_PTX, 80, 0x2011, b"anything"),
            entry(KIND_PTX, 80, 0x11, &[0x28, 0xb5, 0x2f, 0xfd, 0]),
        ] {
            let c = container(&[e]);
            let Err(Refused::NothingUsable(t)) = choose(&c, 80) else { panic!() };
            assert!(t.contains("-no-compress"), "{t}");
        }
    }

    #[test]
    fn malformed_is_refused_without_reading_outside() {
        let whole = container(&[
            entry(KIND_ELF, 80, 0x11, &[0x7f, b'E', b'L', b'F', 2, 1, 1, 0]),
            entry(KIND_PTX, 80, 0x11, b"text\0"),
        ]);
        assert_eq!(choose(&whole, 80).unwrap().ptx, "text");
        for n in 0..whole.len() {
            assert!(matches!(choose(&whole[..n], 80), Err(Refused::Malformed(_))), "{n} bytes");
        }
        // sizes at the edges of their types
        for v in [u64::MAX, u64::MAX - 15, 1 << 63, i64::MAX as u64, 17] {
            let mut c = whole.clone();
            c[8..16].copy_from_slice(&v.to_le_bytes());
            assert!(matches!(choose(&c, 80), Err(Refused::Malformed(_))), "size {v:#x}");
            let mut c = whole.clone();
            c[24..32].copy_from_slice(&v.to_le_bytes());
            assert!(matches!(choose(&c, 80), Err(Refused::Malformed(_))), "payload {v:#x}");
        }
        for v in [0u32, 63, u32::MAX] {
            let mut c = whole.clone();
            c[20..24].copy_from_slice(&v.to_le_bytes());
            assert!(matches!(choose(&c, 80), Err(Refused::Malformed(_))), "entry header {v:#x}");
        }
    }

    #[test]
    fn text_that_is_not_text() {
        let c = container(&[entry(KIND_PTX, 80, 0x11, &[b'a', 0xff, 0xfe])]);
        assert!(matches!(choose(&c, 80), Err(Refused::Malformed(_))));
    }
}
