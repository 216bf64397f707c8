//! What the examples write: files that are whole or not there, and lines to a standard output that
//! may be full or gone.
#![allow(dead_code, reason = "each example uses some of it")]

use std::fmt::{self, Display};
use std::io::{self, Write};
use std::path::Path;
use std::{error, fs};

/// Makes `folder` if need be and finds out whether files of these names can be written there:
/// before the work whose results they hold, not after it.
pub fn check_folder(folder: &Path, names: &[String]) -> Result<(), String> {
    let cannot = |path: &Path, why: &dyn Display| {
        Err(format!("cannot write to '{}': {why}; give another --out", path.display()))
    };
    if let Err(why) = fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder)) {
        return cannot(folder, &why);
    }
    for path in names.iter().map(|name| folder.join(name)) {
        if path.is_dir() {
            return cannot(&path, &"it is a folder");
        }
    }
    Ok(())
}

/// Writes a file under a temporary name beside it, then gives it its own: whoever reads it, while
/// two programs write it or when one was stopped, finds one whole file.
pub fn write(path: &Path, contents: &[u8]) -> Result<(), String> {
    let write = || -> io::Result<()> {
        let mut file = temporary().tempfile_in(path.parent().unwrap_or(Path::new(".")))?;
        file.write_all(contents)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|why| {
        format!(
            "cannot write '{}': {why}; what was there before is as it was. Make room, or give \
             another --out",
            path.display()
        )
    })
}

/// A file that whoever may read other files here may read.
fn temporary() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
}

/// Standard output took no more.
#[derive(Debug)]
pub struct Unprinted(io::Error);

impl Unprinted {
    /// Whether nobody reads any longer, as behind `| head`: an end, not a fault.
    pub fn is_closed(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

impl Display for Unprinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot write to standard output: {}; give it more room", self.0)
    }
}

impl error::Error for Unprinted {}

/// Prints a line to standard output.
pub fn line(text: impl Display) -> Result<(), Unprinted> {
    writeln!(io::stdout(), "{text}").map_err(Unprinted)
}

/// Prints a line to standard error, if anybody reads there.
pub fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write(&path, b"first").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        let names: Vec<_> = fs::read_dir(&folder).unwrap().collect();
        assert_eq!(names.len(), 1, "no temporary file is left");

        fs::create_dir(folder.path().join("taken")).unwrap();
        let error = write(&folder.path().join("taken"), b"third").unwrap_err();
        assert!(error.contains("taken") && error.contains("--out"), "{error}");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "no temporary file is left");
        let error = write(&folder.path().join("no/such/folder/file"), b"fourth").unwrap_err();
        assert!(error.contains("no/such/folder/file"), "{error}");
    }

    #[test]
    fn a_folder_that_takes_no_files_is_found_before_the_work() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["a.npy".to_owned(), "b.npy".to_owned()];
        let out = folder.path().join("new/out");
        check_folder(&out, &names).unwrap();
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0, "nothing is left there");

        fs::create_dir(out.join("b.npy")).unwrap();
        let error = check_folder(&out, &names).unwrap_err();
        assert!(error.contains("b.npy") && error.contains("--out"), "{error}");

        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = check_folder(&file, &names).unwrap_err();
        assert!(error.contains("file") && error.contains("--out"), "{error}");
        if cfg!(target_os = "linux") {
            let error = check_folder(Path::new("/proc/self"), &names).unwrap_err();
            assert!(error.contains("/proc/self"), "{error}");
        }
    }
}
