//! .npy files to and from matrices, with errors that name the file, its numbers and the remedy.

use std::fs;
use std::path::{Path, PathBuf};

use half::f16;
use ndarray::{Array1, Array2};
use npyz::{DType, Deserialize, NpyFile, NpyHeader, Order, TypeChar, WriterBuilder};

use crate::{Result, output};

/// The bytes of a .npy file whose size agrees with its header.
struct Npy {
    path: PathBuf,
    header: NpyHeader,
    values: Vec<u8>,
    kind: TypeChar,
    value_bytes: u64,
}

impl Npy {
    /// `names` is the remedy for values that are no numbers.
    fn open(path: &Path, names: &str) -> Result<Self> {
        let name = path.display();
        let mut file =
            fs::read(path).map_err(|e| format!("{name}: {e}; give an existing .npy file"))?;
        let not_npy =
            |reason: &str| format!("{name}: not a .npy file ({reason}); write it with numpy.save");
        if header_bytes(&file).is_some_and(|bytes| bytes > file.len() as u64) {
            return Err(not_npy("the header is longer than the file").into());
        }
        let mut rest = &file[..];
        let header = NpyHeader::from_reader(&mut rest).map_err(|e| {
            let reason = e.to_string(); // a syntax error takes several lines
            not_npy(reason.lines().next().unwrap_or_default())
        })?;
        let DType::Plain(dtype) = header.dtype() else {
            return Err(format!("{name}: a structured array; save a plain array instead").into());
        };
        let (kind, value_bytes) = (dtype.type_char(), dtype.size_field());
        if !matches!(kind, TypeChar::Float | TypeChar::Int | TypeChar::Uint | TypeChar::Bool) {
            return Err(format!("{name}: values of type '{dtype}'; {names}").into());
        }

        let shape = header.shape();
        let expected = shape.iter().try_fold(value_bytes, |product, &n| product.checked_mul(n));
        let found = rest.len();
        if expected != Some(found as u64) {
            let expected = expected.map_or("more than u64 counts".into(), |n| n.to_string());
            return Err(format!(
                "{name}: {found} bytes of values, but shape {shape:?} of {dtype} takes {expected}; \
                 the file is truncated or damaged, write it again"
            )
            .into());
        }
        if shape.len() > 1 && header.order() != Order::C {
            return Err(format!(
                "{name}: in Fortran order; save numpy.ascontiguousarray(x) instead"
            )
            .into());
        }
        let header_bytes = file.len() - found;
        file.drain(..header_bytes);
        Ok(Self { path: path.to_owned(), header, values: file, kind, value_bytes })
    }

    fn values<T: Deserialize>(&self) -> Result<Vec<T>> {
        let file = NpyFile::with_header(self.header.clone(), &self.values[..]);
        file.into_vec().map_err(|e| format!("{}: {e}", self.path.display()).into())
    }

    fn rows_and_cols(&self) -> Result<(usize, usize)> {
        match self.header.shape() {
            // As many as there are bytes, so that both fit.
            &[rows, cols] if rows > 0 && cols > 0 => Ok((rows as usize, cols as usize)),
            shape => {
                let expected = "a matrix, [rows, cols], of one row and column or more";
                Err(self.wrong(&format!("shape {shape:?}"), expected))
            }
        }
    }

    fn check_vector(&self) -> Result<()> {
        match self.header.shape() {
            [_] => Ok(()),
            shape => {
                Err(self.wrong(&format!("shape {shape:?}"), "a vector; x.reshape(-1) makes one"))
            }
        }
    }

    fn wrong_type(&self, expected: &str) -> crate::Error {
        self.wrong(&format!("values of type {}", self.header.dtype().descr()), expected)
    }

    fn wrong(&self, found: &str, expected: &str) -> crate::Error {
        format!("{}: {found}; expected {expected}", self.path.display()).into()
    }
}

/// Bytes of the header and what comes before it, as the file says.
fn header_bytes(file: &[u8]) -> Option<u64> {
    let version = file.strip_prefix(b"\x93NUMPY")?.first()?;
    Some(match version {
        1 => 10 + u64::from(u16::from_le_bytes(*file.get(8..)?.first_chunk()?)),
        _ => 12 + u64::from(u32::from_le_bytes(*file.get(8..)?.first_chunk()?)),
    })
}

/// Reads floats of any width, `[rows, cols]`.
pub fn read_matrix(path: &Path) -> Result<Array2<f32>> {
    let npy = Npy::open(path, "expected real numbers; x.astype('float32') makes them of numbers")?;
    let shape = npy.rows_and_cols()?;
    let values = match (npy.kind, npy.value_bytes) {
        (TypeChar::Float, 2) => npy.values::<f16>()?.into_iter().map(f16::to_f32).collect(),
        (TypeChar::Float, 4) => npy.values::<f32>()?,
        (TypeChar::Float, 8) => {
            let values = npy.values::<f64>()?;
            if let Some(x) = values.iter().find(|x| x.is_finite() && !(**x as f32).is_finite()) {
                let expected = "values that f32 can hold, up to 3.4e38; divide all by one number";
                return Err(npy.wrong(&format!("the value {x:e}"), expected));
            }
            values.into_iter().map(|x| x as f32).collect()
        }
        _ => return Err(npy.wrong_type("f16, f32 or f64; x.astype('float32') makes one")),
    };
    Ok(Array2::from_shape_vec(shape, values)?)
}

/// Reads 8-bit values and one scale a row: `x[i, j] = scales[i] * values[i, j]`.
pub fn read_quantised(values: &Path, scales: &Path) -> Result<Array2<f32>> {
    let npy = Npy::open(values, "expected i8")?;
    let (rows, cols) = npy.rows_and_cols()?;
    if (npy.kind, npy.value_bytes) != (TypeChar::Int, 1) {
        return Err(npy.wrong_type("i8"));
    }
    let scales = Npy::open(scales, "expected f32")?;
    scales.check_vector()?;
    if (scales.kind, scales.value_bytes) != (TypeChar::Float, 4) {
        return Err(scales.wrong_type("f32"));
    }
    let of_row = Array1::from_vec(scales.values::<f32>()?);
    if of_row.len() != rows {
        return Err(
            scales.wrong(&format!("{} scales", of_row.len()), &format!("{rows}, one a row"))
        );
    }
    let values = npy.values::<i8>()?.into_iter().map(f32::from).collect();
    let mut matrix = Array2::from_shape_vec((rows, cols), values)?;
    for (mut row, &scale) in matrix.rows_mut().into_iter().zip(&of_row) {
        row *= scale;
    }
    Ok(matrix)
}

/// Reads class labels: booleans or integers of any width, `[rows]` or `[rows, 1]`, or a one-hot
/// matrix of those or of floats, `[rows, classes]`.
pub fn read_labels(path: &Path) -> Result<Vec<u32>> {
    const NAMES: &str = "expected numbers of classes; \
        numpy.unique(y.astype(str), return_inverse=True)[1] makes them";
    let npy = Npy::open(path, NAMES)?;
    let is_matrix = npy.header.shape().len() == 2;
    match (npy.kind, npy.value_bytes) {
        (TypeChar::Bool, 1) => npy.labels::<bool>(),
        (TypeChar::Int, 1) => npy.labels::<i8>(),
        (TypeChar::Int, 2) => npy.labels::<i16>(),
        (TypeChar::Int, 4) => npy.labels::<i32>(),
        (TypeChar::Int, 8) => npy.labels::<i64>(),
        (TypeChar::Uint, 1) => npy.labels::<u8>(),
        (TypeChar::Uint, 2) => npy.labels::<u16>(),
        (TypeChar::Uint, 4) => npy.labels::<u32>(),
        (TypeChar::Uint, 8) => npy.labels::<u64>(),
        (TypeChar::Float, 4) if is_matrix => {
            npy.one_hot(npy.values::<f32>()?.into_iter().map(f64::from))
        }
        (TypeChar::Float, 8) if is_matrix => npy.one_hot(npy.values::<f64>()?.into_iter()),
        _ => Err(npy.wrong_type("integers; y.astype('int64') makes them")),
    }
}

impl Npy {
    fn labels<T: Deserialize + Into<i128>>(&self) -> Result<Vec<u32>> {
        let values = self.values::<T>()?.into_iter().map(Into::<i128>::into);
        if !matches!(self.header.shape(), [_] | [_, 1]) {
            return self.one_hot(values.map(|value| value as f64));
        }
        let label = |(row, value)| {
            u32::try_from(value).map_err(|_| {
                let found = format!("label {value} in row {row}");
                self.wrong(&found, &format!("labels from 0 to {}", u32::MAX))
            })
        };
        values.enumerate().map(label).collect()
    }

    /// The place of the one in each row.
    fn one_hot(&self, values: impl Iterator<Item = f64>) -> Result<Vec<u32>> {
        let expected = "integers, [rows], or one-hot rows, [rows, classes]";
        let (rows, classes) = match self.header.shape() {
            // At least a byte a row: the memory follows the file.
            &[rows, classes] if classes > 0 => (rows as usize, classes as usize),
            shape => return Err(self.wrong(&format!("shape {shape:?}"), expected)),
        };
        let mut labels = vec![None; rows];
        for (n, value) in values.enumerate().filter(|&(_, value)| value != 0.0) {
            let (row, class) = (n / classes, n % classes);
            if value != 1.0 {
                return Err(self.wrong(&format!("{value} in row {row} of a matrix"), expected));
            }
            if labels[row].replace(class as u32).is_some() {
                let expected = "one class a row, which this program is for; keep one of them";
                return Err(self.wrong(&format!("several classes in row {row}"), expected));
            }
        }
        let label = |(row, label): (usize, Option<u32>)| {
            let found = || format!("no class in row {row}");
            label.ok_or_else(|| self.wrong(&found(), "one class a row; leave such rows out"))
        };
        labels.into_iter().enumerate().map(label).collect()
    }
}

/// Writes bytes, `[rows, bytes.len() / rows]`.
pub fn write_bytes(path: &Path, rows: usize, bytes: &[u8]) -> Result<()> {
    let mut file = Vec::new();
    let shape = [rows as u64, (bytes.len() / rows.max(1)) as u64];
    let options = npyz::WriteOptions::new().default_dtype().shape(&shape);
    let mut writer = options.writer(&mut file).begin_nd()?;
    writer.extend(bytes)?;
    writer.finish()?;
    Ok(output::write(path, &file)?)
}

/// Reads bytes, `[rows, cols]`.
pub fn read_bytes(path: &Path) -> Result<Array2<u8>> {
    let npy = Npy::open(path, "expected u8")?;
    let shape = npy.rows_and_cols()?;
    if (npy.kind, npy.value_bytes) != (TypeChar::Uint, 1) {
        return Err(npy.wrong_type("u8"));
    }
    Ok(Array2::from_shape_vec(shape, npy.values()?)?)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    /// A file in a folder of its own, gone with the value.
    struct TempFile(PathBuf);

    impl TempFile {
        fn new(name: &str, bytes: &[u8]) -> Self {
            let folder = std::env::temp_dir().join(format!("bihalf-{}-{name}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            let path = folder.join(format!("{name}.npy"));
            fs::write(&path, bytes).unwrap();
            Self(path)
        }
    }

    impl Drop for TempFile {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(self.0.parent().unwrap());
        }
    }

    /// A .npy file of version 1.0, written by hand as the format's page says.
    fn npy(dtype: &str, fortran: bool, shape: &str, values: &[u8]) -> Vec<u8> {
        let order = if fortran { "True" } else { "False" };
        let header =
            format!("{{'descr': '{dtype}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.as_bytes());
        file.extend(values);
        file
    }

    fn concat<const N: usize>(values: impl IntoIterator<Item = [u8; N]>) -> Vec<u8> {
        values.into_iter().flatten().collect()
    }

    #[test]
    fn floats_of_every_width_and_byte_order_read_the_same() {
        let x = [1.5f32, -0.25, 0.0, 3.0, -2.0, 0.125];
        for (name, dtype, values) in [
            ("f16", "<f2", concat(x.map(|x| f16::from_f32(x).to_le_bytes()))),
            ("f32", "<f4", concat(x.map(f32::to_le_bytes))),
            ("f64", "<f8", concat(x.map(|x| f64::from(x).to_le_bytes()))),
            ("f32-big-endian", ">f4", concat(x.map(f32::to_be_bytes))),
        ] {
            let file = TempFile::new(name, &npy(dtype, false, "(2, 3)", &values));
            let expected = array![[1.5, -0.25, 0.0], [3.0, -2.0, 0.125]];
            assert_eq!(read_matrix(&file.0).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn integers_of_every_width_are_labels() {
        let y = [3u8, 0, 11];
        for (name, dtype, values) in [
            ("u8", "|u1", y.to_vec()),
            ("u16", "<u2", concat(y.map(|y| u16::from(y).to_le_bytes()))),
            ("i32", "<i4", concat(y.map(|y| i32::from(y).to_le_bytes()))),
            ("i64", "<i8", concat(y.map(|y| i64::from(y).to_le_bytes()))),
            ("u64-big-endian", ">u8", concat(y.map(|y| u64::from(y).to_be_bytes()))),
        ] {
            let file = TempFile::new(name, &npy(dtype, false, "(3,)", &values));
            assert_eq!(read_labels(&file.0).unwrap(), [3, 0, 11], "{name}");
        }
    }

    #[test]
    fn booleans_and_one_hot_rows_are_labels() {
        let one_hot = [[0u8, 1, 0], [1, 0, 0], [0, 0, 1]].concat();
        let floats = concat(one_hot.iter().map(|&y| f32::from(y).to_le_bytes()));
        for (name, file, expected) in [
            ("bool", npy("|b1", false, "(3,)", &[0, 1, 1]), [0, 1, 1]),
            ("column", npy("|i1", false, "(3, 1)", &[4, 0, 9]), [4, 0, 9]),
            ("one-hot-bool", npy("|b1", false, "(3, 3)", &one_hot), [1, 0, 2]),
            ("one-hot-u8", npy("|u1", false, "(3, 3)", &one_hot), [1, 0, 2]),
            ("one-hot-f32", npy("<f4", false, "(3, 3)", &floats), [1, 0, 2]),
        ] {
            let file = TempFile::new(name, &file);
            assert_eq!(read_labels(&file.0).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn labels_that_are_none_are_refused_with_a_remedy_that_helps() {
        for (name, file, expected) in [
            ("names", npy("<U1", false, "(2,)", &[0; 8]), "numpy.unique"),
            ("bytes-names", npy("|S3", false, "(2,)", &[0; 6]), "numpy.unique"),
            ("label-objects", npy("|O", false, "(2,)", &[0; 99]), "numpy.unique"),
            ("float-labels", npy("<f4", false, "(2,)", &[0; 8]), "astype('int64')"),
            ("half-labels", npy("<f2", false, "(2,)", &[0; 4]), "astype('int64')"),
            ("multi-hot", npy("|u1", false, "(2, 2)", &[1, 0, 1, 1]), "several classes in row 1"),
            ("no-class", npy("|u1", false, "(2, 2)", &[1, 0, 0, 0]), "no class in row 1"),
            ("matrix", npy("|u1", false, "(2, 2)", &[1, 0, 7, 0]), "7 in row 1 of a matrix"),
            (
                "no-classes",
                npy("|u1", false, "(1099511627776, 0)", &[]),
                "shape [1099511627776, 0]",
            ),
            ("cube", npy("|u1", false, "(2, 2, 1)", &[1, 0, 0, 1]), "shape [2, 2, 1]"),
        ] {
            let file = TempFile::new(name, &file);
            let message = read_labels(&file.0).unwrap_err().to_string();
            assert!(message.contains(expected), "{name}: {message}");
            assert!(!message.contains('\n'), "{name}: {message}");
        }
    }

    #[test]
    fn quantised_rows_are_multiplied_by_their_scale() {
        let values = TempFile::new("values", &npy("|i1", false, "(2, 2)", &[127, 0, 255, 128]));
        let scales = concat([0.5f32, 2.0].map(f32::to_le_bytes));
        let scales = TempFile::new("scales", &npy("<f4", false, "(2,)", &scales));
        let expected = array![[63.5, 0.0], [-2.0, -256.0]];
        assert_eq!(read_quantised(&values.0, &scales.0).unwrap(), expected);
    }

    #[test]
    fn a_file_that_does_not_fit_is_refused_in_one_line_with_its_numbers() {
        let label = concat([-1i32, 0].map(i32::to_le_bytes));
        for (name, file, expected) in [
            ("truncated", npy("<f4", false, "(2, 3)", &[0; 23]), "23 bytes of values"),
            ("longer", npy("<f4", false, "(2, 3)", &[0; 25]), "takes 24"),
            ("vector", npy("<f4", false, "(6,)", &[0; 24]), "shape [6]"),
            ("fortran", npy("<f4", true, "(2, 3)", &[0; 24]), "ascontiguousarray"),
            ("integers", npy("<i4", false, "(2, 3)", &[0; 24]), "'<i4'"),
            ("no-rows", npy("<f4", false, "(0, 9223372036854775808)", &[]), "9223372036854775808"),
            ("absurd-shape", npy("<f4", false, "(4294967296, 4294967296)", &[]), "more than u64"),
            ("strings", npy("<U1", false, "(2, 3)", &[0; 24]), "'<U1'"),
            ("objects", npy("|O", false, "(2, 3)", &[0; 24]), "'|O'"),
            ("broken-header", npy("<f4", false, "(2, 3", &[0; 24]), "numpy.save"),
            ("negative-shape", npy("<f4", false, "(2, -3)", &[0; 24]), "negative"),
            ("beyond-f32", npy("<f8", false, "(1, 1)", &1e300f64.to_le_bytes()), "1e300"),
            ("huge-header", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{".to_vec(), "longer than the file"),
            ("no-header", b"\x93NUMPY\x02\x00\xff".to_vec(), "numpy.save"),
            ("text", b"row,col".to_vec(), "numpy.save"),
            ("empty", Vec::new(), "numpy.save"),
        ] {
            let file = TempFile::new(name, &file);
            let message = read_matrix(&file.0).unwrap_err().to_string();
            assert!(message.contains(expected), "{name}: {message}");
            assert!(!message.contains('\n'), "{name}: {message}");
        }
        let labels = TempFile::new("negative", &npy("<i4", false, "(2,)", &label));
        let message = read_labels(&labels.0).unwrap_err().to_string();
        assert!(message.contains("label -1 in row 0"), "{message}");
        let message = read_matrix(Path::new("no/such.npy")).unwrap_err().to_string();
        assert!(message.contains("no/such.npy"), "{message}");
    }

    #[test]
    fn bytes_read_back_as_written() {
        let file = TempFile::new("bytes", &[]);
        write_bytes(&file.0, 2, &[1, 2, 3, 4, 5, 255]).unwrap();
        assert_eq!(read_bytes(&file.0).unwrap(), array![[1, 2, 3], [4, 5, 255]]);
    }
}
