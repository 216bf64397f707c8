//! Binarised MNIST, from the bundled bit files or from the original IDX files.

use anyhow::{Context, Result, bail, ensure};
use flate2::bufread::GzDecoder;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Pixels of one digit, 28 x 28.
pub const PIXELS: usize = 28 * 28;
/// Bytes of one digit in a bit file, 8 pixels each.
const BIT_BYTES: usize = PIXELS / 8;
/// Bytes of one digit and its label in a bit file.
const RECORD_BYTES: usize = BIT_BYTES + 1;
/// Most digits an IDX file may hold; ten times MNIST, so that a wrong header cannot ask for more.
const MAX_IDX_DIGITS: usize = 700_000;

/// Digits with their labels, in file order.
#[derive(Debug, PartialEq)]
pub struct Digits {
    /// `[len, 784]`, 0 or 1.
    pub pixels: Vec<f32>,
    /// `[len]`, 0 to 9.
    pub labels: Vec<u32>,
}

impl Digits {
    pub fn len(&self) -> usize {
        self.labels.len()
    }
}

/// The digits to train on, which are also the database, and the queries.
pub struct Dataset {
    pub database: Digits,
    pub queries: Digits,
    /// Which files and which split, for the reader of the results.
    pub origin: String,
}

impl Dataset {
    /// An error if no query has the label of any digit in the database.
    fn new(database: Digits, queries: Digits, origin: &str) -> Result<Self> {
        let found = |label: &u32| database.labels.contains(label);
        ensure!(
            queries.labels.iter().any(found),
            "no query has a label that a digit of the database has; give both parts of one set"
        );
        Ok(Self { database, queries, origin: origin.to_owned() })
    }
}

/// The folder of the bundled bit files, wherever the example is started from.
pub fn bundled_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/mnist")
}

/// Loads the bit files of `dir` or, where there are none, its IDX files.
pub fn load(dir: &Path) -> Result<Dataset> {
    let (database, queries) = (dir.join("mnist_db_bits.bin"), dir.join("mnist_q_bits.bin"));
    if database.is_file() || queries.is_file() {
        let origin = "bit files (per class, the last 100 digits are queries)";
        return Dataset::new(read_bits(&database)?, read_bits(&queries)?, origin);
    }
    if find_idx(dir, "train-images-idx3-ubyte").is_some() {
        let origin = "IDX files (standard split: train is the database, t10k the queries)";
        return Dataset::new(read_idx_pair(dir, "train")?, read_idx_pair(dir, "t10k")?, origin);
    }
    bail!(
        "no digits in '{}': put mnist_db_bits.bin and mnist_q_bits.bin there, or MNIST's four IDX \
         files (train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-..., plain or .gz), or \
         leave out --data to use the bundled digits",
        dir.display()
    )
}

fn read_bits(path: &Path) -> Result<Digits> {
    let bytes = std::fs::read(path)
        .with_context(|| format!("cannot read '{}'; restore the file", path.display()))?;
    decode_bits(&bytes).with_context(|| format!("'{}' is damaged", path.display()))
}

/// A bit file: 98 bytes for each digit, most significant bit first, then one label byte each.
fn decode_bits(bytes: &[u8]) -> Result<Digits> {
    let len = bytes.len() / RECORD_BYTES;
    ensure!(
        len > 0 && bytes.len().is_multiple_of(RECORD_BYTES),
        "{} bytes are no whole number of digits of {RECORD_BYTES} bytes; copy the file again",
        bytes.len()
    );
    let (images, labels) = bytes.split_at(len * BIT_BYTES);
    let mut pixels = Vec::with_capacity(len * PIXELS);
    for byte in images {
        pixels.extend((0..8).rev().map(|bit| f32::from(byte >> bit & 1)));
    }
    Ok(Digits { pixels, labels: decode_labels(labels)? })
}

fn decode_labels(bytes: &[u8]) -> Result<Vec<u32>> {
    if let Some(i) = bytes.iter().position(|&label| label > 9) {
        bail!("label {} of digit {i} is not 0 to 9; copy the file again", bytes[i]);
    }
    Ok(bytes.iter().map(|&label| u32::from(label)).collect())
}

/// The file `name` or `name.gz` of `dir`.
fn find_idx(dir: &Path, name: &str) -> Option<PathBuf> {
    [dir.join(name), dir.join(format!("{name}.gz"))].into_iter().find(|path| path.is_file())
}

fn read_idx_pair(dir: &Path, part: &str) -> Result<Digits> {
    let images = read_idx(dir, &format!("{part}-images-idx3-ubyte"), &[28, 28])?;
    let labels = read_idx(dir, &format!("{part}-labels-idx1-ubyte"), &[])?;
    let (len, label_count) = (images.len() / PIXELS, labels.len());
    ensure!(len == label_count, "{part}: {len} images but {label_count} labels; copy both again");
    let mut pixels = Vec::with_capacity(images.len());
    images.chunks_exact(PIXELS).for_each(|image| pixels.extend(binarise(image)));
    let labels = decode_labels(&labels).with_context(|| format!("{part} labels"))?;
    Ok(Digits { pixels, labels })
}

fn read_idx(dir: &Path, name: &str, item: &[u32]) -> Result<Vec<u8>> {
    let path = find_idx(dir, name).with_context(|| {
        format!("'{}' holds neither {name} nor {name}.gz; add it", dir.display())
    })?;
    let file = std::fs::read(&path).with_context(|| format!("cannot read '{}'", path.display()))?;
    let decoded = if path.extension().is_some_and(|extension| extension == "gz") {
        decode_idx(Members::new(&file), item)
    } else {
        decode_idx(&file[..], item)
    };
    decoded.with_context(|| format!("'{}' is damaged", path.display()))
}

/// Decodes a gzip file of one or more members. Trailing zeros are padding, as tapes and block
/// devices leave it.
struct Members<'a>(GzDecoder<&'a [u8]>);

impl<'a> Members<'a> {
    fn new(file: &'a [u8]) -> Self {
        Self(GzDecoder::new(file))
    }
}

impl Read for Members<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            let bytes = self.0.read(to)?;
            let rest = *self.0.get_ref();
            if bytes > 0 || to.is_empty() || rest.iter().all(|&byte| byte == 0) {
                return Ok(bytes);
            }
            self.0 = GzDecoder::new(rest);
        }
    }
}

/// The items of an IDX file of unsigned bytes: a big-endian header (0, 0, type 8, rank, then each
/// dimension), then the data. `item` is the shape of one item, `[28, 28]` or `[]`.
fn decode_idx(mut file: impl Read, item: &[u32]) -> Result<Vec<u8>> {
    let mut word = || -> Result<u32> {
        let mut bytes = [0; 4];
        file.read_exact(&mut bytes).context("the header is cut short; copy the file again")?;
        Ok(u32::from_be_bytes(bytes))
    };
    let (magic, expected_magic) = (word()?, 0x0801 + item.len() as u32);
    ensure!(
        magic == expected_magic,
        "it starts with {magic:#010x}, not {expected_magic:#010x}; is it another file renamed?"
    );
    let len = word()? as usize;
    ensure!(
        (1..=MAX_IDX_DIGITS).contains(&len),
        "its header says {len} items, not 1 to {MAX_IDX_DIGITS}; copy the file again"
    );
    for &expected in item {
        let side = word()?;
        ensure!(side == expected, "images have a side of {side}, not {expected}; use MNIST's");
    }
    let expected = len * item.iter().product::<u32>() as usize;
    // No room ahead: the header may promise more than there is.
    let mut data = Vec::new();
    // One byte more than needed shows a file that is too long without reading all of it.
    file.take(expected as u64 + 1)
        .read_to_end(&mut data)
        .with_context(|| format!("cut short after {} bytes; copy the file again", data.len()))?;
    ensure!(
        data.len() == expected,
        "it holds {} {} bytes for {len} items, not {expected}; copy the file again",
        if data.len() > expected { "at least" } else { "only" },
        data.len()
    );
    Ok(data)
}

/// Scales the pixels of one image from its least and greatest to 0 and 1, and rounds half to even:
/// the middle itself becomes 0.
fn binarise(image: &[u8]) -> impl Iterator<Item = f32> + '_ {
    let (low, high) = image.iter().fold((u8::MAX, u8::MIN), |(l, h), &v| (l.min(v), h.max(v)));
    let range = u32::from(high.saturating_sub(low));
    image.iter().map(move |&v| if 2 * u32::from(v - low) > range { 1.0 } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn message(result: Result<impl std::fmt::Debug>) -> String {
        format!("{:#}", result.unwrap_err())
    }

    fn idx(dims: &[u32], data: &[u8]) -> Vec<u8> {
        let mut file = (0x0800 + dims.len() as u32).to_be_bytes().to_vec();
        dims.iter().for_each(|dim| file.extend(dim.to_be_bytes()));
        file.extend(data);
        file
    }

    #[test]
    fn bits_come_most_significant_first_and_labels_after_all_digits() {
        let mut file = vec![0; 2 * RECORD_BYTES];
        file[0] = 0b1000_0001;
        file[BIT_BYTES] = 0b0100_0000;
        file[2 * BIT_BYTES..].copy_from_slice(&[7, 3]);
        let digits = decode_bits(&file).unwrap();
        let ones: Vec<usize> = (0..2 * PIXELS).filter(|&i| digits.pixels[i] == 1.0).collect();
        assert_eq!(ones, [0, 7, PIXELS + 1]);
        assert_eq!(digits.labels, [7, 3]);
    }

    #[test]
    fn bundled_files_hold_what_their_notice_says() {
        let data = load(&bundled_dir()).unwrap();
        assert_eq!((data.database.len(), data.queries.len()), (9_000, 1_000));
        assert_eq!(data.database.labels[..12], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
        let per_class =
            |digits: &Digits, class| digits.labels.iter().filter(|&&label| label == class).count();
        assert!((0..10).all(|class| per_class(&data.queries, class) == 100));
        let ink = data.database.pixels.iter().map(|&p| f64::from(p)).sum::<f64>()
            / data.database.pixels.len() as f64;
        assert!((0.10..0.16).contains(&ink), "share of ink {ink}");
    }

    #[test]
    fn truncated_bit_file_names_its_length() {
        assert!(message(decode_bits(&[0; 98])).contains("98 bytes"));
        assert!(message(decode_bits(&[])).contains("0 bytes"));
        assert!(message(decode_bits(&[255; RECORD_BYTES])).contains("label 255 of digit 0"));
    }

    #[test]
    fn idx_reads_back_plain_and_gzipped() {
        let image: Vec<u8> = (0..PIXELS).map(|i| i as u8).collect();
        let file = idx(&[1, 28, 28], &image);
        assert_eq!(decode_idx(&file[..], &[28, 28]).unwrap(), image);
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        gz.write_all(&file).unwrap();
        let gz = gz.finish().unwrap();
        assert_eq!(decode_idx(Members::new(&gz), &[28, 28]).unwrap(), image);
        let cut = message(decode_idx(Members::new(&gz[..gz.len() / 2]), &[28, 28]));
        assert!(cut.contains("cut short"), "{cut}");
        // Members in turn, padded with zeros.
        let mut members = Vec::new();
        for part in file.chunks(100) {
            let mut gz = GzEncoder::new(&mut members, Compression::fast());
            gz.write_all(part).unwrap();
            gz.finish().unwrap();
        }
        members.resize(members.len().next_multiple_of(512) + 512, 0);
        assert_eq!(decode_idx(Members::new(&members), &[28, 28]).unwrap(), image);
        members.push(1);
        let message = message(decode_idx(Members::new(&members), &[28, 28]));
        assert!(message.contains("copy the file again"), "{message}");
        assert_eq!(decode_idx(&idx(&[3], &[5, 0, 4])[..], &[]).unwrap(), [5, 0, 4]);
    }

    #[test]
    fn idx_errors_name_the_numbers() {
        let full = idx(&[2, 28, 28], &[0; 2 * PIXELS]);
        let cut = message(decode_idx(&full[..1000], &[28, 28]));
        assert!(cut.contains("only 984 bytes for 2 items, not 1568"), "{cut}");
        let long = [&full[..], &[0; 9]].concat();
        assert!(message(decode_idx(&long[..], &[28, 28])).contains("at least 1569 bytes"));
        assert!(message(decode_idx(&full[..7], &[28, 28])).contains("header is cut short"));
        assert!(message(decode_idx(&full[..], &[])).contains("0x00000803, not 0x00000801"));
        let wide = idx(&[1, 28, 32], &[0; 28 * 32]);
        assert!(message(decode_idx(&wide[..], &[28, 28])).contains("side of 32, not 28"));
        let huge = idx(&[u32::MAX, 28, 28], &[]);
        assert!(message(decode_idx(&huge[..], &[28, 28])).contains("4294967295 items"));
    }

    #[test]
    fn queries_without_anything_to_find_are_refused() {
        let digits = |labels: &[u32]| Digits { pixels: Vec::new(), labels: labels.to_vec() };
        assert!(Dataset::new(digits(&[1, 2]), digits(&[3, 2]), "").is_ok());
        let error = message(Dataset::new(digits(&[1, 2]), digits(&[3, 4]), "").map(|d| d.origin));
        assert!(error.contains("no query has a label"), "{error}");
    }

    #[test]
    fn binarise_scales_by_image_and_rounds_half_to_even() {
        let bits = |image: &[u8]| binarise(image).collect::<Vec<f32>>();
        assert_eq!(bits(&[0, 127, 128, 255]), [0.0, 0.0, 1.0, 1.0]);
        // 60 is the exact middle of 20 and 100
        assert_eq!(bits(&[20, 60, 61, 100]), [0.0, 0.0, 1.0, 1.0]);
        assert_eq!(bits(&[9, 9]), [0.0, 0.0]);
    }

    #[test]
    fn missing_folder_says_what_to_put_where() {
        let error = message(load(Path::new("no/such/folder")).map(|data| data.origin));
        assert!(error.contains("no/such/folder") && error.contains("mnist_db_bits.bin"), "{error}");
    }
}
